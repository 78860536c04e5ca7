"""What a run would do whose network reads the first and the last image of a run; without
MindSpore.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mindlong.checkpoints.files import open_named
from mindlong.checkpoints.latent_parts import LatentParts, find_latent_parts
from mindlong.checkpoints.parts import read_part
from mindlong.config.infer_options.conditioning import unread
from mindlong.networks.cost import Load
from mindlong.pipelines.checks import far_size, fit, gib, idle, several, step_cost, unled, worded
from mindlong.pipelines.planned import Planned
from mindlong.utils.errors import ConfigError
from mindlong.utils.lines import count
from mindlong.utils.sizes import divisible

if TYPE_CHECKING:
    from mindlong.config.load import Loaded
    from mindlong.pipelines.interpolate.plan import Work

HINT = "hint"  # the condition of such a network, mask and known latents
IDLE = ("hint", "mask", "shared_noise", "window", "stage_weights", "key_weights", "chunk", "encode")


def reads_both_ends(config: Any) -> bool:
    """Whether the weights of a configuration are of such a network."""
    part = read_part(open_named(config.weights), "network", config.latent.family or None)
    denoiser = part.network.denoiser
    return denoiser.space == "latent" and HINT in denoiser.takes(part.spec)


def plan(loaded: Loaded, work: Work, rows: dict[str, str], notes: tuple[str, ...]) -> Planned:
    """The rows of a dry run. Raises ConfigError, InputFileError as the run would."""
    config = loaded.values
    parts = find_latent_parts(config.weights, config.latent)
    fit(parts)
    idle(loaded, (*_idle(parts), *unread()))
    size, latents = _size(config, work, parts), _latents(config, work, parts)
    spec, vae = parts.network.spec, parts.vae
    step = step_cost(parts, 1, latents, size)
    length = config.interpolate.stages()[0] + 1
    decode = vae.network.codec.decode_cost(vae.spec, Load(1, length, *size))
    half = 1.0 if config.latent.dtype == "float32" else 0.5
    gaps = work.source.count - 1
    rows = rows | {
        "weights": f"{parts.where}",
        "parameters": ", ".join(f"{name} {count(n)}" for name, n in parts.parameters().items()),
        "network": f"{parts.network.family}, reads both ends of a run ({spec.in_channels} channels)",
        "prompts": several(config.wanted_prompts(), config.count),
        "plan": f"{gaps} runs of {length} frames {size[0]}x{size[1]}, from image to image",
        "a step": f"{count(step.flops)}FLOP",
        "peak memory": f"denoising {gib(step.bytes * half)}, decoding {gib(decode.bytes * half)} (estimates)",
    }
    negative = config.interpolate.negative
    if config.interpolate.scenes:
        raise ConfigError(
            f"interpolate.scenes: {parts.network.network.about} reads one prompt a video, and none of single frames; "
            "give it as prompt"
        )
    said = (
        *worded(parts, config, [*config.wanted_prompts(), negative]),
        *unled(negative, "interpolate.negative", [config.sample.guidance]),
        *far_size(size, parts.size[1:]),
    )
    peak = half * max(step.bytes, decode.bytes)
    return Planned(rows, (*notes, *said), peak, "size or interpolate.factor")


def _idle(parts: LatentParts) -> Iterator[tuple[str, str]]:
    for key in IDLE:
        yield f"interpolate.{key}", "is not read: the network reads both ends of a run by itself"
    chunks = parts.vae.network.codec.chunks
    if chunks:
        yield "latent.chunk", f"is not read: {chunks}"


def _size(config: Any, work: Work, parts: LatentParts) -> tuple[int, int]:
    if work.source is None:
        raise ConfigError(
            "the network reads both ends of a run, which are images: give interpolate.images or "
            "interpolate.video"
        )
    side = parts.network.network.denoiser.side(parts.network.spec)
    return divisible(config.size or work.source.size, parts.vae.spec.factor, side)


def _latents(config: Any, work: Work, parts: LatentParts) -> int:
    """How many latents a run has. Raises ConfigError for more than one stage, and where the factor
    gives a length that the autoencoder does not take.
    """
    stages = config.interpolate.stages()
    if len(stages) > 1:
        raise ConfigError(
            f"interpolate.factors is {list(stages)}; the network makes a whole run between two images, so "
            "give one factor, for example interpolate.factor=48"
        )
    try:
        return parts.vae.spec.latents_of(stages[0] + 1)
    except ConfigError as error:
        raise ConfigError(
            f"interpolate.factor is {stages[0]}, a run with both ends one frame more: {error}"
        ) from None

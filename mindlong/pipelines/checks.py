"""What plans look at before a run starts: sizes, tensors, prompts, keys that the weights leave
idle. Without MindSpore.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from mindlong.checkpoints.report import compare
from mindlong.config.leaves import value_at
from mindlong.config.reads import UnreadKey
from mindlong.diffusion.sample import sampler_of
from mindlong.networks.cost import Load
from mindlong.networks.text_tokenizer import read_tokenizer
from mindlong.pipelines.wording import CUT, notes_of, wording_of
from mindlong.plans.prompt_syntax import PLAIN
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.lines import count
from mindlong.utils.needed import needed

if TYPE_CHECKING:
    from mindlong.checkpoints.latent_parts import LatentParts
    from mindlong.checkpoints.parts import Part
    from mindlong.config.load import Loaded
    from mindlong.plans.hierarchy import LongPlan

FAR = 4  # so many times the usual pixels, or as few, are far from them
GIB = 2**30


def one_to_one(parts: LatentParts, pipeline: str) -> None:
    """Raise ConfigError where a latent is not that of one frame, for a pipeline that cannot do with
    that.
    """
    some = 3
    if parts.vae.spec.frames_of(some) != some:
        raise ConfigError(
            f"pipeline {pipeline} makes and gives frames one by one, and {parts.vae.network.about} makes "
            "one latent of several; weights of this kind make videos with pipeline=text_to_video"
        )


def one_prompt(parts: LatentParts, key: str, framed: object) -> None:
    """Raise ConfigError where single frames are given prompts and the network reads one a video.

    Args:
        key: that gives prompts, for the message. framed: true, or not empty, where frames have
            prompts of their own.
    """
    about = parts.network.network
    if needed(about.denoiser, "denoiser").one_prompt and framed:
        raise ConfigError(
            f"{key}: {about.about} reads one prompt a video, and none of single frames; give it as prompt"
        )


def far_size(size: Sequence[int], usual: Sequence[int]) -> Iterator[str]:
    """A sentence where a size is far from the one that a network is used at."""
    ratio = prod(size) / prod(usual)
    if ratio > FAR or ratio < 1 / FAR:
        yield (
            f"the network is used at {usual[0]}x{usual[1]} pixels; {size[0]}x{size[1]} is far from it, and "
            "what it makes there may be bad"
        )


def idle(loaded: Loaded, reasons: Iterable[tuple[str, str]]) -> None:
    """Refuse keys that were set to something else than their default and that the weights leave
    idle.

    Args:
        reasons: (key, the rest of a sentence that begins with the key).

    Raises:
        UnreadKey: the first of them.
    """
    for key, reason in reasons:
        setting, value = loaded.given.get(key), value_at(loaded.values, key)
        if setting is None or value == value_at(type(loaded.values)(), key):
            continue
        if value is True or value not in (0, 1.0, "", [], False):
            raise UnreadKey(f"{setting.place}: {key} {reason}. Leave it out")


def fit(parts: LatentParts, fresh: bool = False, images: bool = False) -> None:
    """Hold the tensors of every network against what its sizes need.

    Args:
        fresh: tensors that start fresh in a network made from its base's weights may be missing.
        images: the pipeline can give the images that a network is conditioned on.

    Raises:
        InputFileError: tensors that are missing or of another shape.
        ConfigError: the network is conditioned on images.
    """
    taken = parts.network.network.denoiser.images
    if taken and not images:
        more = ", hierarchical, interpolate or extend" * taken.beside
        raise ConfigError(
            f"{parts.where} is {parts.network.network.about}, which is conditioned on images; it serves "
            f"pipeline=animate{more}"
        )
    for part in parts.held().values():
        _fits(part, str(parts.where), fresh)


def _fits(part: Part, where: str, fresh: bool) -> None:
    network = part.network
    needed = {
        e.ours: e.our_shape
        for e in network.formats[0].entries(part.spec)
        if not (fresh and network.base_name(e.ours) is None)
    }
    report = compare(needed, {name: lazy.shape for name, lazy in part.arrays.items()})
    wrong = [f"{n} is {list(b)} and not {list(a)}" for n, (a, b) in report.misshaped.items()]
    wrong += [f"{name} is missing" for name in report.missing]
    if wrong:
        raise InputFileError(
            f"{where}: {len(wrong)} tensors of the {network.part} do not fit its sizes; the first: "
            f"{wrong[0]}"
        )


def worded(parts: LatentParts, config: Any, prompts: Iterable[str]) -> Iterator[str]:
    """Sentences on how prompts are read, and on those of which the text encoder reads only the
    beginning.

    Raises:
        InputFileError: no tokenizer there. ConfigError: it does not belong to the text encoder, or
            the networks cannot read prompts as the configuration says.
    """
    _check_served(parts, config)
    tokenizer = _tokenizer(parts)
    wording, prompts = wording_of(config, tokenizer), list(dict.fromkeys(prompts))
    cuts = {p: sum(part.cut for part in wording.read(tokenizer, p)) for p in prompts}
    room = wording.chunks * tokenizer.room
    yield from few(
        f"the prompt {shortened(prompt)} is {room + cut} tokens long and the text encoder "
        f"takes {room}: the last {cut} are cut off{_more_room(parts, config)}"
        for prompt, cut in cuts.items()
        if cut
    )
    yield from few(notes_of(wording, tokenizer, prompts))


def _more_room(parts: LatentParts, config: Any) -> str:
    if config.long_prompts != CUT or _unserved(parts, "long_prompts"):
        return ""
    return "; long_prompts=chunks reads them"


def _check_served(parts: LatentParts, config: Any) -> None:
    for key, usual in (("prompt_syntax", PLAIN), ("long_prompts", CUT)):
        value = getattr(config, key)
        if value != usual and (reason := _unserved(parts, key)):
            raise ConfigError(f"{key} is {value}; {reason}. Leave it out")


def _unserved(parts: LatentParts, key: str) -> str:
    """Why the networks cannot follow a key of prompts; "" where they can."""
    text, network = parts.text_encoder.network, parts.network.network
    if not text.text.worded:
        return (
            f"{text.about} takes prompts as they are, up to {parts.text_encoder.spec.length} tokens"
        )
    fixed = network.denoiser.images or network.denoiser.tokens(parts.network.spec)
    if key == "long_prompts" and fixed:
        return (
            f"{network.about} reads the vectors of {parts.text_encoder.spec.length} tokens, no more"
        )
    return ""


def _tokenizer(parts: LatentParts) -> Any:
    text = parts.text_encoder
    tokenizer = read_tokenizer(text.network.family, parts.tokenizer, text.spec)
    if tokenizer.vocabulary > text.spec.vocabulary:
        raise ConfigError(
            f"{parts.tokenizer} has {tokenizer.vocabulary} tokens and the text encoder "
            f"{text.spec.vocabulary}; they do not belong together"
        )
    return tokenizer


def few(sentences: Iterable[str], most: int = 5) -> Iterator[str]:
    """The first sentences on prompts, and how many prompts they would also be said of."""
    rest = 0
    for number, sentence in enumerate(sentences):
        if number < most:
            yield sentence
        else:
            rest += 1
    if rest:
        yield f"the same is true of {rest} more prompts"


def shortened(prompt: str, longest: int = 60) -> str:
    """A prompt in a message, its middle left out where it is long."""
    half = longest // 2
    return repr(prompt) if len(prompt) <= longest else f"{prompt[:half]!r}...{prompt[-half:]!r}"


def unled(negative: str, key: str, guidances: Iterable[float]) -> Iterator[str]:
    """A sentence where a negative prompt has no effect, because nothing is guided."""
    if negative and set(guidances) == {1}:
        yield f"{key} has no effect: guidance is 1, which is none; sample.guidance=7.5 is usual"


def several(prompts: Sequence[str], each: int = 1) -> str:
    """The prompts in a row of the dry run."""
    shown = "; ".join(shortened(p) for p in prompts[:4])
    more = f"; and {len(prompts) - 4} more" if len(prompts) > 4 else ""
    return f"{len(prompts)}{f', {each} videos each' * (each > 1)}: {shown or 'none'}{more}"


def no_rate(parts: LatentParts, key: str) -> Iterator[tuple[str, str]]:
    """(key, reason) where the network is not conditioned on a frame rate."""
    if "fps" not in parts.network.network.denoiser.takes(parts.network.spec):
        yield key, "is not read: the network is not conditioned on a frame rate"


def unjoined(parts: LatentParts, *keys: str) -> Iterator[tuple[str, str]]:
    """(key, reason) of keys for networks of one sequence of text and video, for all others."""
    if "joint" not in parts.network.network.denoiser.features:
        for key in keys:
            yield key, "is not read: text and video are no one sequence in the network"


def is_told(parts: LatentParts) -> bool:
    """Whether the network is told its guidance, and asked once a step."""
    return "guidance" in parts.network.network.denoiser.takes(parts.network.spec)


def idle_where_told(parts: LatentParts, *keys: str) -> Iterator[tuple[str, str]]:
    """(key, reason) of the keys of guidance by two passes, for a network that is told its own."""
    if is_told(parts):
        for key in (*keys, "sample.rescale"):
            yield key, "is not read: the network is told its guidance, and asked once a step"


def not_told(parts: LatentParts, pipeline: str) -> None:
    """Raise ConfigError where the network is told its guidance, for a pipeline that guides by two
    passes.
    """
    if is_told(parts):
        raise ConfigError(
            f"{parts.where}: the network is told its guidance; pipeline={pipeline} guides by two passes, "
            "text_to_video, extend and interpolate can tell it"
        )


def in_few_steps(parts: LatentParts, sample: Any) -> Iterator[str]:
    """A sentence where the guidance of a distilled network is guided once more."""
    name = sampler_of(sample, parts.noising).name
    if name in ("lcm", "tcd") and sample.guidance > 2 and not is_told(parts):
        yield (
            f"sample.guidance is {sample.guidance:g} with {name}: a network distilled to few steps has its guidance "
            "inside; 1, or up to 2, is usual"
        )


def step_cost(parts: LatentParts, rows: int, frames: int, size: Sequence[int]) -> Any:
    """What one call of the network on `rows` videos of that many latent frames costs."""
    check = getattr(parts.network.spec, "check_frames", None)
    if check is not None:
        check(frames)
    factor, tokens = parts.vae.spec.factor, parts.text_encoder.spec.length
    images = parts.network.network.denoiser.images
    if images:
        each = parts.projector.spec.tokens
        tokens += each // images.frames if frames == images.frames else each
    load = Load(rows, frames, size[0] // factor, size[1] // factor, tokens)
    return parts.network.network.cost(parts.network.spec, load)


def network_rows(parts: LatentParts, about: str = "") -> dict[str, str]:
    """The rows of a dry run on the networks; `about` them in the place of the family's name."""
    numbers = (f"{name} {count(n)}" for name, n in parts.parameters().items())
    return {
        "weights": f"{parts.where} ({about or parts.network.family})",
        "parameters": ", ".join(numbers),
    }


def longest_run(plan: LongPlan) -> int:
    """Frames of the longest run of a plan."""
    return max((len(job.frames) for job in plan.jobs), default=0)


def gib(number: float) -> str:
    """Bytes in a row of the dry run."""
    return f"about {number / GIB:.2f} GiB"

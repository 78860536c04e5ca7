"""What a training would do, and whether it could: its weights, its data, its memory. Without
MindSpore.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindlong import __version__
from mindlong.checkpoints import saved_steps
from mindlong.checkpoints.files import open_weights
from mindlong.checkpoints.imaged_parts import check_imaged
from mindlong.checkpoints.locate import find_branch, locate
from mindlong.checkpoints.lora.targets import check_base
from mindlong.checkpoints.part_places import read_projector, read_text_encoder
from mindlong.checkpoints.parts import Part, read_part
from mindlong.checkpoints.report import compare
from mindlong.checkpoints.start import check_inflated, check_start
from mindlong.checkpoints.text_source import text_source
from mindlong.config.compare import check_same_run
from mindlong.config.cost import training_cost
from mindlong.config.section import load_model
from mindlong.config.tasks import DRAWN_FROM_DATA, TASKS, task_of
from mindlong.data.build import build_source
from mindlong.data.check import check as check_data
from mindlong.data.needs import needs_of
from mindlong.data.one_shot import one_shot_of
from mindlong.networks import table
from mindlong.networks.network import Network, made
from mindlong.parallel.launch import world_size
from mindlong.training.board import check_installed
from mindlong.training.channels import check_channels, check_pixels
from mindlong.training.inputs import PLACES
from mindlong.training.named import check_patterns
from mindlong.utils import hub, system
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.lines import count
from mindlong.utils.needed import needed
from mindlong.utils.sizes import divisible

if TYPE_CHECKING:
    from mindlong.config.load import Loaded
    from mindlong.config.schema import TrainConfig

LATENT = ("latent", "images", "infinet", "interpolation", "tune", "distil")
USUAL_FACTOR = 8  # pixels of a latent along an edge
LOWER = "train.batch_size (train.accumulate keeps its effect), data.size or data.frames"


@dataclass(frozen=True)
class Plan:
    """A training worked out: rows of the dry run, sentences for the user, bytes of a process."""

    rows: dict[str, str]
    notes: list[str]
    memory: float


def plan_of(loaded: Loaded) -> Plan:
    """What a run would do. The data are not looked at (`problems_of_data`).

    Raises:
        ConfigError, InputFileError: as the run would, of everything but its data.
    """
    config: TrainConfig = loaded.values
    task, options = task_of(config), config.train
    factor, latents, notes = (USUAL_FACTOR, 0, [])
    if task in LATENT:
        factor, latents, notes = _check_latents(config, task)
    check_pixels(config, task)
    text_source(config.model)  # its weights are there, and fit
    check_patterns(config)
    _check_folder(loaded)
    if options.tensorboard:
        check_installed()
    processes = world_size()
    problem = options.problem_of(processes)
    if problem:
        raise ConfigError(problem)
    cost = training_cost(config, factor, latents, processes)
    last = max(options.steps // options.save_every, 1)
    rows = {
        "mindlong": f"{__version__}, dry run: nothing is trained",
        "task": f"{task}: {TASKS[task].about}",
        "world size": str(world_size()),
        "parameters": ", ".join(f"{group} {count(n)}" for group, n in cost.groups.items()),
        "a step": f"{options.batch_size} samples, {count(cost.flops)}FLOP",
        "peak memory": f"about {cost.memory / 2**30:.2f} GiB on one process (estimate)"
        + _of_more(config, factor, latents, processes),
        **_on_host(config, cost.host),
        "plan": f"{options.steps} steps, {options.steps * options.batch_size} samples, "
        f"about {last} checkpoints in {Path(config.run_dir)}",
        "previews": _previews(config, task),
        **check_start(config),
        **check_base(config),
    }
    return Plan(rows, notes, cost.memory)


def _on_host(config: TrainConfig, size: float) -> dict[str, str]:
    """What stays in the memory of the host."""
    if config.train.offload == "none":
        return {}
    what = "moments and averages" if config.train.offload == "all" else "moments"
    return {"host memory": f"about {size / 2**30:.2f} GiB of {what} of each process"}


def _of_more(config: TrainConfig, factor: int, latents: int, processes: int) -> str:
    """What each of more processes would need, where moments are spread over them."""
    if config.train.shard == "none":
        return ""
    more = [
        f"{training_cost(config, factor, latents, n).memory / 2**30:.2f} GiB of {n}"
        for n in (2, 4, 8, 16)
        if n > processes and n <= config.train.batch_size
    ]
    return f"; of each process {', '.join(more)}" if more else ""


def notes_on_data(config: TrainConfig) -> list[str]:
    """Sentences on the data, which are looked at.

    Raises:
        ConfigError: the model cannot take them. InputFileError: they are not there or cannot be
            read.
    """
    needs = needs_of(config)
    for problem in needs.problems():
        raise ConfigError(problem)
    if config.data.kind != "clips" and needs.clips:
        build_source(config.data, config.train.seed, needs)
    report = check_data(config.data, needs, config.train.seed)
    for problem in report.problems:
        raise InputFileError(problem)
    if config.tune.wanted:  # its videos have the frames
        one_shot_of(config)
    return report.notes


def _previews(config: TrainConfig, task: str) -> str:
    every, prompts = config.train.preview_every, len(config.preview.prompts)
    if not every:
        return "none: train.preview_every is 0"
    if task in DRAWN_FROM_DATA:
        return f"every {every} steps, of the data"
    return f"{prompts} every {every} steps" if prompts else "none: preview.prompts is empty"


def _check_folder(loaded: Loaded) -> None:
    """The run's folder holds nothing or this very training; files that it names are compared by
    the run, by content.
    """
    run_dir = Path(loaded.values.run_dir)
    system.check_folder(run_dir, "run_dir")
    saved = run_dir / "config.yaml"
    if saved.is_file() and saved_steps.latest(run_dir) is not None:
        check_same_run(saved.read_text(encoding="utf-8"), loaded.text, str(run_dir), PLACES)


def _check_latents(config: TrainConfig, task: str) -> tuple[int, int, list[str]]:
    """Pixels of a latent along an edge, latents of a clip, and sentences: the parts are there and
    go together.
    """
    latents, entry = config.latents, table.get(config.model.family)
    vae = read_part(open_weights(locate(latents.vae, "latents.vae")), "vae")
    _fits(vae, "latents.vae")
    encoder, text = _text(config)
    spec = config.model.spec()
    width = needed(entry.denoiser, "denoiser").width(spec)
    if text.width != width:
        raise ConfigError(
            f"the text encoder gives vectors of {text.width} numbers and model.context_dim is {width}; they "
            "must be equal"
        )
    check_channels(spec, vae.spec.latent_channels, task, entry)
    if task == "images":
        _check_images(config, vae, text)
    divisible(config.data.size, vae.spec.factor, entry.denoiser.side(spec), "data.size")
    count_of = vae.spec.latents_of(config.data.frames)
    if latents.unet_weights:
        _check_start(config, entry, task)
    if config.distil.wanted:
        _check_teacher(config, entry)
    if config.infinet.branch:
        find_branch(latents.unet_weights or "", config.infinet.branch)
    return vae.spec.factor, count_of, list(_overlong(config, encoder, text))


def _text(config: TrainConfig) -> tuple[Network, Any]:
    """The text encoder and its sizes."""
    latents = config.latents
    if latents.text_weights:
        locate(latents.text_weights, "latents.text_weights")
        part = read_text_encoder(latents.text_weights)
        _fits(part, "latents.text_weights")
        return part.network, part.spec
    section = load_model(latents.text_encoder)
    return table.get(section.family, "text_encoder"), section.spec()


def _check_teacher(config: TrainConfig, entry: Network) -> None:
    """The network that is distilled is there, whole, and of the model's family."""
    weights = open_weights(locate(config.distil.teacher, "distil.teacher"))
    _fits(read_part(weights, "network", entry.family), "distil.teacher")


def _check_images(config: TrainConfig, vae: Part, text: Any) -> None:
    """What makes an image's tokens is there, and fits. Raises ConfigError, InputFileError."""
    entry, spec = table.get(config.model.family), config.model.spec()
    named = {role: getattr(config.latents, role) for role in ("image_encoder", "projector")}
    for role, place in named.items():
        if not place:
            raise ConfigError(
                f"latents.{role} is empty; the family {config.model.family} reads an image's tokens"
            )
    parts = {
        role: read_projector(place)
        if role == "projector"
        else read_part(open_weights(locate(place, f"latents.{role}")), role)
        for role, place in named.items()
    }
    for role, part in parts.items():
        _fits(part, f"latents.{role}")
    frames = entry.denoiser.images.frames
    if frames and config.data.frames != frames:
        raise ConfigError(
            f"data.frames is {config.data.frames}; the family {config.model.family} has image tokens for each of "
            f"{frames} frames, so it is trained on so many"
        )
    check_imaged(Part(entry, spec, {}), vae, Part(entry, text, {}), **parts, section="latents")


def _check_start(config: TrainConfig, entry: Network, task: str) -> None:
    """The weights that the network starts from, as far as it takes them over."""
    weights = open_weights(locate(config.latents.unet_weights, "latents.unet_weights"))
    if task == "interpolation":  # inflated: from an image network, or one without hints
        check_inflated(read_part(weights, "network"), config, "latents.unet_weights")
        return
    part = read_part(weights, "network", entry.family)
    held = {name: lazy.shape for name, lazy in part.arrays.items()}
    needed = {e.ours: e.our_shape for e in entry.formats[0].entries(config.model.spec())}
    wrong = compare(needed, held).misshaped
    for name, (want, have) in wrong.items():
        raise InputFileError(
            f"latents.unet_weights: {len(wrong)} tensors do not fit the model, the first is {name}: "
            f"{list(have)} and not {list(want)}"
        )


def _fits(part: Part, key: str) -> None:
    needed = {e.ours: e.our_shape for e in part.network.formats[0].entries(part.spec)}
    report = compare(needed, {name: lazy.shape for name, lazy in part.arrays.items()})
    for name in (*report.misshaped, *report.missing):
        raise InputFileError(f"{key}: the tensors do not fit the network's sizes, first {name}")


def _overlong(config: TrainConfig, encoder: Network, text: Any) -> Iterator[str]:
    """Sentences on prompts that are cut. Raises InputFileError where there is no tokenizer."""
    place = config.latents.tokenizer
    if not Path(place).exists():
        raise InputFileError(f"latents.tokenizer: nothing at {place}{hub.advice(place)}")
    tokenizer = made(needed(encoder.text, "text").tokenizer)(place, text)
    if tokenizer.vocabulary > text.vocabulary:
        raise ConfigError(
            f"{place} has {tokenizer.vocabulary} tokens and the text encoder {text.vocabulary}; they do not "
            "belong together"
        )
    tuned = [prompt for _, prompt in config.tune.pairs()]
    for prompt in dict.fromkeys([*config.preview.prompts, *tuned]):
        cut = tokenizer.overlong(prompt)
        if cut:
            yield f"the last {cut} tokens of the prompt {prompt[:60]!r} are cut off; there is room for {tokenizer.room}"

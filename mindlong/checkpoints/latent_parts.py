"""Where the parts of a latent pipeline stand, without MindSpore: networks, tokenizer, noising
process, usual sizes.

They come from one place, a folder of ours, a diffusers folder, an original's file, or a training
run of ours (whose configuration says where its autoencoder and tokenizer are), and the section
`latent` of a configuration can name another for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mindlong.checkpoints.changed import base_of, tuned_over
from mindlong.checkpoints.files import open_weights
from mindlong.checkpoints.find import config_of, locate, open_named
from mindlong.checkpoints.finite import Watch
from mindlong.checkpoints.folders import SCHEDULER, parts_in
from mindlong.checkpoints.join import joined, module_of, open_module, refuse_alone
from mindlong.checkpoints.lazy import total_bytes
from mindlong.checkpoints.lora.latent import with_loras
from mindlong.checkpoints.lora.merge import Merged
from mindlong.checkpoints.parts import Part, read_part
from mindlong.checkpoints.weight_file import WeightFile
from mindlong.config.infer_options.latent import LatentModelOptions
from mindlong.config.schema import TrainConfig
from mindlong.diffusion import schedules
from mindlong.diffusion.noising import Noising, of_options
from mindlong.diffusion.scheduler_config import read_file
from mindlong.networks.network import Network
from mindlong.utils import hub
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.log import once
from mindlong.utils.needed import needed
from mindlong.utils.progress import bar
from mindlong.utils.remember import remembered

LARGE = 1 << 30  # bytes of weights from which a bar is shown


@dataclass(frozen=True)
class LatentParts:
    """Everything a latent pipeline is made of, still to be read.

    Attributes:
        where: what `weights` meant.
        network, vae, text_encoder: networks with their specs.
        tokenizer: a folder or a file of a tokenizer.
        noising: the process that the network was trained on.
        size: frames, height and width (pixels) that the network is used at where the user says
            nothing.
        unmerged: role -> network without the LoRAs that were asked for; empty without any.
        merged: what these change.
        loras: these, as they were named.
    """

    where: Path
    network: Part
    vae: Part
    text_encoder: Part
    tokenizer: Path
    noising: Noising
    size: tuple[int, int, int]
    unmerged: Mapping[str, Part] = field(default_factory=dict)
    merged: Merged | None = None
    loras: tuple[str, ...] = ()

    @property
    def step(self) -> int:
        """Pixels of which both sides of a video are multiples."""
        return self.vae.spec.factor * needed(self.network.network.denoiser, "denoiser").side(
            self.network.spec
        )

    def parameters(self) -> dict[str, int]:
        """Numbers in each network."""
        return {
            name: part.size()
            for name, part in (
                (self.network.network.part, self.network),
                ("vae", self.vae),
                ("text encoder", self.text_encoder),
            )
        }


@remembered
def find_latent_parts(weights: str, options: LatentModelOptions) -> LatentParts:
    """The parts that `weights` and `options` name.

    Raises:
        InputFileError: nothing there, a part missing or damaged; the sentence says which key names
            another place for it.
        ConfigError: parts that do not go together.
    """
    where = locate(weights)
    base = base_of(where)
    if base:
        return _over(find_latent_parts(base, _beside(where, options)), where)
    held = open_named(weights)
    run = _run(where)
    module = open_module(options.motion, "latent.motion") if options.motion else None
    network = _latent(_network(held, module, options), where)
    if options.reads:
        network = replace(network, spec=_reading(network, options.reads))
    vae = _other("vae", options.vae, held, run.latents.vae if run else "")
    if run and run.latents.scaling:
        vae = replace(vae, spec=replace(vae.spec, scaling=run.latents.scaling))
    text = _text(options.text_encoder, held, run)
    denoiser = needed(network.network.denoiser, "denoiser")
    text = fitted_text(text, network.network, network.spec)
    if text.spec.width != denoiser.width(network.spec):
        raise ConfigError(
            f"{where}: the text encoder gives vectors of {text.spec.width} numbers and the {network.network.part} "
            f"wants {denoiser.width(network.spec)}; latent.text_encoder can name another"
        )
    _check_finite({"network": network, "vae": vae, "text_encoder": text})
    size = denoiser.size
    if run:
        height, width = run.data.size
        size = (run.data.frames, height, width)
    return LatentParts(
        where,
        network,
        vae,
        text,
        _tokenizer(held, text, options, run),
        _noising(module or held, network, options, _run(module.path) if module else run),
        size,
    )


def parts_of(config: Any) -> LatentParts:
    """The parts that the configuration of a latent pipeline names, with its LoRAs. Raises as
    `find_latent_parts` and `with_loras`.
    """
    found = find_latent_parts(config.weights, config.latent)
    return with_loras(found, config.lora, config.lora_strict)


def _beside(folder: Path, options: LatentModelOptions) -> LatentModelOptions:
    """`options` for the weights below tuned tensors, beside which a noising process may stand."""
    if options.scheduler or not (folder / SCHEDULER).is_file():
        return options
    return replace(options, scheduler=str(folder / SCHEDULER))


def _over(parts: LatentParts, folder: Path) -> LatentParts:
    """`parts` with the tuned tensors of a folder put over the network's."""
    return replace(parts, where=folder, network=tuned_over(parts.network, folder))


def _network(held: WeightFile, module: WeightFile | None, options: LatentModelOptions) -> Part:
    """What denoises, with the motion modules of another file where one is named."""
    said = {key: getattr(options, key) for key in ("version", "compat") if getattr(options, key)}
    refuse_alone(held)
    found = read_part(held, "network", options.family or None)
    if module is not None:
        return joined(found, module, said)
    if not said:
        return found
    if module_of(found.family) is None:
        raise ConfigError(
            f"latent.{next(iter(said))} is for networks with motion modules; {held.path} is {found.network.about}"
        )
    return read_part(held, "network", options.family or None, said)


def _run(where: Path) -> TrainConfig | None:
    """The configuration of the training that made the weights, where it is one of a latent
    family.
    """
    whole = where.is_dir() and any(parts_in(where))
    if (
        whole and not (where / "config.yaml").is_file()
    ):  # what lies above a whole pipeline is not its own
        return None
    try:
        config = config_of(where / "file" if where.is_dir() else where)
    except (InputFileError, ConfigError):
        return None
    return config if config.latents.vae else None


def _check_finite(parts: Mapping[str, Part]) -> None:
    """Read every tensor once, because what is found at the last of many steps is found too late.
    Raises NotFinite with the names.
    """
    large = sum(total_bytes(part.arrays.values()) for part in parts.values()) >= LARGE
    count = sum(len(part.arrays) for part in parts.values())
    with bar(count, "checking the weights", rank=int(not large), unit="tensor") as seen:
        for role, part in parts.items():
            watch = Watch(f"the {role} ({part.network.about})")
            for lazy in watch.over(part.arrays).values():
                lazy.get()
                seen.update()
            watch.refuse()


def _latent(part: Part, where: Path) -> Part:
    if needed(part.network.denoiser, "denoiser").space != "latent":
        raise ConfigError(
            f"{where} is {part.network.about}, which makes videos in pixels; this pipeline needs one in latents"
        )
    return part


def _reading(part: Part, reads: dict[str, str]) -> Any:
    spec = part.spec
    if not hasattr(spec, "reading"):
        raise ConfigError(
            f"latent.reads: {part.network.about} has no attentions whose frames to read can be chosen"
        )
    for branch, policy in reads.items():
        spec = spec.reading(branch, policy)
    return spec


def _other(part: str, named: str, held: WeightFile, from_run: str) -> Part:
    """A network from the place that the user names, from `weights`, or from where the training
    found it.
    """
    if named:
        return read_part(open_named(named, f"latent.{part}"), part)
    try:
        return read_part(held, part)
    except InputFileError as error:
        if "holds no" not in str(error):
            raise
    if from_run:
        return read_part(open_named(from_run, f"latents.{part}"), part)
    raise InputFileError(f"{held.path} has no {part}; name one with latent.{part}")


def _text(named: str, held: WeightFile, run: TrainConfig | None) -> Part:
    """The text encoder from the place that the user names, or the one that `held` was trained
    with.
    """
    if named or run is None or not run.latents.text_weights:
        return _other("text_encoder", named, held, "")
    return _trained_with(held, run)


def fitted_text(text: Part, network: Network, spec: Any) -> Part:
    """The text encoder with the length of prompts that a network reads, where it takes any."""
    tokens = needed(network.denoiser, "denoiser").tokens(spec)
    if not (tokens and needed(text.network.text, "text").layered):
        return text
    return replace(text, spec=replace(text.spec, length=tokens))


def read_text_encoder(named: str) -> Part:
    """The text encoder of whatever `weights=` can name.

    Raises:
        InputFileError: it has none, or a damaged one. ConfigError: nothing says its sizes.
    """
    where = locate(named)
    return _trained_with(open_weights(where), _run(where))


def _trained_with(held: WeightFile, run: TrainConfig | None) -> Part:
    """A run that began with a given text encoder has the weights of it, and the sizes where that
    one came from.
    """
    try:
        return read_part(held, "text_encoder")
    except (InputFileError, ConfigError):
        if run is None or not run.latents.text_weights:
            raise
    given = read_text_encoder(run.latents.text_weights)
    own = {
        n.removeprefix("text_encoder."): held.lazy(n) for n in held if n.startswith("text_encoder.")
    }
    return replace(given, arrays=own or given.arrays)


def _tokenizer(
    held: WeightFile, text: Part, options: LatentModelOptions, run: TrainConfig | None
) -> Path:
    files = needed(text.network.text, "text").files
    if options.tokenizer:
        return _existing(options.tokenizer, "latent.tokenizer")
    held_beside = held.tokenizer(files)
    if held_beside:
        return held_beside
    if run and run.latents.tokenizer:
        return Path(run.latents.tokenizer)
    raise InputFileError(
        f"{held.path} has no tokenizer; name a folder with one of {', '.join(files)} with latent.tokenizer"
    )


def _noising(
    held: WeightFile, network: Part, options: LatentModelOptions, run: TrainConfig | None
) -> Noising:
    denoiser, facts = needed(network.network.denoiser, "denoiser"), network.facts
    beside = None if denoiser.owns_noising else held.beside.get(SCHEDULER)
    path = _existing(options.scheduler, "latent.scheduler") if options.scheduler else beside
    if path is not None:
        found, source = read_file(path), str(path)
    elif run:
        found, source = of_options(run.diffusion), "the training's configuration"
    else:
        found = denoiser.noising(network.spec, facts)
        source = f"as published for {network.family}"
    once(f"the noising process: {source}")
    scale = denoiser.signal_scale(network.spec, facts)
    if options.dynamic_scale == "on" and scale is None:
        scale = schedules.videocrafter_scale()
    if options.dynamic_scale == "off":
        found = replace(found, schedule=replace(found.schedule, signal_scale=None))
    elif scale is not None:
        found = replace(found, schedule=found.schedule.with_signal_scale(scale))
    return replace(found, prediction=options.prediction or found.prediction)


def _existing(named: str, key: str) -> Path:
    if not Path(named).exists():
        raise InputFileError(f"{key}: nothing at {named}{hub.advice(named)}")
    return Path(named)

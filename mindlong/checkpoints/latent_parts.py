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
from typing import TYPE_CHECKING

from mindlong.checkpoints.changed import base_of, over
from mindlong.checkpoints.files import open_named
from mindlong.checkpoints.finite import Watch
from mindlong.checkpoints.folders import SCHEDULER
from mindlong.checkpoints.imaged_parts import check_imaged
from mindlong.checkpoints.join import joined, module_of, open_module, refuse_alone
from mindlong.checkpoints.lazy import total_bytes
from mindlong.checkpoints.locate import locate
from mindlong.checkpoints.part_places import (
    existing,
    fitted_text,
    image_parts,
    part_at,
    text_encoder,
    tokenizer,
)
from mindlong.checkpoints.parts import read_part
from mindlong.checkpoints.run_config import latent_training
from mindlong.diffusion import schedules
from mindlong.diffusion.noising import of_options
from mindlong.diffusion.scheduler_config import read_file
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.log import once
from mindlong.utils.needed import needed
from mindlong.utils.progress import bar
from mindlong.utils.remember import remembered

if TYPE_CHECKING:
    from mindlong.checkpoints.lora.merge import Merged
    from mindlong.checkpoints.parts import Part
    from mindlong.checkpoints.weight_file import WeightFile
    from mindlong.config.infer_options.latent import LatentModelOptions
    from mindlong.config.schema import TrainConfig
    from mindlong.diffusion.noising import Noising

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
        lora_stamps: what tells the content of their files from another.
        image_encoder, projector: what makes the tokens of an image, for a network that reads them.
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
    lora_stamps: tuple[object, ...] = ()

    image_encoder: Part | None = None
    projector: Part | None = None

    @property
    def step(self) -> int:
        """Pixels of which both sides of a video are multiples."""
        return self.vae.spec.factor * needed(self.network.network.denoiser, "denoiser").side(
            self.network.spec
        )

    def held(self) -> dict[str, Part]:
        """Role -> the network, of those that there are."""
        found = {
            "network": self.network,
            "vae": self.vae,
            "text_encoder": self.text_encoder,
            "image_encoder": self.image_encoder,
            "projector": self.projector,
        }
        return {role: part for role, part in found.items() if part is not None}

    def parameters(self) -> dict[str, int]:
        """Numbers in each network."""
        return {
            part.network.part if role == "network" else role.replace("_", " "): part.size()
            for role, part in self.held().items()
        }

    def said_parameters(self) -> str:
        """The same in words."""
        return ", ".join(f"{name} {number:,}" for name, number in self.parameters().items())


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
    held, run = open_named(weights), latent_training(where)
    module = open_module(options.motion, "latent.motion") if options.motion else None
    network = _reading(_latent(_network(held, module, options), where), options.reads)
    vae = _vae(options.vae, held, run)
    text = fitted_text(text_encoder(options.text_encoder, held, run), network.network, network.spec)
    _check_text(where, network, text)
    imaged = image_parts(held, network, options, run)
    _check_finite({"network": network, "vae": vae, "text_encoder": text, **imaged})
    if imaged:
        check_imaged(network, vae, text, imaged["image_encoder"], imaged["projector"])
    trained = latent_training(module.path) if module else run
    return LatentParts(
        where,
        network,
        vae,
        text,
        tokenizer(held, text, options, run),
        _noising(module or held, network, options, trained),
        _size(network, run),
        image_encoder=imaged.get("image_encoder"),
        projector=imaged.get("projector"),
    )


def _vae(named: str, held: WeightFile, run: TrainConfig | None) -> Part:
    found = part_at("vae", named, held, run.latents.vae if run else "")
    if run and run.latents.scaling:
        return replace(found, spec=replace(found.spec, scaling=run.latents.scaling))
    return found


def _check_text(where: Path, network: Part, text: Part) -> None:
    width = needed(network.network.denoiser, "denoiser").width(network.spec)
    if text.spec.width != width:
        raise ConfigError(
            f"{where}: the text encoder gives vectors of {text.spec.width} numbers and the {network.network.part} "
            f"wants {width}; latent.text_encoder can name another"
        )


def _size(network: Part, run: TrainConfig | None) -> tuple[int, int, int]:
    """Frames, height and width where the user says nothing."""
    if run is None:
        return needed(network.network.denoiser, "denoiser").size
    height, width = run.data.size
    return run.data.frames, height, width


def _beside(folder: Path, options: LatentModelOptions) -> LatentModelOptions:
    """`options` for the weights below tuned tensors, beside which a noising process may stand."""
    if options.scheduler or not (folder / SCHEDULER).is_file():
        return options
    return replace(options, scheduler=str(folder / SCHEDULER))


def _over(parts: LatentParts, folder: Path) -> LatentParts:
    """`parts` with what a folder changes of the network put over it."""
    return replace(parts, where=folder, network=over(parts.network, folder))


def _network(held: WeightFile, module: WeightFile | None, options: LatentModelOptions) -> Part:
    """What denoises, with the motion modules of another file where one is named."""
    said = {key: getattr(options, key) for key in ("version", "compat") if getattr(options, key)}
    try:
        found = read_part(held, "network", options.family or None)
    except (InputFileError, ConfigError):
        refuse_alone(held)
        raise
    if module is not None:
        return joined(found, module, said)
    if not said:
        return found
    if module_of(found.family) is None:
        raise ConfigError(
            f"latent.{next(iter(said))} is for networks with motion modules; {held.path} is {found.network.about}"
        )
    return read_part(held, "network", options.family or None, said)


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


def _reading(part: Part, reads: Mapping[str, str]) -> Part:
    """The network with other key/value policies, where some are asked for."""
    spec = part.spec
    if reads and not hasattr(spec, "reading"):
        raise ConfigError(
            f"latent.reads: {part.network.about} has no attentions whose frames to read can be chosen"
        )
    for branch, policy in reads.items():
        spec = spec.reading(branch, policy)
    return replace(part, spec=spec)


def _noising(
    held: WeightFile, network: Part, options: LatentModelOptions, run: TrainConfig | None
) -> Noising:
    denoiser, facts = needed(network.network.denoiser, "denoiser"), network.facts
    beside = None if denoiser.owns_noising else held.beside.get(SCHEDULER)
    path = existing(options.scheduler, "latent.scheduler") if options.scheduler else beside
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

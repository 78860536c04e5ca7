"""Whether the patterns of a training choose anything, before its network is built: the names are
read off the specs. Without MindSpore.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mindlong.checkpoints.part_places import read_projector, read_text_encoder
from mindlong.config.section import load_model
from mindlong.config.tasks import task_of
from mindlong.networks import table
from mindlong.networks.unet import control_spec
from mindlong.training.patterns import KEYS, check_trainable, learns, nothing_left, refuse_idle

if TYPE_CHECKING:
    from mindlong.config.schema import TrainConfig

TEXT, PROJECTOR = "text_encoder", "projector"


def check_patterns(config: TrainConfig) -> None:
    """For a dry run: raise ConfigError as the run would."""
    options = config.train
    trainable = config.tune.trainable if task_of(config) == "tune" else []
    if options.lora.wanted or not (trainable or any(getattr(options, key) for key in KEYS)):
        return
    names, unlisted = names_of(config)
    check_trainable(trainable, names)
    refuse_idle(options, names, unlisted)
    still = bool(config.latents.text_weights) and not config.latents.train_text
    free = [name for name in names if not (still and name.startswith(f"{TEXT}."))]
    if not unlisted and not any(learns(name, options) for name in free):
        raise nothing_left(options, len(names))


def names_of(config: TrainConfig) -> tuple[list[str], list[str]]:
    """Names of the parameters of the network that a configuration trains, and the first words of
    those that no list holds.
    """
    task, entry, spec = task_of(config), table.get(config.model.family), config.model.spec()
    own = [entry_.ours for entry_ in entry.formats[0].entries(spec)]
    if task == "autoencoder":
        return own, []
    if config.infinet.lengths:
        own += [e.ours for e in control_spec.names(spec, config.infinet.control())]
    names = [f"{entry.part}.{name}" for name in own]
    if task == "pixel":
        beside = getattr(config.model, "names_beside", None)
        return (names + beside(), []) if beside else (names, sorted(config.model.beside()))
    if task == "images":
        names += _names_of_projector(config)
    return names + _names_of_text(config), []


def _names_of_projector(config: TrainConfig) -> list[str]:
    part = read_projector(config.latents.projector)
    entries = part.network.formats[0].entries(part.spec)
    return [f"{PROJECTOR}.{entry.ours}" for entry in entries]


def _names_of_text(config: TrainConfig) -> list[str]:
    latents = config.latents
    if latents.text_weights:
        part = read_text_encoder(latents.text_weights)
        network, spec = part.network, part.spec
        if network.text and network.text.layered and not latents.train_text:
            return []  # its states are kept
    else:
        section = load_model(latents.text_encoder)
        network, spec = table.get(section.family, TEXT), section.spec()
    return [f"{TEXT}.{entry.ours}" for entry in network.formats[0].entries(spec)]

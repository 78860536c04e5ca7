"""Which layers a training gives a LoRA, and whether its weights are all there; without
MindSpore.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from mindlong.checkpoints.files import open_named
from mindlong.checkpoints.lora.merge import inherited
from mindlong.checkpoints.lora.write import DIFFUSERS
from mindlong.checkpoints.part_places import read_text_encoder
from mindlong.checkpoints.parts import read_part
from mindlong.checkpoints.report import compare
from mindlong.checkpoints.start import base_of, pixel_arrays, text_of
from mindlong.config.lora_options import USUAL
from mindlong.config.section import load_model
from mindlong.config.tasks import task_of
from mindlong.networks import table
from mindlong.networks.lora_names import WEIGHT, Layer, layers
from mindlong.networks.network import Network
from mindlong.utils.errors import ConfigError, InputFileError, did_you_mean
from mindlong.utils.lines import count

if TYPE_CHECKING:
    from mindlong.config.schema import TrainConfig

Parts = Mapping[str, tuple[Network, Any]]  # first word of parameters' names -> entry, spec


def layers_of(parts: Parts) -> dict[str, tuple[str, Layer]]:
    """Name of a layer in the whole network -> (role, its names)."""
    found = {}
    for word, (network, spec) in parts.items():
        layouts = [form.layout for form in network.formats]
        for layer in layers(network, spec, DIFFUSERS if DIFFUSERS in layouts else ""):
            found[f"{word}.{layer.ours}"] = (network.role, layer)
    return found


def choose(
    names: Sequence[str], targets: Sequence[str], usual: Sequence[str], parts: Parts
) -> list[str]:
    """The layers that get a LoRA.

    Args:
        names: of all that can have one. targets: patterns of them. usual: patterns where `targets`
            is empty, also of weights; empty: of the projections of attentions.

    Raises:
        ConfigError: a target that names no layer, or none at all.
    """
    words = [word for word, (network, _) in parts.items() if network.role == "network"]
    own = [name for name in names if name.split(".")[0] in words]
    for pattern in targets:
        if not any(fnmatchcase(name, pattern) for name in names):
            groups = sorted({f"{name.split('.')[0]}.*" for name in names})
            raise ConfigError(
                f"train.lora.targets: the pattern {pattern!r} names no layer; layers are called "
                f"{own[0]} and the like, all are {', '.join(groups)}.{did_you_mean(pattern, names)}"
            )
    if targets:
        return [name for name in names if _any(name, targets)]
    usual = usual or USUAL
    found = [name for name in own if _any(name, usual) or _any(name + WEIGHT, usual)]
    if not found:
        raise ConfigError(
            f"train.lora.targets is empty, and none of the network's layers is called {', '.join(usual)}; "
            f"name some, such as {own[0]}"
        )
    return found


def _any(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def check_base(config: TrainConfig) -> dict[str, str]:
    """For a dry run: raise what a LoRA's training would raise of the weights below it, and a row.

    Raises:
        ConfigError, InputFileError: weights or tensors that no file holds, or targets that name no
            layer.
    """
    options = config.train.lora
    if not options.wanted:
        return {}
    task, entry = task_of(config), table.get(config.model.family)
    parts: dict[str, tuple[Network, Any]] = {entry.part: (entry, config.model.spec())}
    if task == "pixel":
        _check_pixels(config)
    else:
        _check_network(config, entry)
        parts["text_encoder"] = _text(config)
    known = layers_of(parts)
    usual = config.tune.trainable if task == "tune" else ()
    chosen = choose(list(known), options.targets, usual, parts)
    numbers = sum(_numbers(known[name][1], options.rank) for name in chosen)
    return {"lora": f"{len(chosen)} layers of rank {options.rank}, {count(numbers)} numbers learn"}


def _numbers(layer: Layer, rank: int) -> int:
    cout, cin, *kernel = layer.shape
    size = cin
    for n in kernel:
        size *= n
    return min(rank, cin, cout) * (size + cout)


def _check_network(config: TrainConfig, entry: Network) -> None:
    key, base = base_of(config)
    part = read_part(open_named(base, key), "network", entry.family)
    part = replace(part, arrays={**part.arrays, **inherited(part)})
    needed = {e.ours: e.our_shape for e in entry.formats[0].entries(config.model.spec())}
    report = compare(needed, {name: lazy.shape for name, lazy in part.arrays.items()})
    for name in (*report.missing, *report.misshaped):
        raise InputFileError(
            f"{key}: a LoRA is for weights that are all in a file; {name} is not in {base} as the model "
            "needs it"
        )


def _text(config: TrainConfig) -> tuple[Network, Any]:
    latents = config.latents
    if latents.text_weights:
        part = read_text_encoder(latents.text_weights)
        return part.network, part.spec
    if text_of(config) is None:
        raise ConfigError(
            "train.lora.rank is given, and the text encoder has no weights; latents.text_weights names some"
        )
    section = load_model(latents.text_encoder)
    return table.get(section.family, "text_encoder"), section.spec()


def _check_pixels(config: TrainConfig) -> None:
    held = pixel_arrays(config)
    if config.model.text.encoder == "caption" and not any(n.startswith("text.") for n in held):
        raise InputFileError(
            f"train.start: {config.train.start} has no caption encoder, and a LoRA is for weights that are all "
            "in a file"
        )

"""LoRA files from one naming to another, and what they say of themselves, without the weights that
they are for: the names of the published networks are enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mindlong.checkpoints.lora import keys
from mindlong.checkpoints.lora.place import WIDTHS
from mindlong.checkpoints.lora.write import DIFFUSERS, Matrices
from mindlong.config.section import model_of
from mindlong.networks import table
from mindlong.networks.lora_names import Layer, by_joined_name, by_name, layers
from mindlong.utils.errors import InputFileError
from mindlong.utils.lines import count
from mindlong.utils.shown import shown

if TYPE_CHECKING:
    from mindlong.checkpoints.lora.read import LoraFile, Pair
    from mindlong.networks.network import Network


def matrices(file: LoraFile, family: str = "") -> list[Matrices]:
    """The pairs of a file with the names that diffusers has for their layers.

    Args:
        family: of the network; "": the first that has a layer for every pair.

    Raises:
        InputFileError: no family has them all. ConfigError: no family is called so.
    """
    wanted = [table.get(family, "network")] if family else _latent()
    text = {key: layer for n in table.networks("text_encoder") for key, layer in _table(n).items()}
    least: list[Pair] = list(file.pairs)
    for network in wanted:
        found = [
            (pair, _layer(pair, network, text, place)) for place, pair in enumerate(file.pairs)
        ]
        missing = [pair for pair, layer in found if layer is None]
        if not missing:
            return [_matrices(pair, layer) for pair, layer in found if layer is not None]
        least = min(least, missing, key=len)
    names = family or ", ".join(network.family for network in wanted)
    raise InputFileError(
        f"{file.path}: {len(least)} of {len(file.pairs)} layers are in no published network ({names}): "
        f"{shown(least[0].stem, most=150)}"
    )


def _latent() -> list[Network]:
    """Networks in latents; image models first, whose LoRAs are the usual ones."""
    found = [
        (n.denoiser.tuned_as, n)
        for n in table.networks("network")
        if n.denoiser and n.denoiser.space == "latent"
    ]
    return [network for _, network in sorted(found, key=lambda pair: not pair[0])]


def _table(network: Network) -> dict[tuple[bool, str], Layer]:
    """(joined, name) -> the layer with diffusers' name, at the published sizes."""
    spec = model_of({"family": network.family}, "the published sizes").spec()
    layouts = [form.layout for form in network.formats]
    usual = layers(network, spec, DIFFUSERS if DIFFUSERS in layouts else "")
    named = {layer.ours: layer for layer in usual}
    found: dict[tuple[bool, str], Layer] = {}
    for joined, names in ((False, by_name(network, spec)), (True, by_joined_name(network, spec))):
        found |= {(joined, name): named.get(layer.ours, layer) for name, layer in names.items()}
    return found


def _layer(pair: Pair, network: Network, text: dict, place: int) -> Layer | None:
    where = pair.place
    if where.naming == keys.LIST:
        return _listed(network, place)
    known = text if where.role == keys.TEXT else _table_of(network)
    return next((known[where.joined, n] for n in where.names if (where.joined, n) in known), None)


def _listed(network: Network, place: int) -> Layer | None:
    form = next((form for form in network.formats if form.listed), None)
    if form is None or form.listed is None:
        return None
    spec = model_of({"family": network.family}, "the published sizes").spec()
    names = form.listed(spec)
    return _table_of(network).get((False, names[place])) if place < len(names) else None


_TABLES: dict[str, dict[tuple[bool, str], Layer]] = {}


def _table_of(network: Network) -> dict[tuple[bool, str], Layer]:
    if network.family not in _TABLES:
        _TABLES[network.family] = _table(network)
    return _TABLES[network.family]


def _matrices(pair: Pair, layer: Layer) -> Matrices:
    """With the axes that the file has, whatever the published size of the layer."""
    down, up = (np.asarray(each.read(), np.float32) for each in (pair.down, pair.up))
    shape = (len(up), *down.shape[1:])
    role = pair.place.role
    return Matrices(role, replace(layer, shape=shape, source_shape=shape), down, up, pair.factor)


def described(file: LoraFile) -> Iterator[str]:
    """Lines on a file: its naming, layers, ranks, alphas, and the base that it is for."""
    text = sum(pair.place.role == keys.TEXT for pair in file.pairs)
    numbers = sum(_numbers(pair) for pair in file.pairs)
    beside = f", {text} of them of a text encoder" if text else ""
    yield f"a LoRA in the names of {file.naming}: {len(file.pairs)} layers{beside}, {count(numbers)} numbers"
    ranks = sorted({pair.rank for pair in file.pairs})
    alphas = sorted({round(pair.factor * pair.rank, 6) for pair in file.pairs})
    yield f"rank {_range(ranks)}, alpha {_range(alphas)}"
    kernels = sum(len(pair.down.shape) > 2 and max(pair.down.shape[2:]) > 1 for pair in file.pairs)
    if kernels:
        yield f"{kernels} of the layers are convolutions with a kernel (LoCon)"
    yield from _bases(file)
    yield from file.notes


def _numbers(pair: Pair) -> int:
    return int(np.prod(pair.down.shape)) + int(np.prod(pair.up.shape))


def _range(values: Sequence[float]) -> str:
    return f"{values[0]:g}" if len(values) == 1 else f"{values[0]:g} to {values[-1]:g}"


def _bases(file: LoraFile) -> Iterator[str]:
    widths = {
        pair.down.shape[1]
        for pair in file.pairs
        if pair.place.role == keys.NETWORK and pair.stem.replace("_", ".").endswith("attn2.to.k")
    }
    said = file.metadata.get("ss_base_model_version")
    guesses = [f"{WIDTHS.get(w, 'an unknown base')} (prompts {w} wide)" for w in sorted(widths)]
    if said:
        guesses.append(f"its metadata says {shown(str(said), most=80)}")
    if guesses:
        yield f"for {'; '.join(guesses)}"

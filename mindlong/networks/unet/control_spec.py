"""The zero-convolution branch that conditions a video UNet on known frames: where it enters, what
it holds, its names.

Sources: NUWA-XL (arXiv 2303.12346, equations 10 and 11) for what it is meant to be;
kabachuha/InfiNet at 647ef85, folder diffusers, for the form as coded and its 160 tensors.

Legend: B videos, C channels, F frames, M channels of the mask.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from mindlong.networks.names import Entry
from mindlong.utils.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from mindlong.networks.unet.spec import UNetSpec

MODES, FILLS, TOLD = ("nuwa", "as_coded"), ("zero", "blend"), {"known": 1, "place": 3}
LEAVES = {
    "cond_scale": "conv_w",
    "cond_shift": "conv_b",
    "mask_scale": "mask_conv_w",
    "mask_shift": "mask_conv_b",
}


@dataclass(frozen=True)
class ControlSpec:
    """What the branch is made of.

    Attributes:
        mode: "nuwa": clean latents of the known frames come in, and nothing happens where none is
            known; "as_coded": the noisy latents themselves come in with a mask of the first and the
            last frame, as InfiNet's code has it.
        hidden: channels of the cascade of strided convolutions that brings the condition to each
            level; 0: one strided convolution straight from the latents for each level, as coded.
        per_layer: a unit for every layer, not one that all layers of a level share.
        depths: number of levels of the hierarchy that the network can tell apart; 0: it is not
            told.
        fill: what stands at unknown frames of the condition: "zero" as in the paper, or "blend" of
            the known neighbours.
        told: what the mask says of each frame: "known" or not, or besides its "place" between the
            known frames.
    """

    mode: str = "nuwa"
    hidden: int = 32
    per_layer: bool = False
    depths: int = 0
    fill: str = "zero"
    told: str = "known"

    def __post_init__(self) -> None:
        for name, valid in (("mode", MODES), ("fill", FILLS), ("told", TOLD)):
            if getattr(self, name) not in valid:
                raise ConfigError(
                    f"control.{name} is {getattr(self, name)!r}.{did_you_mean(getattr(self, name), valid)}"
                )
        if self.hidden < 0 or self.depths < 0:
            raise ConfigError(
                f"control.hidden is {self.hidden} and control.depths {self.depths}; neither can be below 0"
            )
        if self.mode == "as_coded" and not self.original:
            raise ConfigError(
                "control.mode as_coded has hidden 0, depths 0, fill zero, told known and no per_layer"
            )

    @property
    def original(self) -> bool:
        """Whether the tensors are those of InfiNet's units, so that they can be exchanged."""
        return (self.hidden, self.per_layer, self.depths, self.fill, self.told) == (
            0,
            False,
            0,
            "zero",
            "known",
        )

    @property
    def mask_channels(self) -> int:
        """Channels of the mask."""
        return TOLD[self.told]


AS_CODED = ControlSpec(mode="as_coded", hidden=0)


@dataclass(frozen=True)
class Unit:
    """Four convolutions: scale and shift of `width` channels from the condition and from the mask,
    `halvings` below full size.
    """

    name: str
    halvings: int
    width: int


def units(spec: UNetSpec, control: ControlSpec) -> list[Unit]:
    """The units of both ways, in the order of the layers."""
    last, found = len(spec.channels) - 1, []
    for side, levels in (("down", spec.down()), ("up", spec.up())):
        for i, level in enumerate(levels):
            halvings = i if side == "down" else last - i
            count = len(level.layers) if control.per_layer else 1
            for _ in range(count):
                found.append((side, halvings, level.width))
    counts = {"down": 0, "up": 0}
    named = []
    for side, halvings, width in found:
        named.append(Unit(f"{side}.{counts[side]}", halvings, width))
        counts[side] += 1
    return named


def unit_of_block(spec: UNetSpec, control: ControlSpec) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """For every block on the way down (-1: a change of size) and up, the number of its unit in
    `units`.
    """
    down: list[int] = []
    up: list[int] = []
    number = 0
    for kept, levels in ((down, spec.down()), (up, spec.up())):
        for level in levels:
            count = len(level.layers)
            kept += [number + j * control.per_layer for j in range(count)]
            number += count if control.per_layer else 1
            kept += [-1] * (level.resample and kept is down)
    return tuple(down), tuple(up)


def names(spec: UNetSpec, control: ControlSpec) -> list[Entry]:
    """Our tensors of the branch (`control.*`) and, where the original has them, its names for them
    (else ours).
    """
    entries = list(_cascade(spec, control))
    reads = control.hidden or spec.in_channels
    for unit in units(spec, control):
        side, number = unit.name.split(".")
        for ours, theirs in LEAVES.items():
            cin = control.mask_channels if ours.startswith("mask") else reads
            source = (
                f"infinet.{_SIDES[side]}.{number}.{theirs}"
                if control.original
                else f"control.{unit.name}.{ours}"
            )
            for leaf, shape in (("weight", (unit.width, cin, 3, 3)), ("bias", (unit.width,))):
                entries.append(
                    Entry(f"control.{unit.name}.{ours}.{leaf}", f"{source}.{leaf}", shape, shape)
                )
    if control.depths:
        name, table = "control.depth.weight", (control.depths, spec.emb_dim)
        entries.append(Entry(name, name, table, table))
    return entries


_SIDES = {"down": "input_blocks_injections", "up": "output_blocks_injections"}


def _cascade(spec: UNetSpec, control: ControlSpec) -> Iterator[Entry]:
    cin = spec.in_channels
    for k in range(len(spec.channels) if control.hidden else 0):
        for leaf, shape in (("weight", (control.hidden, cin, 3, 3)), ("bias", (control.hidden,))):
            name = f"control.cascade.{k}.{leaf}"
            yield Entry(name, name, shape, shape)
        cin = control.hidden


def original_widths(spec: UNetSpec) -> list[tuple[str, int]]:
    """(name, channels) of every unit that the original's constructor makes, the dead ones too: it
    counts layers, not levels.
    """
    made, levels = [], len(spec.channels)
    for index in range(levels * spec.layers):
        made.append(
            (
                f"infinet.{_SIDES['down']}.{index}",
                min(spec.channels[index // spec.layers] * 2**index, 1280),
            )
        )
    for index in range(levels * (spec.layers + 1)):
        width = spec.channels[levels - 1 - index // (spec.layers + 1)]
        made.append(
            (
                f"infinet.{_SIDES['up']}.{index}",
                (width // 2 ** (index - 1) if index > 1 else width) or spec.in_channels,
            )
        )
    return made


def original_shapes(spec: UNetSpec) -> dict[str, tuple[int, ...]]:
    """Every `infinet.*` tensor of the original's state dict: 160 for four levels of two layers."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, width in original_widths(spec):
        for theirs in LEAVES.values():
            shapes[f"{name}.{theirs}.weight"] = (
                width,
                1 if "mask" in theirs else spec.in_channels,
                3,
                3,
            )
            shapes[f"{name}.{theirs}.bias"] = (width,)
    return shapes


def from_original(
    spec: UNetSpec, arrays: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Our tensors from the original's `infinet.*`, and the names of those that it allocates but
    never uses.

    Raises:
        ConfigError: a tensor that is used is missing or of another shape, or a name is unknown.
    """
    entries = {entry.source: entry for entry in names(spec, AS_CODED)}
    known = original_shapes(spec)
    for name in arrays:
        if name not in known:
            raise ConfigError(f"{name!r} is no tensor of the branch.{did_you_mean(name, known)}")
    for source, entry in entries.items():
        found = np.shape(arrays[source]) if source in arrays else "missing"
        if found != entry.source_shape:
            raise ConfigError(
                f"{source} is {found}; {entry.source_shape} is needed for channels {list(spec.channels)}"
            )
    ours = {entry.ours: np.asarray(arrays[source]) for source, entry in entries.items()}
    return ours, sorted(set(arrays) - set(entries))


def to_original(spec: UNetSpec, ours: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The original's `infinet.*` tensors: ours, and zeros for those that it allocates but never
    uses.

    Raises:
        ConfigError: the original's constructor would make units of other widths than this UNet
            needs.
    """
    entries = {entry.source: entry for entry in names(spec, AS_CODED)}
    shapes = original_shapes(spec)
    for source, entry in entries.items():
        if shapes.get(source) != entry.source_shape:
            raise ConfigError(
                f"InfiNet makes {source} as {shapes.get(source)}, this UNet needs {entry.source_shape}; its form "
                "exists only for channels [320, 640, 1280, 1280] with 2 layers"
            )
    return {
        name: np.asarray(ours[entries[name].ours])
        if name in entries
        else np.zeros(shape, np.float32)
        for name, shape in shapes.items()
    }


def parameter_count(spec: UNetSpec, control: ControlSpec) -> int:
    """Numbers in the branch."""
    return sum(prod(entry.our_shape) for entry in names(spec, control))


def condition(
    latents_BCFHW: np.ndarray, known_BF: np.ndarray, control: ControlSpec
) -> tuple[np.ndarray, np.ndarray]:
    """What the branch is given: the condition (B, C, F, h, w) and the mask (B, M, F), both float32.

    Args:
        latents_BCFHW: clean latents; what stands at unknown frames does not matter.
        known_BF: bool.
    """
    before, after = _neighbours(known_BF)
    frames = np.arange(known_BF.shape[1])
    gap = np.where((before >= 0) & (after >= 0), after - before, 0)
    share = np.where(
        gap > 0, (frames - before) / np.maximum(gap, 1), np.where(before >= 0, 0.0, 1.0)
    )
    some = known_BF.any(1, keepdims=True)
    mask = np.stack(
        [known_BF, (before >= 0) & some, (after >= 0) & some][: control.mask_channels], 1
    ).astype(np.float32)
    if control.mask_channels > 1:
        mask[:, 1] *= 1 - share
        mask[:, 2] *= share
    clean = np.where(known_BF[:, None, :, None, None], latents_BCFHW, 0).astype(np.float32)
    if control.fill == "zero":
        return clean, mask
    rows = np.arange(len(known_BF))[:, None]
    left, right = (
        clean.swapaxes(1, 2)[rows, np.maximum(side, 0)].swapaxes(1, 2) for side in (before, after)
    )
    part = share.astype(np.float32)[:, None, :, None, None]
    blend = np.where(known_BF[:, None, :, None, None], clean, left * (1 - part) + right * part)
    return blend * some[:, None, :, None, None], mask


def _neighbours(known_BF: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For every frame the last known one up to it and the first known one from it on, -1 where
    there is none.
    """
    frames = np.arange(known_BF.shape[1])
    before = np.maximum.accumulate(np.where(known_BF, frames, -1), 1)
    behind = np.where(known_BF, frames, known_BF.shape[1])[:, ::-1]
    after = np.minimum.accumulate(behind, 1)[:, ::-1]
    return before, np.where(after == known_BF.shape[1], -1, after)

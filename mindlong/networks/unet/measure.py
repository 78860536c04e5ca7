"""The sizes of a UNet, read off the shapes in a file: it asks the layout that writes the names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mindlong.networks.format import Inferred, Shapes, largest_divisor, size
from mindlong.networks.unet import motion
from mindlong.networks.unet.layouts import LAYOUTS
from mindlong.networks.unet.motion_measure import MotionPlaces, fields_in
from mindlong.networks.unet.names import convs_of
from mindlong.networks.unet.stage_spec import Res, Transformer
from mindlong.utils.errors import ConfigError, InputFileError

if TYPE_CHECKING:
    from mindlong.networks.unet.families import Family

BLOCK = "transformer_blocks.0"


class Places:
    """Where the sizes of a family's networks stand in files of one layout, whatever the sizes."""

    def __init__(self, family: Family, layout: str) -> None:
        self.spec, self.layout, self.name = family.spec(), LAYOUTS[layout], layout
        self.tail = convs_of(self.spec)[0][1]
        self.spatial = next(s for s in self.spec.stages if isinstance(s, Transformer))

    @property
    def conv_in(self) -> str:
        """The first convolution."""
        return f"{self.layout.conv_in}{self.tail}.weight"

    @property
    def conv_out(self) -> str:
        """The last convolution."""
        return f"{self.layout.conv_out}{self.tail}.weight"

    @property
    def time(self) -> str:
        """The first layer of the timestep's embedding."""
        first = self.layout.embedding_numbers[0]
        return self.layout.embedding["time"].format(first) + ".weight"

    @property
    def guidance(self) -> str:
        """The projection of the guidance's waves, where a network is told it."""
        return f"{self.layout.guidance}.weight"

    @property
    def entry(self) -> str:
        """The projection into the transformer behind the first convolution; "" without one."""
        return f"{self.layout.entry}.proj_in.weight" if self.layout.entry else ""

    def text(self, leaf: str) -> str:
        """A projection of the middle's attention over the prompt: of queries or keys."""
        return f"{self._stage('mid', 0, 0, 1, self.spatial)}.{BLOCK}.attn2.{leaf}.weight"

    @property
    def mid_proj_in(self) -> str:
        """The projection into the middle's first transformer."""
        return f"{self._stage('mid', 0, 0, 1, self.spatial)}.proj_in.weight"

    def conv1(self, level: int, layer: int, layers: int) -> str:
        """The first convolution of a residual block on the way down, where a level has `layers`."""
        conv = self.layout.res.get("conv1", "conv1")
        return f"{self._stage('down', level, layer, layers, Res())}.{conv}{self.tail}.weight"

    def proj_in(self, level: int, layers: int) -> str:
        """The projection into the first transformer of a level."""
        return f"{self._stage('down', level, 0, layers, self.spatial)}.proj_in.weight"

    def _stage(self, side: str, level: Any, layer: Any, layers: int, stage: Any) -> str:
        return self.layout.stage(replace(self.spec, layers=layers), side, level, layer, stage)


def infer(family: Family, places: Places, shapes: Shapes, overrides: Mapping[str, Any]) -> Inferred:
    """The spec from the shapes of a file and the fields that the user gave.

    Raises:
        InputFileError: the shapes do not tell the sizes. ConfigError: `overrides` contradict them.
    """
    keys, overrides = motion.of_keys(overrides)
    found = _sizes(family, places, shapes, overrides)
    remarks: tuple[str, ...] = ()
    if family.moves:
        moved, remarks = fields_in(MotionPlaces(family, places.name), shapes, keys)
        found |= moved
    if not fits(family, places, shapes):
        latents, taken = found["out_channels"], family.reads(found["out_channels"])
        what = "noisy latents" + ", and those of given images beside them" * (taken > latents)
        raise InputFileError(
            f"{places.conv_in} takes {found['in_channels']} channels, and {family.about} takes "
            f"{taken}: {what}"
        )
    try:
        spec = family.spec(**{**found, **overrides})
    except (TypeError, ZeroDivisionError) as error:
        raise ConfigError(f"the network cannot be built so: {error}") from None
    return Inferred(spec, (*_notes(found, overrides), *remarks))


def fits(family: Family, places: Places, shapes: Shapes) -> bool:
    """Whether a network has the channels of a family that reads images; true of all others."""
    if not family.images or not {places.conv_in, places.conv_out} <= set(shapes):
        return True  # what is missing is named by whoever reads the sizes
    latents = size(shapes, places.conv_out, 0)
    return size(shapes, places.conv_in, 1) == family.reads(latents)


def _sizes(
    family: Family, places: Places, shapes: Shapes, overrides: Mapping[str, Any]
) -> dict[str, Any]:
    """The fields of the spec that shapes tell."""
    layers = _layers(shapes, places)
    channels, attends = zip(*_levels(shapes, places, layers), strict=True)
    context = size(shapes, places.text("to_k"), 1)
    found: dict[str, Any] = {
        "in_channels": size(shapes, places.conv_in, 1),
        "out_channels": size(shapes, places.conv_out, 0),
        "channels": channels,
        "layers": layers,
        "attends": attends,
        "context_dim": context,
        "groups": largest_divisor(channels, 32),
        "linear_projection": len(shapes.get(places.mid_proj_in, ())) == 2,
        **_heads(family, channels, context, overrides),
    }
    usual = family.spec().conditions
    more = [c for c in ("fps", "frame") if c not in usual and _embeds(shapes, c)]
    if more:
        found["conditions"] = (*usual, *more)
    if places.guidance in shapes:
        found["guidance_dim"] = size(shapes, places.guidance, 1)
    if family.fixed.get("entry"):
        head = overrides.get("head_dim") or found["head_dim"] or channels[0]
        found["entry_heads"] = size(shapes, places.entry, 0) // head
    return found


def _embeds(shapes: Mapping[str, Any], condition: str) -> bool:
    return any(name.startswith(f"{condition}_embedding.") for name in shapes)


def _notes(found: Mapping[str, Any], overrides: Mapping[str, Any]) -> Iterator[str]:
    if {"heads", "head_dim"} & set(overrides) or found["channels"][0] == 320:
        return
    shown = f"head_dim={found['head_dim']}" if found["head_dim"] else f"heads={found['heads']}"
    yield (
        f"the file does not say how many heads there are: {shown} is taken, as the published sizes suggest"
    )


def _heads(
    family: Family, channels: tuple[int, ...], context: int, overrides: Mapping[str, Any]
) -> dict[str, Any]:
    """Which of heads and head_dim rules: Stable Diffusion 1.x has 8 heads everywhere, all others
    heads 64 wide.
    """
    if "heads" in overrides or "head_dim" in overrides:
        return {"heads": None, "head_dim": None}
    if family.sizes.get("heads") and context == 768:
        return {"heads": largest_divisor(channels, family.sizes["heads"]), "head_dim": None}
    return {"heads": None, "head_dim": largest_divisor(channels, 64)}


def _layers(shapes: Shapes, places: Places) -> int:
    """Layers of a level: residual blocks of the first up to the one that only halves the size."""
    found = 0
    while places.conv1(0, found, 1) in shapes:
        found += 1
    if not found:
        raise InputFileError(
            f"the sizes of the network cannot be read off: {places.conv1(0, 0, 1)} is missing"
        )
    return found


def _levels(shapes: Shapes, places: Places, layers: int) -> Iterator[tuple[int, bool]]:
    """(channels, has transformers) of each level."""
    level = 0
    while (key := places.conv1(level, 0, layers)) in shapes:
        yield size(shapes, key, 0), places.proj_in(level, layers) in shapes
        level += 1

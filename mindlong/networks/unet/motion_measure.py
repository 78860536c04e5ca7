"""Which motion modules a file holds, read off its shapes: the version, the rows of its tables of
places, and, of a file with nothing else, the sizes of the network it is for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mindlong.networks.format import Inferred, Shapes, largest_divisor, size
from mindlong.networks.unet import motion
from mindlong.networks.unet.layouts import LAYOUTS
from mindlong.networks.unet.motion_names import TABLES
from mindlong.utils.errors import ConfigError, InputFileError

if TYPE_CHECKING:
    from mindlong.networks.unet.families import Family

GUESSED = {True: "lcm", False: "v1"}  # by a module in the middle, where no table tells the version


class MotionPlaces:
    """Where the motion modules of a family's networks stand in files of one layout."""

    def __init__(self, family: Family, layout: str) -> None:
        self.spec, self.layout = family.spec(), LAYOUTS[layout]
        self.stage = motion.stage_in(self.spec)

    def norm(self, level: int, layer: int, layers: int, attends: bool = True) -> str:
        """The norm of a module on the way down, where a level has `layers`."""
        count = max(level + 1, len(self.spec.channels))
        spec = replace(
            self.spec,
            layers=layers,
            channels=(self.spec.channels[0],) * count,
            attends=(attends,) * count,
        )
        return f"{self.layout.stage(spec, 'down', level, layer, self.stage)}.norm.weight"

    def middle(self) -> str:
        """The norm of the module in the middle."""
        return f"{self.layout.stage(self.spec, 'mid', 0, 0, self.stage)}.norm.weight"


def fields_in(
    places: MotionPlaces, shapes: Shapes, given: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The fields of the spec that the motion modules set, and remarks.

    Args:
        given: keys of the `model` section that rule over the shapes.

    Raises:
        InputFileError: modules of a kind that is not built here. ConfigError: keys that contradict
            the shapes.
    """
    rows = {shape[1] for name, shape in shapes.items() if _is_table(name, shape)}
    if len(rows) > 1:
        raise InputFileError(f"its tables of places have {sorted(rows)} rows; one length is needed")
    mid, length = places.middle() in shapes, rows.pop() if rows else 0
    name = given.get("version") or _version(mid, length)
    if motion.version(name).mid != mid:
        has = "has" if mid else "has not"
        raise ConfigError(f"version is {name}, but the file {has} a motion module in the middle")
    count = given.get("places") or (length if name == _version(mid, length) else 0)
    found = motion.fields(name, count, given.get("compat") or "")
    return found, tuple(_remarks(name, length, bool(given.get("version"))))


def _is_table(name: str, shape: tuple[int, ...]) -> bool:
    return name.endswith(TABLES) and len(shape) == 3


def _version(mid: bool, rows: int) -> str:
    """The version of a file with a module in the middle, or without, and with such tables."""
    if not rows:
        return GUESSED[mid]
    if mid:
        return "lcm" if rows > motion.VERSIONS["v2"].places else "v2"
    return "v1" if rows == motion.VERSIONS["v1"].places else "v3"


def _remarks(name: str, rows: int, sure: bool) -> Iterator[str]:
    if not rows and not sure:
        other = "v2" if motion.VERSIONS[name].mid else "v3"
        yield (
            f"the file has no tables of places, which tell the version of motion modules: {name} is taken; "
            f"version={other} says otherwise"
        )


def infer_alone(
    family: Family, places: MotionPlaces, shapes: Shapes, overrides: Mapping[str, Any]
) -> Inferred:
    """The spec of the network that a file with nothing but motion modules is for.

    Raises:
        InputFileError: the shapes do not tell the sizes, or are of modules that are not read here.
        ConfigError: `overrides` contradict them.
    """
    own, rest = motion.of_keys(overrides)
    layers = _layers(shapes, places)
    channels, attends = zip(*_levels(shapes, places, layers), strict=True)
    _refuse(places, shapes, channels)
    fields, notes = fields_in(places, shapes, own)
    found = {
        "channels": channels,
        "layers": layers,
        "attends": attends,
        "groups": largest_divisor(channels, 32),
        "heads": largest_divisor(channels, 8),
        **fields,
    }
    try:
        return Inferred(family.spec(**{**found, **rest}), notes)
    except TypeError as error:
        raise ConfigError(f"the motion modules cannot be built so: {error}") from None


def _refuse(places: MotionPlaces, shapes: Shapes, channels: tuple[int, ...]) -> None:
    if channels == (320, 640, 1280):
        raise InputFileError(
            "these are motion modules for Stable Diffusion XL, which has three levels; it is not read here"
        )
    if size({"conv_in.weight": (0, 4), **shapes}, "conv_in.weight", 1) == 9:
        raise InputFileError(
            "these are the motion modules of PIA, whose image model reads nine channels; it is not read here"
        )
    norm = places.norm(0, 0, 1)
    second = [n for n in shapes if n.startswith(norm.removesuffix("norm.weight"))]
    if not any(".attention_blocks.1." in n or ".attn2." in n for n in second):
        raise InputFileError(
            "its motion modules have one attention, as those of SparseCtrl; modules of two are read here"
        )
    if any(".transformer_blocks.1." in n for n in second):
        raise InputFileError("its motion modules have several blocks; modules of one are read here")


def _layers(shapes: Shapes, places: MotionPlaces) -> int:
    found = 0
    while places.norm(0, found, 1) in shapes or places.norm(0, found, 1, False) in shapes:
        found += 1
    if not found:
        raise InputFileError(
            f"the sizes of the motion modules cannot be read off: {places.norm(0, 0, 1)} is missing"
        )
    return found


def _levels(shapes: Shapes, places: MotionPlaces, layers: int) -> Iterator[tuple[int, bool]]:
    """(channels, has text attention) of each level; the latter where names tell it."""
    level = 0
    while True:
        keys = {attends: places.norm(level, 0, layers, attends) for attends in (True, False)}
        held = [attends for attends, key in keys.items() if key in shapes]
        if not held:
            return
        last = keys[True] == keys[False] and places.norm(level + 1, 0, layers) not in shapes
        yield size(shapes, keys[held[0]], 0), held[0] and not last
        level += 1


def join(image: Any, module: Any) -> Any:
    """The spec of an image network with motion modules.

    Args:
        image: the spec of the image network (motion modules that it has are replaced).
        module: that of the modules, as `infer_alone` gives it.

    Raises:
        ConfigError: they do not go together.
    """
    if (image.channels, image.layers) != (module.channels, module.layers):
        raise ConfigError(
            f"the motion modules are for channels {list(module.channels)} and {module.layers} layers a level; the image "
            f"model has channels {list(image.channels)} and {image.layers} layers"
        )
    heads = [[spec.head_of(i)[0] for i in range(len(spec.channels))] for spec in (image, module)]
    if heads[0] != heads[1]:
        raise ConfigError(
            f"the motion modules were trained on Stable Diffusion 1.x, with {heads[1][0]} heads on every level; the image "
            f"model has {heads[0]} heads, as Stable Diffusion 2.x"
        )
    if image.context_dim == 1024 and image.channels[0] == 320:
        raise ConfigError(
            "the motion modules were trained on Stable Diffusion 1.x, whose prompts have 768 numbers a token; the image "
            "model reads 1024, as Stable Diffusion 2.x"
        )
    stages = tuple(s for s in image.stages if s.name != motion.NAME)
    return replace(image, stages=(*stages, motion.stage_in(module)), joint=module.joint)

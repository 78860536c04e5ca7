"""What is trained on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mindlong.config.option import option
from mindlong.media.colours import parse_colour
from mindlong.utils.errors import ConfigError


@dataclass
class DataOptions:
    """What is trained on."""

    kind: str = option(
        "shapes",
        "shapes: the synthetic world; film: one nearer to film; clips: a folder of videos",
        choices=("shapes", "film", "clips"),
    )
    folder: str = option(
        "",
        "clips: folder of videos (every usual format, GIF too) or frame folders, at any depth",
        when="kind=clips",
    )
    frames: int = option(8, "frames of a clip", minimum=1)
    size: list[int] = option([32, 32], "height and width in pixels", minimum=2)
    stride: int = option(
        1,
        "clips: take every stride-th frame",
        minimum=1,
        when="kind=clips",
    )
    short: str = option(
        "repeat_last",
        "clips: what to do with a clip shorter than wanted",
        choices=("repeat_last", "loop", "refuse"),
        when="kind=clips",
    )
    crop: str = option(
        "center",
        "clips: which part of the resized frame is taken",
        choices=("center", "random"),
        when="kind=clips",
    )
    flip: bool = option(
        False,
        "clips: mirror half of the clips, whole clips at a time",
        when="kind=clips",
    )
    max_bad: int = option(
        10,
        "clips: how many unreadable files are skipped before it is an error",
        minimum=0,
        when="kind=clips",
    )
    alpha_background: str = option(
        "white",
        "clips: the colour seen where a clip is transparent: a name, or '#rrggbb'",
        when="kind=clips",
    )
    shapes: list[str] = option(
        ["circle", "square", "triangle"],
        "shapes and film world: which shapes",
        when="kind=shapes|film",
    )
    colours: list[str] = option(
        ["red", "green", "blue", "yellow"],
        "shapes and film world: which colours",
        when="kind=shapes|film",
    )
    motions: list[str] = option(
        ["left", "right", "up", "down"],
        "shapes and film world: which directions",
        when="kind=shapes|film",
    )
    background: str = option(
        "plain",
        "shapes world: background",
        choices=("plain", "texture"),
        when="kind=shapes",
    )
    bounce: bool = option(
        False,
        "shapes world: shapes turn back at the edges",
        when="kind=shapes",
    )
    grow: bool = option(
        False,
        "shapes world: shapes change their size",
        when="kind=shapes",
    )
    speed: list[float] = option(
        [],
        "slowest and fastest speed of a world, shares of the shorter side a frame; empty: its usual",
        minimum=0,
        maximum=1,
        when="kind=shapes|film",
    )
    tempo: list[float] = option(
        [],
        "film world: slowest and fastest tempo of a clip, shares of the usual one; all that moves has it, the camera too",
        minimum=0,
        maximum=1,
        when="kind=film",
    )
    world_seed: int = option(
        0,
        "shapes and film world: which world",
        when="kind=shapes|film",
    )
    objects: int = option(
        2, "film world: the most objects in a clip", minimum=1, maximum=2, when="kind=film"
    )
    cameras: list[str] = option(
        ["still", "pan", "zoom"],
        "film world: what the camera does: still, pan, zoom; with both, it may do both",
        when="kind=film",
    )
    textures: list[str] = option(
        ["plain", "stripes", "checks", "dots", "noise"],
        "film world: which textures objects have",
        when="kind=film",
    )
    shadows: bool = option(
        True,
        "film world: in some clips objects cast shadows",
        when="kind=film",
    )

    def problems(self, indexed: bool) -> Iterator[str]:
        """Sentences on fields that do not fit together; `indexed`: an index names the frames."""
        for name in ("speed", "tempo"):
            pair = getattr(self, name)
            if pair and (len(pair) != 2 or pair[0] > pair[1]):
                yield f"data.{name} is {list(pair)}; it must be [slowest, fastest], or empty"
        try:
            parse_colour(self.alpha_background, "data.alpha_background")
        except ConfigError as error:
            yield str(error)
        if self.kind == "clips" and not self.folder and not indexed:
            yield "data.folder is empty; data.kind=clips needs a folder of videos"

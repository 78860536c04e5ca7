"""The source that a `data` section asks for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mindlong.config.data_options import DataOptions
from mindlong.data.film import FilmWorld
from mindlong.data.needs import Needs
from mindlong.data.shapes import ShapesWorld
from mindlong.data.source import Source
from mindlong.media.colours import parse_colour
from mindlong.utils.log import get_logger

if TYPE_CHECKING:
    from mindlong.data.clips import ClipFolder

ANY = Needs()


def build_source(options: DataOptions, seed: int, needs: Needs = ANY) -> Source:
    """A synthetic world, or a folder of clips (`build_folder`).

    Raises:
        ConfigError, InputFileError: no such folder, no clip that can be used, no such colour.
    """
    if options.kind in WORLDS:
        return WORLDS[options.kind](options)
    return build_folder(options, seed, needs)


def _pair(given: Sequence[float]) -> tuple[float, float]:
    slowest, fastest = given
    return slowest, fastest


def _shapes_world(options: DataOptions) -> ShapesWorld:
    height, width = options.size
    world = ShapesWorld(
        (height, width),
        options.frames,
        tuple(options.shapes),
        tuple(options.colours),
        tuple(options.motions),
        options.background,
        options.bounce,
        options.grow,
        options.world_seed,
    )
    return replace(world, speed=_pair(options.speed)) if options.speed else world


def film_world(options: DataOptions) -> FilmWorld:
    """The film world that a `data` section asks for. Raises ConfigError on unknown names."""
    height, width = options.size
    world = FilmWorld(
        (height, width),
        options.frames,
        tuple(options.shapes),
        tuple(options.colours),
        tuple(options.motions),
        options.objects,
        tuple(options.cameras),
        tuple(options.textures),
        options.shadows,
        options.world_seed,
    )
    world = replace(world, tempo=_pair(options.tempo)) if options.tempo else world
    return replace(world, speed=_pair(options.speed)) if options.speed else world


WORLDS: dict[str, Callable[[DataOptions], Source]] = {
    "shapes": _shapes_world,
    "film": film_world,
}


def build_folder(options: DataOptions, seed: int, needs: Needs = ANY) -> ClipFolder:
    """A folder of clips shuffled by `seed`; captions are cut to what `needs` holds. Raises as
    `build_source`.
    """
    from mindlong.data.clips import ClipFolder

    height, width = options.size
    return ClipFolder(
        options.folder,
        options.frames,
        (height, width),
        stride=options.stride,
        short=options.short,
        crop=options.crop,
        flip=options.flip,
        max_bad=options.max_bad,
        seed=seed,
        background=parse_colour(options.alpha_background, "data.alpha_background"),
        longest=needs.longest,
        width=needs.width,
        isolated=True,
    )


@contextlib.contextmanager
def open_source(
    options: DataOptions, seed: int, workers: int, needs: Needs = ANY
) -> Iterator[Source | None]:
    """`build_source`, clips decoded ahead by `workers` processes, which end with the context. What
    the clips have to no purpose is said. None where the training reads no folder of clips.

    Raises:
        ConfigError, InputFileError: as `build_source`, and where the model cannot take the clips.
    """
    from mindlong.data.check import Report, of_world, refuse, remarks

    refuse(needs, Report(of_world(options, needs)))
    if not needs.clips:  # the task reads its own
        yield None
        return
    if options.kind in WORLDS:  # drawn in less time than sending takes
        yield WORLDS[options.kind](options)
        return
    from mindlong.data.loader import Loader

    source = build_folder(options, seed, needs)
    found = remarks(source, needs)
    refuse(needs, found)
    for note in found.notes:
        get_logger().warning("%s", note)

    with Loader(source, workers) as loader:
        yield loader

"""The source that a `data` section asks for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from mindlong.config.schema import DataOptions
from mindlong.data.shapes import ShapesWorld
from mindlong.data.source import Source


def build_source(options: DataOptions, seed: int) -> Source:
    """The shapes world, or a folder of clips shuffled by `seed`."""
    if options.kind == "shapes":
        return ShapesWorld(
            tuple(options.size),
            options.frames,
            tuple(options.shapes),
            tuple(options.colours),
            tuple(options.motions),
            options.background,
            options.bounce,
            options.grow,
            options.world_seed,
            **({"speed": tuple(options.speed)} if options.speed else {}),
        )
    from mindlong.data.clips import ClipFolder

    return ClipFolder(
        options.folder,
        options.frames,
        tuple(options.size),
        stride=options.stride,
        short=options.short,
        crop=options.crop,
        flip=options.flip,
        max_bad=options.max_bad,
        seed=seed,
    )


@contextlib.contextmanager
def open_source(options: DataOptions, seed: int, workers: int) -> Iterator[Source]:
    """`build_source`, clips decoded ahead by `workers` processes, which end with the context."""
    source = build_source(options, seed)
    if options.kind == "shapes":  # drawn in less time than sending takes
        yield source
        return
    from mindlong.data.loader import Loader

    with Loader(source, workers) as loader:
        yield loader

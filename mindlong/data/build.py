"""The source that a `data` section asks for."""

from __future__ import annotations

from mindlong.config.schema import DataOptions
from mindlong.data.shapes import ShapesWorld
from mindlong.data.source import Source


def build_source(options: DataOptions, seed: int) -> Source:
    """The shapes world, or a folder of clips shuffled by `seed`."""
    if options.kind == "shapes":
        return ShapesWorld(tuple(options.size), options.frames, tuple(options.shapes), tuple(options.colours),
                           tuple(options.motions), options.background, options.bounce, options.grow, options.world_seed)
    from mindlong.data.clips import ClipFolder

    return ClipFolder(options.folder, options.frames, tuple(options.size), stride=options.stride, short=options.short,
                      crop=options.crop, flip=options.flip, max_bad=options.max_bad, seed=seed)

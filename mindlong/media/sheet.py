"""Contact sheets: several videos at a glance, one row each, frames sampled evenly, captions
above.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from mindlong.media import lettering
from mindlong.media.recipe import png_info
from mindlong.utils import look
from mindlong.utils.atomic import replacing
from mindlong.utils.errors import ConfigError

_PAPER, _INK, _GAP = look.rgb(look.PAPER), look.rgb(look.INK), look.GAP
_LINE = look.TEXT + 7


def write_contact_sheet(
    path: str | Path,
    videos: Sequence[np.ndarray] | np.ndarray,
    captions: Sequence[str] | None = None,
    *,
    columns: int = 8,
    tile: int = 96,
    comment: str = "",
) -> Path:
    """Write a PNG of `videos`: each (F, H, W, 3) uint8 a row of at most `columns` frames, the first
    and last included.

    One video (F, H, W, 3) is accepted too. Frames narrower than `tile` are enlarged by a whole
    number, so pixels stay square. `comment` is kept in the file. Raises ConfigError if the captions
    do not match the videos.
    """
    alone = isinstance(videos, np.ndarray) and videos.ndim == 4
    rows = [np.asarray(v) for v in ([videos] if alone else videos)]
    if not rows or (captions is not None and len(captions) != len(rows)):
        given = "no" if captions is None else len(captions)
        raise ConfigError(
            f"a contact sheet of {len(rows)} videos with {given} captions cannot be made"
        )
    heads = captions if captions is not None else [None] * len(rows)
    strips = [_strip(video, columns, tile, head) for video, head in zip(rows, heads, strict=True)]
    sheet = Image.new("RGB", (max(s.width for s in strips), sum(s.height for s in strips)), _PAPER)
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    with replacing(path) as aside:
        sheet.save(aside, "PNG", pnginfo=png_info(comment))
    return Path(path)


def sampled(frames: int, columns: int) -> np.ndarray:
    """At most `columns` frame numbers of `frames`, evenly spread, first and last included."""
    return np.unique(np.rint(np.linspace(0, frames - 1, min(columns, frames))).astype(int))


def _strip(video_FHWC: np.ndarray, columns: int, tile: int, caption: str | None) -> Image.Image:
    shape, kind = video_FHWC.shape, video_FHWC.dtype
    if len(shape) != 4 or kind != np.uint8 or shape[-1] not in (1, 3) or 0 in shape:
        raise ConfigError(
            f"a video of shape {shape}, dtype {kind} cannot be put on a contact sheet; it must be uint8 "
            "(frames, height, width, 3)"
        )
    chosen = video_FHWC[sampled(len(video_FHWC), columns)]
    scale = max(1, round(tile / chosen.shape[2]))
    large = chosen.repeat(scale, 1).repeat(scale, 2)
    height, width = large.shape[1:3]
    head = _LINE if caption is not None else 0
    strip = Image.new("RGB", (_GAP + len(large) * (width + _GAP), head + height + _GAP), _PAPER)
    for column, frame in enumerate(large):
        strip.paste(
            Image.fromarray(np.ascontiguousarray(np.broadcast_to(frame, (height, width, 3)))),
            (_GAP + column * (width + _GAP), head),
        )
    if caption:
        lettering.draw(strip, (_GAP, 1), caption, strip.width - 2 * _GAP, _INK)
    return strip

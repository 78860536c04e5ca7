"""Frames between two frames without a network: repeating, blending, and optical flow with warping.

What a learned interpolation has to beat. The flow is OpenCV's DIS (Kroeger et al., arXiv
1603.03590); the flow at a time in between follows from the two flows as in Super SloMo's first step
(Jiang et al., arXiv 1712.00080, eq. 4), and each source frame counts by its nearness in time and by
how well the two flows agree where it is read.

Legend: H W pixels, C channels, n frames made; frames uint8 RGB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, cast

import cv2
import numpy as np

from mindlong.utils.errors import ConfigError, InputFileError, did_you_mean

Between = Callable[
    [np.ndarray, np.ndarray, Sequence[float]], list[np.ndarray]
]  # (a, b, times in 0..1) -> frames


def repeat(a_HWC: np.ndarray, b_HWC: np.ndarray, times: Sequence[float]) -> list[np.ndarray]:
    """The earlier frame again."""
    return [a_HWC.copy() for _ in times]


def blend(a_HWC: np.ndarray, b_HWC: np.ndarray, times: Sequence[float]) -> list[np.ndarray]:
    """(1 - t) a + t b."""
    a, b = a_HWC.astype(np.float32), b_HWC.astype(np.float32)
    return [np.rint((1 - t) * a + t * b).astype(np.uint8) for t in times]


def warp_flow(a_HWC: np.ndarray, b_HWC: np.ndarray, times: Sequence[float]) -> list[np.ndarray]:
    """Both frames warped to the time in between along the optical flow, and blended."""
    there, back = dis_flow(a_HWC, b_HWC), dis_flow(b_HWC, a_HWC)
    return [_at(a_HWC, b_HWC, there, back, float(t)) for t in times]


class _Flow(Protocol):
    """OpenCV's own annotations leave out that there may be no flow to start from."""

    def calc(self, first: np.ndarray, second: np.ndarray, start: None) -> np.ndarray:
        """float32 (H, W, 2)."""


def dis_flow(a_HWC: np.ndarray, b_HWC: np.ndarray) -> np.ndarray:
    """float32 (H, W, 2): where, in pixels (x, y) from itself, each pixel of `a` is found in `b`."""
    grey = [cv2.cvtColor(np.ascontiguousarray(f), cv2.COLOR_RGB2GRAY) for f in (a_HWC, b_HWC)]
    height, width = grey[0].shape
    larger = max(
        1, -(-48 // min(height, width))
    )  # DIS works on patches of 8 and coarser levels; it wants some pixels
    if larger > 1:
        grey = [
            cv2.resize(g, (width * larger, height * larger), interpolation=cv2.INTER_CUBIC)
            for g in grey
        ]
    method = cast(_Flow, cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM))
    first, second = grey
    flow = method.calc(first, second, None)
    return (
        cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA) / larger
        if larger > 1
        else flow
    )


def _at(a: np.ndarray, b: np.ndarray, there: np.ndarray, back: np.ndarray, t: float) -> np.ndarray:
    to_a = -(1 - t) * t * there + t * t * back
    to_b = (1 - t) ** 2 * there - t * (1 - t) * back
    from_a, from_b = _warped(a.astype(np.float32), to_a), _warped(b.astype(np.float32), to_b)
    sure_a = np.exp(-0.5 * _length(_warped(there + _warped(back, there), to_a)))
    sure_b = np.exp(-0.5 * _length(_warped(back + _warped(there, back), to_b)))
    weight_a, weight_b = (1 - t) * sure_a + 1e-6, t * sure_b + 1e-6
    mixed = (weight_a * from_a + weight_b * from_b) / (weight_a + weight_b)
    return np.rint(np.clip(mixed, 0, 255)).astype(np.uint8)


def _length(flow_HW2: np.ndarray) -> np.ndarray:
    return np.linalg.norm(flow_HW2, axis=-1, keepdims=True)


def _warped(image: np.ndarray, flow_HW2: np.ndarray) -> np.ndarray:
    """`image` read at each pixel's place plus the flow; outside the edge pixel."""
    height, width = flow_HW2.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    flow = flow_HW2.astype(np.float32)
    return cv2.remap(
        image, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


METHODS: dict[str, Between] = {"repeat": repeat, "blend": blend, "flow": warp_flow}


def method(name: str) -> Between:
    """The method called `name`. Raises ConfigError where there is none."""
    if name not in METHODS:
        raise ConfigError(
            f"There is no interpolation without a network called {name!r}.{did_you_mean(name, METHODS)}"
        )
    return METHODS[name]


def fill_between(
    frames: Iterable[np.ndarray], factor: int, between: Between
) -> Iterator[np.ndarray]:
    """Every frame, and `factor` - 1 between each and the next; two frames are held at a time.

    Raises:
        ConfigError: a factor below 2.
        InputFileError: fewer than two frames, or frames of different sizes.
    """
    if factor < 2:
        raise ConfigError(f"factor is {factor}; it must be at least 2, 1 would add nothing")
    times, last, count = [k / factor for k in range(1, factor)], None, 0
    for frame in frames:
        if last is not None:
            check_alike(last, frame, count)
            yield from between(last, frame, times)
        yield frame
        last, count = frame, count + 1
    if count < 2:
        raise InputFileError(
            f"interpolation needs at least 2 key frames; there {'is 1' if count else 'are 0'}"
        )


def check_alike(a_HWC: np.ndarray, b_HWC: np.ndarray, number: int) -> None:
    """Raise InputFileError where key frame `number` has another size than the one before."""
    if a_HWC.shape != b_HWC.shape:
        (h, w), (other_h, other_w) = b_HWC.shape[:2], a_HWC.shape[:2]
        raise InputFileError(
            f"key frame {number} is {h}x{w}, the one before {other_h}x{other_w}; all need one size"
        )

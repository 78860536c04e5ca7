"""Views: windows of frames inside a network, for videos longer than it was trained on (FreeNoise,
arXiv 2310.15169). The attentions over frames see one window at a time and their results are
averaged; all else sees the whole video once.

Two algorithms carry the name. `around="block"` is diffusers': all attentions over frames of a
transformer run inside each window, with their norms, places and skips, and what leaves them is
averaged. `around="attention"` is the original's, for networks without places: each attention
projects all frames once, reads window by window, and its results are averaged before the output
projection.

Everything here is tables made on the host.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mindlong.utils.errors import ConfigError, did_you_mean

AROUND = ("block", "attention")
WEIGHTINGS = ("pyramid", "flat", "delayed_reverse_sawtooth")
SMALL = 0.01  # the weight of the first half of a delayed sawtooth


@dataclass(frozen=True)
class Views:
    """How attentions over frames read a long video.

    Attributes:
        window: frames of a view; a video no longer than it is read at once.
        stride: frames from one view to the next.
        weighting: how much each place of a view counts, of WEIGHTINGS.
        around: what runs inside a view, of AROUND.
        compat: "diffusers": where the views do not end with the video, the frames beyond the last
            whole one are divided by a single weight, as diffusers does with `around="block"`;
            "longercrafter": frames beyond the last whole view get nothing from the attention, as
            the original does. "": a last view ends with the video and counts like the others.
    """

    window: int = 16
    stride: int = 4
    weighting: str = "pyramid"
    around: str = "block"
    compat: str = ""

    def __post_init__(self) -> None:
        for key, known in (("weighting", WEIGHTINGS), ("around", AROUND)):
            word = getattr(self, key)
            if word not in known:
                raise ConfigError(f"views: {key} is {word!r}.{did_you_mean(word, known)}")
        if self.window < 1 or not 1 <= self.stride <= self.window:
            raise ConfigError(
                f"views: the window has {self.window} frames and the stride is {self.stride}; the stride must be 1 to "
                "the frames of a window."
            )

    def starts(self, frames: int) -> list[int]:
        """The first frame of every view of a video of more than `window` frames, in order."""
        found = [*range(0, frames - self.window + 1, self.stride)]
        if found[-1] + self.window < frames and self.compat != "longercrafter":
            found.append(frames - self.window)
        return found

    def index(self, frames: int) -> np.ndarray:
        """int32 (views * window,): the frames that each view holds, view after view."""
        places = np.arange(self.window)
        return np.concatenate([start + places for start in self.starts(frames)]).astype(np.int32)

    def shares(self, frames: int) -> np.ndarray:
        """float32 (frames, views * window): what each frame takes from each place of each view."""
        starts, weights = self.starts(frames), weights_of(self.window, self.weighting)
        taken = np.zeros((frames, len(starts), self.window))
        counted = np.zeros(frames)
        for number, start in enumerate(starts):
            here = np.arange(self.window)
            given = weights
            if self.compat == "diffusers" and number and start % self.stride:
                here = here[self.window - (start - starts[number - 1]) :]
                given = np.full(self.window, weights[here[0]])
            taken[start + here, number, here] = weights[here]
            counted[start + here] += given[here]
        counted[counted == 0] = 1
        return (taken.reshape(frames, -1) / counted[:, None]).astype(np.float32)


def weights_of(window: int, weighting: str) -> np.ndarray:
    """float64 (window,): how much each place of a view counts, of WEIGHTINGS."""
    places = np.arange(window)
    rising = 1.0 + np.minimum(places, window - 1 - places)
    if weighting == "flat":
        return np.ones(window)
    if weighting == "delayed_reverse_sawtooth":
        small = (window - 1) // 2
        rising[:small] = SMALL
    return rising


def misfits(transformers: Sequence[Any], frames: int) -> Iterator[str]:
    """Sentences on a video with more frames than the attentions over frames have places for.

    Args:
        transformers: stages with `places` and `views`.
    """
    for stage in transformers:
        read = min(stage.views.window, frames) if stage.views else frames
        if stage.places and read > stage.places:
            what = f"a view of {read} frames" if stage.views else f"the video has {read} frames"
            yield (
                f"{what}; the motion modules have places for {stage.places}. A longer video is made in views "
                "(free_noise.around=block) or in windows (contexts.schedule)"
            )
            return


def problems(timed: Sequence[Any], views: Views) -> Iterator[str]:
    """Sentences on views that the transformers over frames of a network cannot have.

    Args:
        timed: its stages with attentions over frames.
    """
    if not timed:
        yield "free_noise is for attentions over frames, and this network has none"
    for stage in timed:
        if views.around == "attention" and stage.places:
            yield (
                "free_noise.around is attention, but the attentions over frames of this network add each frame's place in "
                "its window; free_noise.around=block is for such networks"
            )
        if any(b.kind == "time" and b.reads != "all" for b in stage.branches):
            yield (
                "free_noise needs attentions over frames that read their whole window; latent.reads says otherwise"
            )
        if views.around == "block" and not _first(stage):
            yield "free_noise.around=block needs the attentions over frames to stand first in their block"
        if stage.places and views.window > stage.places:
            yield (
                f"free_noise.window is {views.window}; the motion modules have places for {stage.places} frames"
            )


def _first(stage: Any) -> bool:
    kinds = [b.kind for b in stage.branches]
    timed = kinds.count("time")
    return kinds[:timed] == ["time"] * timed

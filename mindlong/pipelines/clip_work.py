"""Clips made and written one by one or a batch at a time: a stopped run goes on clip by clip, and
within a clip after its latents.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import mindspore
import numpy as np

from mindlong.diffusion.sample import count_steps, sampler_of
from mindlong.diffusion.samplers.loop import Callback
from mindlong.pipelines.clips import Clip
from mindlong.pipelines.latent_model import LatentModel
from mindlong.pipelines.previews import Previews
from mindlong.pipelines.results import counted
from mindlong.pipelines.session import Session
from mindlong.pipelines.text_to_video.make import first_noise
from mindlong.pipelines.videos import Videos
from mindlong.utils import arrays, atomic, progress
from mindlong.utils.needed import needed


class Maker(Protocol):
    """What makes the latents of clips."""

    def latents(
        self, clips: Sequence[Clip], x_T: np.ndarray, callback: Callback | None = None
    ) -> np.ndarray:
        """Clean latents (B, C, F, h, w) of `clips` from noise of the same shape."""


class ClipWork:
    """What is done of a run, and the doing of the rest.

    Args:
        shape: of a clip's latents, (C, F, h, w).
        maker: (the clips, all encoders still there) -> what makes latents; it has let go the
            encoders that it needs no longer.
        facts: of the record, beside what is said here.
        frames: of a clip that are written, from the first; 0: all.
        keep_latents: leave latents/NAME.npz beside the videos.
        starts: clips -> their first noise (B, C, F, h, w); None: as keyed by the clips.
    """

    def __init__(
        self,
        session: Session,
        model: LatentModel,
        shape: tuple[int, ...],
        maker: Callable[[Sequence[Clip]], Maker],
        facts: dict[str, Any],
        *,
        frames: int = 0,
        keep_latents: bool = True,
        starts: Callable[[Sequence[Clip]], np.ndarray] | None = None,
    ) -> None:
        self.session, self.config, self.model, self.shape = session, session.config, model, shape
        self.maker, self.facts, self.frames = maker, facts, frames or shape[1]
        self.keep_latents, self.previews = keep_latents, Previews(session, model.decode)
        self.starts = starts or (lambda clips: first_noise(clips, shape))
        self.videos = Videos(session)
        self.seconds = {"sample_s": 0.0, "decode_s": 0.0}

    def run(self, clips: Sequence[Clip], where: Path) -> None:
        """Everything that is not done yet."""
        self.sample(clips)
        self.decode(clips)
        self.finish(clips, where)

    def sample(self, clips: Sequence[Clip]) -> None:
        """Latents of the clips that have none yet, a batch at a time."""
        clock = time.monotonic()
        # whole batches, as they would be without a stop: a row's last bits may depend on the others
        parts = list(batches(clips, min(self.config.batch, len(clips))))
        todo = [part for part in parts if not self._is_made(part)]
        made = self.maker(clips) if todo else None
        starts = self.starts(clips) if todo else np.empty(0)
        rounds, rank = -(-len(todo) // self.videos.comm.size), self.videos.comm.rank
        steps = rounds * count_steps(self.config.sample, self.model.noising)
        with progress.bar(steps, "denoising", rank=rank) as bar:

            def work(part: Sequence[Clip]) -> None:
                begin = np.stack([starts[clip.number] for clip in part])
                self._sample_batch(needed(made, "what makes the clips"), part, begin, bar)

            self.videos.table.share_out("latents", parts, work, self._is_made)
        self.model.release("network")
        self.seconds["sample_s"] = round(time.monotonic() - clock, 2)

    def decode(self, clips: Sequence[Clip]) -> None:
        """Files of the clips that have none yet; frames go to the writers as they are decoded."""
        clock, named = time.monotonic(), {clip.name: clip for clip in clips}
        left = sum(not self.videos.is_done(name) for name in named)
        total, rank = -(-left // self.videos.comm.size) * self.frames, self.videos.comm.rank
        with progress.bar(total, "decoding", unit="frame", rank=rank) as bar:

            def work(name: str) -> None:
                latents = arrays.read_npz(self._latents(named[name]), ["latents"])["latents"]
                frames = counted(self.model.decode(latents[:, : self._kept()]), bar)
                self.videos.write(name, frames, self.frames)

            self.videos.deal("videos", list(named), work)
        self.seconds["decode_s"] = round(time.monotonic() - clock, 2)

    def finish(self, clips: Sequence[Clip], where: Path) -> None:
        """The contact sheet and the record; what was only for going on is removed."""
        names, titles = [clip.name for clip in clips], [clip.title for clip in clips]
        self.videos.finish(names, titles, lambda: self._facts(clips, where))
        if self.videos.first and not self.keep_latents:
            ours = {f"{name}.npz" for name in names}
            atomic.remove_written(self.session.folder / "latents", ours.__contains__)

    def _sample_batch(self, maker: Maker, part: Sequence[Clip], x_T: np.ndarray, bar: Any) -> None:
        on_step = self.previews.step(bar, part[0].name, [clip.title for clip in part])
        for clip, noise, latents in zip(part, x_T, maker.latents(part, x_T, on_step), strict=True):
            arrays.write_npz(self._latents(clip), latents=latents, x_T=noise)

    def _kept(self) -> int:
        """Latent frames that are decoded: all, but where the last ones are left out."""
        return self.shape[1] if self.frames >= self.shape[1] else self.frames

    def _latents(self, clip: Clip) -> Path:
        return self.session.folder / "latents" / f"{clip.name}.npz"

    def _is_made(self, part: Sequence[Clip]) -> bool:
        """Whether nothing is left to be sampled of a batch."""
        return all(self.videos.is_done(clip.name) or self._is_sampled(clip) for clip in part)

    def _is_sampled(self, clip: Clip) -> bool:
        """Whether the clip's latents are there and whole."""
        path = self._latents(clip)
        if not path.exists():
            return False
        try:
            arrays.read_npz(path, ["latents", "x_T"])
        except arrays.Damaged as error:
            self.session.log.warning("%s; it is made again", error)
            path.unlink()
            return False
        return True

    def _facts(self, clips: Sequence[Clip], where: Path) -> dict[str, Any]:
        s, config = self.config.sample, self.config
        return {
            "prompts": [
                {
                    "prompt": c.title,
                    "frame_prompts": list(c.prompts) if len(c.prompts) > 1 else [],
                    "seed": c.seed,
                    "number": c.number,
                    **self.facts.get("clips", {}).get(c.number, {}),
                }
                for c in clips
            ],
            "plan": {
                "latents_CFHW": list(self.shape),
                "sampler": sampler_of(s, self.model.noising).name,
                "steps": count_steps(s, self.model.noising),
                "eta": s.eta,
                "guidance": s.guidance,
                "prediction": self.model.noising.prediction,
                "fps": self.facts["fps"],
                "dtype": config.latent.dtype,
            },
            "weights": {"asked": config.weights, "found": where.name, "family": self.model.family},
            "versions": {"mindspore": mindspore.__version__},
            "timings": {"resumed": self.session.resumed, **self.seconds},
        }


def batches(clips: Sequence[Clip], size: int) -> Iterator[list[Clip]]:
    """Batches of one size, so that one graph serves all: the last is filled up with its last
    clip.
    """
    for start in range(0, len(clips), size):
        part = list(clips[start : start + size])
        yield part + [part[-1]] * (size - len(part))

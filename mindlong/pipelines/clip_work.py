"""Clips made and written one by one or a batch at a time: a stopped run goes on clip by clip, and
within a clip after its latents.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import mindspore
import numpy as np

from mindlong.diffusion.sample import count_steps, sampler_of
from mindlong.pipelines.clips import Clip, batches, first_noise
from mindlong.pipelines.previews import Previews
from mindlong.pipelines.results import counted
from mindlong.pipelines.videos import Videos
from mindlong.utils import arrays, atomic, progress
from mindlong.utils.needed import needed

if TYPE_CHECKING:
    from mindlong.diffusion.samplers.loop import Callback
    from mindlong.pipelines.latent_model import LatentModel
    from mindlong.pipelines.session import Session


class Maker(Protocol):
    """What makes the latents of clips.

    Attributes:
        steps: denoising steps of a batch.
    """

    steps: int

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
        facts: of the record, beside what is said here: `fps`, `plan`, and of each clip by its
            number `clips`.
        frames: of a clip that are written, from the first.
        keep_latents: leave latents/NAME.npz beside the videos.
        starts: some clips -> what they start from (B, C, F, h, w); None: noise keyed by the clips.
    """

    def __init__(
        self,
        session: Session,
        model: LatentModel,
        shape: tuple[int, ...],
        maker: Callable[[Sequence[Clip]], Maker],
        facts: dict[str, Any],
        *,
        frames: int,
        keep_latents: bool = True,
        starts: Callable[[Sequence[Clip]], np.ndarray] | None = None,
    ) -> None:
        self.session, self.config, self.model, self.shape = session, session.config, model, shape
        self.maker, self.facts, self.frames = maker, facts, frames
        self.keep_latents, self.previews = keep_latents, Previews(session, model.decode)
        self.starts = starts or (lambda clips: first_noise(clips, shape))
        self.videos = Videos(session)
        self.seconds = {"sample_s": 0.0, "decode_s": 0.0}

    def run(self, clips: Sequence[Clip], where: Path) -> None:
        """Everything that is not done yet."""
        self._sample(clips)
        self._decode(clips)
        self._finish(clips, where)

    def _sample(self, clips: Sequence[Clip]) -> None:
        """Latents of the clips that have none yet, a batch at a time."""
        clock = time.monotonic()
        # whole batches, as they would be without a stop: a row's last bits may depend on the others
        parts = list(batches(clips, min(self.config.batch, len(clips))))
        todo = [part for part in parts if not self._is_made(part)]
        made = self.maker(clips) if todo else None
        rounds, rank = -(-len(todo) // self.videos.comm.size), self.videos.comm.rank
        steps = rounds * made.steps if made else 0
        with progress.bar(steps, "denoising", rank=rank) as bar:

            def work(part: Sequence[Clip]) -> None:
                maker = needed(made, "what makes the clips")
                self._sample_batch(maker, part, self.starts(part), bar)

            self.videos.table.share_out("latents", parts, work, self._is_made)
        self.model.release("network")
        self.seconds["sample_s"] = round(time.monotonic() - clock, 2)

    def _decode(self, clips: Sequence[Clip]) -> None:
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

    def _finish(self, clips: Sequence[Clip], where: Path) -> None:
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
            path.unlink(missing_ok=True)
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
                **self.facts.get("plan", {}),
            },
            "weights": {"asked": config.weights, "found": where.name, "family": self.model.family},
            "versions": {"mindspore": mindspore.__version__},
            "timings": {"resumed": self.session.resumed, **self.seconds},
        }

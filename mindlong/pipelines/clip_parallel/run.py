"""The clip-parallel pipeline as a run: one long video over one process or several, all of which
call `run`.

A run that was stopped goes on after the last saved step, also on another number of
processes; decoded frames wait in files of their own, from which the first process writes the video
in order.

Legend: B videos, C channels of a latent, F frames of this process, h w latent pixels, S tokens, D
their width.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mindspore
import numpy as np

from mindlong.diffusion.sample import count_steps, sampler_of
from mindlong.parallel import halo
from mindlong.pipelines.clip_parallel.plan import IN_LOCK_STEP, alone, parts_of
from mindlong.pipelines.clip_parallel.step_folder import StepFolder
from mindlong.pipelines.clip_parallel.video import LongVideo, video_of
from mindlong.pipelines.load_model import from_parts
from mindlong.pipelines.previews import Previews
from mindlong.pipelines.results import Results
from mindlong.utils import arrays, atomic, progress, run_folder

if TYPE_CHECKING:
    from mindlong.pipelines.session import Session

WORK = ".work"  # in the run's folder, until everything is done
_WORK_FILE = re.compile(r"frames-\d+-\d+\.(u8|npy|npz)")


def run(session: Session) -> None:
    """Make the video of a configuration."""
    config, results = session.config, Results(session)
    parts = parts_of(config)
    video = video_of(from_parts(parts, config.latent), config, session.comm)
    steps = count_steps(config.sample, video.model.noising)
    session.open_with(
        {
            "weights": parts.where,
            "parameters": parts.said_parameters(),
            "plan": f"{video.images} frames in {len(video.clips)} clips by "
            f"{config.clip_parallel.strategy} over {session.comm.size} processes, "
            f"{steps} steps of {sampler_of(config.sample, video.model.noising).name}",
        }
    )
    alone(config, session.comm.size)
    latents = video.sample(lambda frames: _Told(session, video, frames, video.rounds(steps)))
    files, seconds = _Files(session, video), round(time.monotonic() - results.clock, 2)
    files.decode(latents)
    if session.comm.rank == 0:
        files.write(results)
        results.finish(_facts(session, video, {"sample_s": seconds}))
        run_folder.unwrap(session.folder / WORK, _is_work)
    session.comm.all_gather_text("written")


def _facts(session: Session, video: LongVideo, seconds: dict[str, float]) -> dict[str, Any]:
    """The facts of the record."""
    return {
        "strategy": session.config.clip_parallel.strategy,
        "frames": video.images,
        "clips": [len(c) for c in video.clips],
        "processes": session.comm.size,
        "prompts": sorted(set(video.prompts)),
        "sent": {"parcels": video.traffic.parcels, "bytes": video.traffic.bytes},
        "versions": {"mindspore": mindspore.__version__},
        "timings": {**seconds, "resumed": session.resumed},
    }


class _Files:
    """What the processes leave for the first one, and the video that it makes of them."""

    def __init__(self, session: Session, video: LongVideo) -> None:
        self.session, self.video, self.comm = session, video, session.comm

    def _raw(self, frames: range) -> Path:
        return self.session.folder / WORK / f"frames-{frames.start}-{frames.stop}.u8"

    def decode(self, latents: np.ndarray) -> None:
        """This process's frames into a file of its own, as they are decoded; and the latents beside
        it. Where latents go on from one another, the first process decodes those of all.
        """
        mine = self.video.mine()
        arrays.write_npy(self._raw(mine).with_suffix(".npy"), latents)
        if self.video.alone:
            self._decoded(mine, latents, len(mine))
        self.comm.all_gather_text("decoded")

    def _decoded(self, latents: range, z: np.ndarray, images: int) -> None:
        with (
            atomic.replacing(self._raw(latents)) as aside,
            aside.open("wb") as out,
            progress.bar(images, "decoding", rank=self.comm.rank, unit="frame") as bar,
        ):
            for frame in self.video.model.decode(z):
                out.write(frame.tobytes())
                bar.update(1)

    def write(self, results: Results) -> None:
        """The video from all processes' files, frame by frame, and its contact sheet."""
        parts = [arrays.read_npy(self._raw(part).with_suffix(".npy")) for part in self._parts()]
        whole = np.concatenate(parts, 1)
        if not self.video.alone:
            self._decoded(range(self.video.total), whole, self.video.images)
        kept = results.video(self.video.own.name, self._frames(), self.video.images)
        results.sheet([kept], [self.video.title])
        kept_latents = self.session.folder / "latents" / f"{self.video.own.name}.npz"
        arrays.write_npz(kept_latents, latents=whole)

    def _parts(self) -> list[range]:
        held = halo.deal(len(self.video.clips), self.comm.size)
        clips = self.video.clips
        return [range(clips[h[0]].start, clips[h[-1]].stop) for h in held]

    def _frames(self) -> Iterator[np.ndarray]:
        height, width = self.video.pixels
        for part in self._parts() if self.video.alone else [range(self.video.total)]:
            with self._raw(part).open("rb") as raw:
                while data := raw.read(height * width * 3):
                    yield np.frombuffer(data, np.uint8).reshape(height, width, 3)


def _is_work(name: str) -> bool:
    return bool(_WORK_FILE.fullmatch(name)) or run_folder.is_wrapping(name)


class _Told(StepFolder):
    """Saves steps, and shows on process 0 how far all are and how long each took."""

    def __init__(self, session: Session, video: LongVideo, frames: range, steps: int) -> None:
        own, comm = video.own, video.comm
        alike = own.strategy not in IN_LOCK_STEP
        super().__init__(
            session.folder / WORK / "steps",
            frames,
            video.total,
            own.save_every,
            comm,
            writes=not alike or comm.rank == 0,
        )
        self.name, self.first = own.name, comm.rank == 0
        self.previews = Previews(session, video.model.decode)
        self.traffic, self.waited, self.clock = video.traffic, 0.0, time.perf_counter()
        done = self.found[0] if self.found else 0
        self.bar = progress.bar(steps, "denoising", rank=comm.rank, initial=done)
        if done:
            session.log.info("going on after step %d of %d", done, steps)

    def __enter__(self) -> _Told:
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def __call__(self, step: int, total: int, x0: np.ndarray) -> None:
        """A preview of the frames of this process, on the first one."""
        if self.first:
            self.previews.draw(self.name, step, total, x0)

    def after(self, steps: int, total: int, x: np.ndarray, memory: np.ndarray | None) -> None:
        """Save where it is time, and tell."""
        super().after(steps, total, x, memory)
        now, waited = time.perf_counter(), self.traffic.seconds
        mine = f"{now - self.clock - (waited - self.waited):.1f}"
        self.clock, self.waited = now, waited
        everybody = self.comm.all_gather_text(mine)
        self.bar.update(1)
        if self.comm.size > 1:
            self.bar.set_postfix_str(f"seconds computing, by process: {' '.join(everybody)}")

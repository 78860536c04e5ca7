"""The clip-parallel pipeline as a run: one long video over one process or several, all of which
call `run`.

Noise is keyed by (seed, stream, step, frame of the video): neither the clips nor the processes can
be seen in it. A run that was stopped goes on after the last saved step, also on another number of
processes; decoded frames wait in files of their own, from which the first process writes the video
in order.

Legend: B videos, C channels of a latent, F frames of this process, h w latent pixels, S tokens, D
their width.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mindspore
import numpy as np

from mindlong.checkpoints.latent_parts import parts_of
from mindlong.diffusion.finite import Row
from mindlong.diffusion.guidance import Model, guided, guided_batched
from mindlong.diffusion.sample import count_steps, sample, sampler_of
from mindlong.parallel import halo
from mindlong.parallel.sync import Traffic
from mindlong.pipelines.clip_parallel.make import ClipParallel, sharded
from mindlong.pipelines.clip_parallel.plan import (
    IN_LOCK_STEP,
    clips_of,
    layout_of,
    mixed,
    prompts_of,
)
from mindlong.pipelines.clip_parallel.step_folder import StepFolder
from mindlong.pipelines.clip_parallel.windows import Windows, shuffled
from mindlong.pipelines.latent_model import LatentModel, from_parts
from mindlong.pipelines.results import Results
from mindlong.pipelines.session import Session
from mindlong.utils import arrays, atomic, progress, rng, run_folder
from mindlong.utils.lines import opening_lines

WORK = ".work"  # in the run's folder, until everything is done
_WORK_FILE = re.compile(r"frames-\d+-\d+\.(u8|npy|npz)")
Ask = Callable[
    [np.ndarray, np.ndarray, np.ndarray], np.ndarray
]  # (x, t, context of those rows) -> prediction


def run(session: Session) -> None:
    """Make the video of a configuration."""
    config, results = session.config, Results(session)
    parts = parts_of(config)
    model, clips = from_parts(parts, config.latent), clips_of(config, parts.size[0])
    shape = model.latent_shape(clips[-1].stop, *(config.size or parts.size[1:]))
    session.log.info(
        "\n".join(
            opening_lines(
                {
                    "weights": parts.where,
                    "parameters": ", ".join(
                        f"{name} {n:,}" for name, n in parts.parameters().items()
                    ),
                    "plan": f"{shape[1]} frames in {len(clips)} clips by "
                    f"{config.clip_parallel.strategy} over {session.comm.size} processes, "
                    f"{count_steps(config.sample, model.noising)} steps of "
                    f"{sampler_of(config.sample, model.noising).name}",
                }
            )
        )
    )
    video = LongVideo(model, config, clips, session)
    latents = video.sample()
    seconds = {"sample_s": round(time.monotonic() - results.clock, 2)}
    video.decode(latents)
    if session.comm.rank == 0:
        video.write(results)
        results.finish(
            {
                "strategy": config.clip_parallel.strategy,
                "frames": shape[1],
                "clips": [len(c) for c in clips],
                "processes": session.comm.size,
                "prompts": sorted(set(video.prompts)),
                "sent": {"parcels": video.traffic.parcels, "bytes": video.traffic.bytes},
                "versions": {"mindspore": mindspore.__version__},
                "timings": {**seconds, "resumed": session.resumed},
            }
        )
        run_folder.unwrap(session.folder / WORK, _is_work)
    session.comm.all_gather_text("written")


class LongVideo:
    """One long video under way in this process. `networks` keeps what was compiled from one video
    to the next.
    """

    def __init__(
        self,
        model: LatentModel,
        config: Any,
        clips: tuple[range, ...],
        session: Session,
        networks: dict[tuple[bool, int], Any] | None = None,
    ) -> None:
        self.networks = {} if networks is None else networks
        self.model, self.config, self.own, self.session, self.comm = (
            model,
            config,
            config.clip_parallel,
            session,
            session.comm,
        )
        self.clips, self.total, self.traffic = clips, clips[-1].stop, Traffic()
        self.prompts = prompts_of(config, clips)
        height, width = config.size or model.size[1:]
        self.shape = model.latent_shape(self.total, height, width)
        self.pixels = height, width
        self.fps = (self.own.told_fps or config.fps) if model.wants_fps else None

    def sample(self) -> np.ndarray:
        """Clean latents of this process's frames: (C, F, h, w)."""
        encoded = {p: self.model.encode_text([p])[0] for p in {*self.prompts, self.own.negative}}
        self.model.release("text_encoder")
        context = mixed(self.prompts, self.own.blend, encoded)[None]  # (1, F or 1, S, D)
        frames, asked = self._lock_step() if self.own.strategy in IN_LOCK_STEP else self._windows()
        context = context[:, frames.start : frames.stop] if context.shape[1] > 1 else context[:, 0]
        model = self._guided(
            asked, context, np.array(np.broadcast_to(encoded[self.own.negative], context.shape))
        )
        source = np.arange(self.total)
        if self.own.strategy == "free_noise":
            source = shuffled(self.total, self.window, self.own.stride, self.config.seed)
        steps = _Told(self, frames, count_steps(self.config.sample, self.model.noising))
        with steps:
            out = sample(
                self.config.sample,
                model,
                self._noise(source[frames.start : frames.stop], "sample", 0),
                self.model.noising,
                noise=lambda step: self._noise(np.array(frames), "sample-step", step),
                callback=steps,
                rows=[Row(self.own.name, frames)],
            )
        self.model.release("network")
        mine = self.mine()
        return out[0][:, mine.start - frames.start : mine.stop - frames.start]

    @property
    def window(self) -> int:
        """Frames of a window."""
        if self.own.strategy == "independent":
            return len(self.clips[0])
        return min(self.own.window or self.model.size[0], self.total)

    def mine(self) -> range:
        """The frames that this process decodes."""
        held = halo.deal(len(self.clips), self.comm.size)[self.comm.rank]
        return range(self.clips[held[0]].start, self.clips[held[-1]].stop)

    def _lock_step(self) -> tuple[range, Ask]:
        layout = layout_of(self.config, self.clips)
        self.comm.choose(self.own.swaps)
        key = layout.exact, layout.context
        if key not in self.networks:
            self.networks[key] = sharded(self.model, *key)
        parallel = ClipParallel(self.networks[key], layout, self.comm, traffic=self.traffic)
        return parallel.frames, lambda x, t, context: parallel.predict(x, t, context, self.fps)

    def _windows(self) -> tuple[range, Ask]:
        """Every process holds all latents and runs its share of the windows."""
        apart = self.own.strategy == "independent"
        stride = self.window if apart else min(self.own.stride, self.window)

        def asked(x: np.ndarray, t: np.ndarray, context: np.ndarray) -> np.ndarray:
            def one(part: np.ndarray, t_B: np.ndarray, frames: range) -> np.ndarray:
                told = context if context.ndim == 3 else context[:, frames.start : frames.stop]
                return self.model.predict(part, t_B, told, self.fps)

            return Windows(one, self.total, self.window, stride, self.comm, flat=apart).predict(
                x, t
            )

        return range(self.total), asked

    def _guided(self, asked: Ask, context: np.ndarray, null: np.ndarray) -> Model:
        s = self.config.sample
        if s.guidance == 1:
            return lambda x, t: asked(x, t, context)
        if self.own.two_passes:
            return guided(
                lambda x, t: asked(x, t, context),
                lambda x, t: asked(x, t, null),
                s.guidance,
                s.rescale,
            )
        both = np.concatenate([null, context])
        return guided_batched(lambda x, t: asked(x, t, both), s.guidance, s.rescale)

    def _noise(self, frames: np.ndarray, stream: str, step: int) -> np.ndarray:
        """(1, C, len(frames), h, w)."""
        channels, _, height, width = self.shape
        rows = rng.normal_rows(
            frames.tolist(), (channels, height, width), self.config.seed, stream, step
        )
        return np.ascontiguousarray(rows.transpose(1, 0, 2, 3)[None])

    def _raw(self, frames: range) -> Path:
        return self.session.folder / WORK / f"frames-{frames.start}-{frames.stop}.u8"

    def decode(self, latents: np.ndarray) -> None:
        """This process's frames into a file of its own, as they are decoded; and the latents beside
        it.
        """
        mine, path = self.mine(), self._raw(self.mine())
        arrays.write_npy(path.with_suffix(".npy"), latents)
        with (
            atomic.replacing(path) as aside,
            aside.open("wb") as out,
            progress.bar(len(mine), "decoding", rank=self.comm.rank, unit="frame") as bar,
        ):
            for frame in self.model.decode(latents):
                out.write(frame.tobytes())
                bar.update(1)
        self.comm.all_gather_text("decoded")

    def write(self, results: Results) -> None:
        """The video from all processes' files, frame by frame, and its contact sheet."""
        kept = results.video(self.own.name, self._frames(), self.total)
        results.sheet([kept], [" / ".join(dict.fromkeys(self.prompts))])
        parts = [arrays.read_npy(self._raw(part).with_suffix(".npy")) for part in self._parts()]
        kept_latents = self.session.folder / "latents" / f"{self.own.name}.npz"
        arrays.write_npz(kept_latents, latents=np.concatenate(parts, 1))

    def _parts(self) -> list[range]:
        held = halo.deal(len(self.clips), self.comm.size)
        return [range(self.clips[h[0]].start, self.clips[h[-1]].stop) for h in held]

    def _frames(self) -> Iterator[np.ndarray]:
        height, width = self.pixels
        for part in self._parts():
            with self._raw(part).open("rb") as raw:
                for _ in part:
                    yield np.frombuffer(raw.read(height * width * 3), np.uint8).reshape(
                        height, width, 3
                    )


def _is_work(name: str) -> bool:
    return bool(_WORK_FILE.fullmatch(name)) or run_folder.is_wrapping(name)


class _Told(StepFolder):
    """Saves steps, and shows on process 0 how far all are and how long each took."""

    def __init__(self, video: LongVideo, frames: range, steps: int) -> None:
        own, comm = video.own, video.comm
        alike = own.strategy not in IN_LOCK_STEP
        super().__init__(
            video.session.folder / WORK / "steps",
            frames,
            video.total,
            own.save_every,
            comm,
            writes=not alike or comm.rank == 0,
        )
        self.traffic, self.waited, self.clock = video.traffic, 0.0, time.perf_counter()
        done = self.found[0] if self.found else 0
        self.bar = progress.bar(steps, "denoising", rank=comm.rank, initial=done)
        if done:
            video.session.log.info("going on after step %d of %d", done, steps)

    def __enter__(self) -> _Told:
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

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

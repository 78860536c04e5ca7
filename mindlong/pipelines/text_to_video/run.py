"""The text-to-video pipeline as a run: a stopped run goes on clip by clip, and within a clip after
its latents.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mindspore
import numpy as np

from mindlong.config.infer_options.text_to_video import TextToVideoOptions
from mindlong.diffusion.sample import count_steps, sampler_of
from mindlong.media.sheet import write_contact_sheet
from mindlong.pipelines.clips import Clip
from mindlong.pipelines.journal import Journal
from mindlong.pipelines.latent_model import LatentModel, from_parts
from mindlong.pipelines.results import Results, counted
from mindlong.pipelines.session import Session
from mindlong.pipelines.text_to_video.again import Again
from mindlong.pipelines.text_to_video.make import Request, pipeline_of, request_of
from mindlong.pipelines.text_to_video.plan import parts_of, size_of
from mindlong.utils import arrays, atomic, progress, run_folder
from mindlong.utils.lines import opening_lines

WORK = ".work"  # in the run's folder, until everything is done


def run(session: Session) -> None:
    """Make the videos of a configuration."""
    config = session.config
    parts = parts_of(config)
    model = from_parts(parts, config.latent)
    request = request_of(config, model)
    clips, shape = request.clips, request.shape
    _, *size = size_of(config, parts.size)
    session.log.info(
        "\n".join(
            opening_lines(
                {
                    "weights": parts.where,
                    "parameters": ", ".join(
                        f"{name} {n:,}" for name, n in parts.parameters().items()
                    ),
                    "plan": f"{len(clips)} videos, {request.frames} frames {size[0]}x{size[1]}, "
                    f"latents {'x'.join(map(str, shape))}, "
                    f"{sampler_of(config.sample, model.noising).name} {count_steps(config.sample, model.noising)} steps, "
                    f"guidance {config.sample.guidance:g}, {model.noising.prediction} predicted",
                }
            )
        )
    )
    work = _Work(session, model, request)
    work.sample()
    work.decode()
    work.finish(parts.where)


class _Work:
    """What is done of a run, and the doing of the rest."""

    def __init__(self, session: Session, model: LatentModel, request: Request) -> None:
        self.session, self.config, self.model = session, session.config, model
        self.request, self.clips = request, request.clips
        self.own: TextToVideoOptions = self.config.text_to_video
        self.journal = Journal(session.folder / WORK, session.identity({}))
        self.results = Results(session)
        self.seconds = {"sample_s": 0.0, "decode_s": 0.0}

    def sample(self) -> None:
        """Latents of the clips that have none yet, a batch at a time."""
        clock = time.monotonic()
        todo = {c.name for c in self.clips if not self._is_done(c) and not self._is_sampled(c)}
        # whole batches, as they would be without a stop: a row's last bits may depend on the others
        batches = [part for part in self.request.batches() if todo & {c.name for c in part}]
        if not batches:
            return
        pipeline = pipeline_of(self.config, self.model)
        for clip in self.clips:
            self.model.encode_text([*clip.prompts, self.own.negative])
        self.model.release("text_encoder")
        again = Again(pipeline, self.config.free_init)
        with progress.bar(len(batches) * again.total, "denoising") as bar:
            for part in batches:
                self._sample_batch(again, part, bar)
        self.model.release("network")
        self.seconds["sample_s"] = round(time.monotonic() - clock, 2)

    def decode(self) -> None:
        """Files of the clips that have none yet; frames go to the writers as they are decoded."""
        clock = time.monotonic()
        todo, count = [c for c in self.clips if not self._is_done(c)], self.request.frames
        with progress.bar(len(todo) * count, "decoding", unit="frame") as bar:
            for clip in todo:
                latents = arrays.read_npz(self._latents(clip), ["latents"])["latents"]
                before = len(self.results.files)
                frames = counted(self.model.decode(latents), bar)
                shown = self.results.video(clip.name, frames, count)
                arrays.write_npz(self._sheet(clip), frames=shown)
                written = self.results.files[before:]
                sizes = {path.name: _size(path) for path in written}
                self.journal.add(clip.name, files=list(sizes), sizes=sizes)
        self.seconds["decode_s"] = round(time.monotonic() - clock, 2)

    def finish(self, where: Path) -> None:
        """The contact sheet and the record; what was only for going on is removed."""
        clips = self.clips
        done = [name for clip in clips for name in self.journal.done[clip.name][-1]["files"]]
        self.results.files = [self.session.folder / name for name in done]
        rows = [arrays.read_npz(self._sheet(c), ["frames"])["frames"] for c in clips]
        self.results.sheet(rows, [c.title for c in clips])
        self.results.finish(self._facts(clips, where))
        ours = {f"{clip.name}.npz" for clip in clips}
        run_folder.unwrap(
            self.session.folder / WORK, lambda name: name in ours or run_folder.is_wrapping(name)
        )
        if not self.own.keep_latents:
            atomic.remove_written(self.session.folder / "latents", ours.__contains__)

    def _sample_batch(self, again: Again, part: Sequence[Clip], bar: Any) -> None:
        name, every, x_T = part[0].name, self.own.preview_every, self.request.starts(part)

        def on_step(step: int, total: int, x0: np.ndarray) -> None:
            bar.update(1)
            if every and (step % every == 0 or step == total):
                videos = [np.stack(list(self.model.decode(latents))) for latents in x0]
                path = self.session.folder / "preview" / f"{name}-step-{step:04d}.png"
                write_contact_sheet(path, videos, [clip.title for clip in part])

        made = again.latents(part, x_T, on_step, pure_noise=self.request.given is None)
        for clip, noise, latents in zip(part, x_T, made, strict=True):
            arrays.write_npz(self._latents(clip), latents=latents, x_T=noise)

    def _latents(self, clip: Clip) -> Path:
        return self.session.folder / "latents" / f"{clip.name}.npz"

    def _sheet(self, clip: Clip) -> Path:
        return self.session.folder / WORK / f"{clip.name}.npz"

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

    def _is_done(self, clip: Clip) -> bool:
        """Whether the clip's files are there, as they were written."""
        if clip.name not in self.journal:
            return False
        try:
            arrays.read_npz(self._sheet(clip), ["frames"])
            for name, size in self.journal.done[clip.name][-1]["sizes"].items():
                if _size(self.session.folder / name) != size:
                    raise arrays.Damaged(f"{self.session.folder / name} is not as it was written")
        except (arrays.Damaged, KeyError) as error:
            self.session.log.warning("%s; it is made again", error)
            self.journal.forget(clip.name)
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
                    "negative": self.own.negative,
                }
                for c in clips
            ],
            "plan": {
                "latents_CFHW": list(self.request.shape),
                "sampler": sampler_of(s, self.model.noising).name,
                "steps": count_steps(s, self.model.noising),
                "eta": s.eta,
                "guidance": s.guidance,
                "guidance_curve": self.own.guidance_curve,
                "prediction": self.model.noising.prediction,
                "fps": self.own.fps_condition or config.fps,
                "dtype": config.latent.dtype,
            },
            "weights": {"asked": config.weights, "found": where.name, "family": self.model.family},
            "versions": {"mindspore": mindspore.__version__},
            "timings": {"resumed": self.session.resumed, **self.seconds},
        }


def _size(path: Path) -> int:
    """Bytes of a file, or of the files in a folder; -1 where there is nothing."""
    if path.is_dir():
        return sum(p.stat().st_size for p in path.iterdir())
    return path.stat().st_size if path.exists() else -1

"""The text-to-video pipeline as a run: a stopped run goes on clip by clip, and within a clip after
its latents.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mindspore

from mindlong.config.infer_options.text_to_video import TextToVideoOptions
from mindlong.diffusion.sample import count_steps, sampler_of
from mindlong.pipelines.clips import Clip
from mindlong.pipelines.latent_model import HELD_TEXTS, LatentModel, from_parts
from mindlong.pipelines.previews import Previews
from mindlong.pipelines.results import counted
from mindlong.pipelines.session import Session
from mindlong.pipelines.text_to_video.again import Again
from mindlong.pipelines.text_to_video.make import Request, pipeline_of, request_of
from mindlong.pipelines.text_to_video.plan import parts_of, size_of
from mindlong.pipelines.videos import Videos
from mindlong.utils import arrays, atomic, progress
from mindlong.utils.lines import opening_lines


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
        self.videos, self.previews = Videos(session), Previews(session, model.decode)
        self.seconds = {"sample_s": 0.0, "decode_s": 0.0}

    def sample(self) -> None:
        """Latents of the clips that have none yet, a batch at a time."""
        clock = time.monotonic()
        # whole batches, as they would be without a stop: a row's last bits may depend on the others
        batches = list(self.request.batches())
        todo = [part for part in batches if not self._is_made(part)]
        again = self._again()
        rounds, rank = -(-len(todo) // self.videos.comm.size), self.videos.comm.rank
        with progress.bar(rounds * again.total, "denoising", rank=rank) as bar:
            self.videos.table.share_out(
                "latents",
                batches,
                lambda part: self._sample_batch(again, part, bar),
                self._is_made,
            )
        self.model.release("network")
        self.seconds["sample_s"] = round(time.monotonic() - clock, 2)

    def decode(self) -> None:
        """Files of the clips that have none yet; frames go to the writers as they are decoded."""
        clock, count = time.monotonic(), self.request.frames
        named = {clip.name: clip for clip in self.clips}
        left = sum(not self.videos.is_done(name) for name in named)
        total, rank = -(-left // self.videos.comm.size) * count, self.videos.comm.rank
        with progress.bar(total, "decoding", unit="frame", rank=rank) as bar:

            def work(name: str) -> None:
                latents = arrays.read_npz(self._latents(named[name]), ["latents"])["latents"]
                self.videos.write(name, counted(self.model.decode(latents), bar), count)

            self.videos.deal("videos", list(named), work)
        self.seconds["decode_s"] = round(time.monotonic() - clock, 2)

    def finish(self, where: Path) -> None:
        """The contact sheet and the record; what was only for going on is removed."""
        names = [clip.name for clip in self.clips]
        titles = [clip.title for clip in self.clips]
        self.videos.finish(names, titles, lambda: self._facts(self.clips, where))
        if self.videos.first and not self.own.keep_latents:
            ours = {f"{name}.npz" for name in names}
            atomic.remove_written(self.session.folder / "latents", ours.__contains__)

    def _again(self) -> Again:
        """The way to sample; where there is room for all texts they are encoded here, if any is to
        be sampled, and the text encoder leaves the memory.
        """
        pipeline = pipeline_of(self.config, self.model)
        texts = {text: None for clip in self.clips for text in clip.prompts}
        texts[self.own.negative] = None
        wanted = not all(self._is_made([clip]) for clip in self.clips)
        if wanted and len(texts) <= HELD_TEXTS:
            self.model.encode_text(list(texts))
            self.model.release("text_encoder")
        return Again(pipeline, self.config.free_init)

    def _sample_batch(self, again: Again, part: Sequence[Clip], bar: Any) -> None:
        x_T = self.request.starts(part)
        on_step = self.previews.step(bar, part[0].name, [clip.title for clip in part])
        made = again.latents(part, x_T, on_step, pure_noise=self.request.given is None)
        for clip, noise, latents in zip(part, x_T, made, strict=True):
            arrays.write_npz(self._latents(clip), latents=latents, x_T=noise)

    def _latents(self, clip: Clip) -> Path:
        return self.session.folder / "latents" / f"{clip.name}.npz"

    def _is_made(self, part: Sequence[Clip]) -> bool:
        return all(self.videos.is_done(c.name) or self._is_sampled(c) for c in part)

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

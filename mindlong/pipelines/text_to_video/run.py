"""The text-to-video pipeline as a run: prompts in, a video of each out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.diffusion.sample import count_steps, sampler_of
from mindlong.pipelines.clip_work import ClipWork
from mindlong.pipelines.latent_model import HELD_TEXTS, LatentModel
from mindlong.pipelines.load_model import from_parts
from mindlong.pipelines.text_to_video.again import Again
from mindlong.pipelines.text_to_video.make import pipeline_of, request_of
from mindlong.pipelines.text_to_video.plan import parts_of, size_of

if TYPE_CHECKING:
    from mindlong.config.infer_options.text_to_video import TextToVideoOptions
    from mindlong.diffusion.samplers.loop import Callback
    from mindlong.pipelines.clips import Clip
    from mindlong.pipelines.session import Session


def run(session: Session) -> None:
    """Make the videos of a configuration."""
    config = session.config
    own: TextToVideoOptions = config.text_to_video
    parts = parts_of(config)
    model = from_parts(parts, config.latent)
    request = request_of(config, model)
    clips, shape, s = request.clips, request.shape, config.sample
    _, *size = size_of(config, parts.size)
    session.open_with(
        {
            "weights": parts.where,
            "parameters": parts.said_parameters(),
            "plan": f"{len(clips)} videos, {request.frames} frames {size[0]}x{size[1]}, "
            f"latents {'x'.join(map(str, shape))}, "
            f"{sampler_of(s, model.noising).name} {count_steps(s, model.noising)} steps, "
            f"guidance {s.guidance:g}, {model.noising.prediction} predicted",
        }
    )
    ClipWork(
        session,
        model,
        shape,
        lambda clips: _Maker(config, model, clips, pure_noise=request.given is None),
        {
            "fps": own.fps_condition or config.fps,
            "plan": {"guidance_curve": own.guidance_curve},
            "clips": {clip.number: {"negative": own.negative} for clip in clips},
        },
        frames=request.frames,
        keep_latents=own.keep_latents,
        starts=request.starts,
    ).run(clips, parts.where)


class _Maker:
    """What makes the latents of clips; where there is room for all their texts these are encoded
    first, and the text encoder leaves the memory. So does the network behind the last clip, before
    that one is decoded.
    """

    def __init__(
        self, config: Any, model: LatentModel, clips: Sequence[Clip], *, pure_noise: bool
    ) -> None:
        self.again = Again(
            pipeline_of(config, model), config.free_init, config.text_to_video.shared_low
        )
        self.steps, self.pure_noise = self.again.total, pure_noise
        self.model, self.left = model, len(clips)
        texts = {text: None for clip in clips for text in clip.prompts}
        texts[config.text_to_video.negative] = None
        if len(texts) <= HELD_TEXTS:
            model.encode_text(list(texts))
            model.release("text_encoder")

    def latents(
        self, clips: Sequence[Clip], x_T: np.ndarray, callback: Callback | None = None
    ) -> np.ndarray:
        """Clean latents (B, C, F, h, w) of `clips` from `x_T` of that shape."""
        made = self.again.latents(clips, x_T, callback, pure_noise=self.pure_noise)
        self.left -= len(clips)
        if self.left <= 0:
            self.model.release("network")
        return made

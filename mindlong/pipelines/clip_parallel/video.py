"""One long video by clips or windows: what a process samples of it.

Noise is keyed by (seed, stream, step, frame of the video): neither the clips nor the processes can
be seen in it.

Legend: B videos, C channels of a latent, F frames of this process, h w latent pixels, S tokens, D
their width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.diffusion.block_queue import Queue, blocks_of
from mindlong.diffusion.finite import Row
from mindlong.diffusion.guidance import Model, guided, guided_batched
from mindlong.diffusion.sample import sample
from mindlong.diffusion.samplers.loop import Callback
from mindlong.diffusion.shared_noise import share_low
from mindlong.parallel import halo
from mindlong.parallel.comm import Comm, SerialComm
from mindlong.parallel.sync import Traffic
from mindlong.pipelines.clip_parallel.make import ClipParallel, sharded
from mindlong.pipelines.clip_parallel.plan import (
    IN_LOCK_STEP,
    latent_clips,
    layout_of,
    mixed,
    mixture_of,
    one_each,
    parts_of,
    prompts_of,
)
from mindlong.pipelines.clip_parallel.windows import Windows, shuffled
from mindlong.pipelines.made import Made
from mindlong.utils import rng

if TYPE_CHECKING:
    from mindlong.pipelines.latent_model import LatentModel
    from mindlong.pipelines.models import Models

Ask = Callable[
    [np.ndarray, np.ndarray, np.ndarray], np.ndarray
]  # (x, t, context of those rows) -> prediction
Watch = Callable[[range], AbstractContextManager[Callback | None]]  # frames -> what follows steps


class LongVideo:
    """One long video under way in this process.

    Attributes:
        total: its latents. images: its frames. alone: each latent is decoded by itself.
    """

    def __init__(
        self,
        model: LatentModel,
        config: Any,
        clips: tuple[range, ...],
        comm: Comm | None = None,
    ) -> None:
        self.model, self.config, self.own = model.worded(config), config, config.clip_parallel
        self.comm = comm or SerialComm()
        self.clips, self.total, self.traffic = clips, clips[-1].stop, Traffic()
        self.prompts = prompts_of(config, clips)
        height, width = config.size or model.size[1:]
        self.images = model.vae_spec.frames_of(self.total)
        self.alone = one_each(model.vae_spec)
        self.shape = model.latent_shape(self.images, height, width)
        self.pixels = height, width
        self.fps = (self.own.fps_condition or config.fps) if model.wants_fps else None

    @property
    def title(self) -> str:
        """What it shows, in a line."""
        return " / ".join(dict.fromkeys(self.prompts))

    def sample(self, watch: Watch) -> np.ndarray:
        """Clean latents of this process's frames: (C, F, h, w). `watch` gives the callback for the
        frames that this process samples.
        """
        encoded = {p: self.model.encode_text([p])[0] for p in {*self.prompts, self.own.negative}}
        self.model.release("text_encoder")
        context = mixed(mixture_of(self.config, self.prompts), encoded)[None]  # (1, F or 1, S, D)
        if self.own.strategy == "queue":
            return self._queued(context, watch)
        frames, asked = self._lock_step() if self.own.strategy in IN_LOCK_STEP else self._windows()
        context = context[:, frames.start : frames.stop] if context.shape[1] > 1 else context[:, 0]
        model = self._guided(
            asked, context, np.array(self.model.null_text(self.own.negative, context))
        )
        source = np.arange(self.total)
        if self.own.strategy in ("free_noise", "views"):
            source = shuffled(self.total, self.window, self.own.stride, self.config.seed)
        with watch(frames) as callback:
            out = sample(
                self.config.sample,
                model,
                self._first_noise(source[frames.start : frames.stop]),
                self.model.noising,
                noise=lambda step: self._noise(np.array(frames), "sample-step", step),
                callback=callback,
                rows=[Row(self.own.name, frames)],
            )
        self.model.release("network")
        mine = self.mine()
        return out[0][:, mine.start - frames.start : mine.stop - frames.start]

    def _queued(self, context: np.ndarray, watch: Watch) -> np.ndarray:
        """As `sample`, block by block; this process holds the whole video."""
        whole = range(self.total)
        blocks, beside = blocks_of(self.total, self.window, self.own.stride)

        def model_of(frames: range) -> Model:
            part = slice(frames.start, frames.stop)
            mine = context[:, part] if context.shape[1] > 1 else context[:, 0]
            null = np.array(self.model.null_text(self.own.negative, mine))
            return self._guided(
                lambda x, t, text: self.model.denoiser(text, self.fps)(x, t), mine, null
            )

        def noise(step: int, frames: range) -> np.ndarray:
            return self._noise(np.array(frames), "sample-step", step)

        queue = Queue(model_of, self.config.sample, self.model.noising, blocks, beside, noise)
        with watch(whole) as callback:
            out = queue.sample(self._first_noise(np.array(whole)), callback)
        self.model.release("network")
        return out[0]

    @property
    def window(self) -> int:
        """Frames of a window."""
        if self.own.strategy == "independent":
            return len(self.clips[0])
        return min(self.own.window or self.model.size[0], self.total)

    def rounds(self, steps: int) -> int:
        """How often latents change: steps, or rounds until a queue is empty."""
        if self.own.strategy != "queue":
            return steps
        return steps + len(blocks_of(self.total, self.window, self.own.stride)[0]) - 1

    def mine(self) -> range:
        """The frames that this process decodes."""
        held = halo.deal(len(self.clips), self.comm.size)[self.comm.rank]
        return range(self.clips[held[0]].start, self.clips[held[-1]].stop)

    def _lock_step(self) -> tuple[range, Ask]:
        layout = layout_of(self.config, self.clips, self.model.size[0])
        self.comm.choose(self.own.swaps)
        key, built = f"sharded {layout.exact} {layout.context}", self.model.built
        if key not in built:
            built[key] = sharded(self.model, layout.exact, layout.context)
        parallel = ClipParallel(built[key], layout, self.comm, traffic=self.traffic)
        return parallel.frames, lambda x, t, context: parallel.predict(x, t, context, self.fps)

    def _windows(self) -> tuple[range, Ask]:
        """Every process holds all latents and runs its share of the windows."""
        apart = self.own.strategy == "independent"
        stride = self.window if apart else min(self.own.stride, self.window)

        def asked(x: np.ndarray, t: np.ndarray, context: np.ndarray) -> np.ndarray:
            def one(part: np.ndarray, t_B: np.ndarray, frames: range) -> np.ndarray:
                told = context if context.ndim == 3 else context[:, frames.start : frames.stop]
                return self.model.denoiser(told, self.fps)(part, t_B)

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

    def _first_noise(self, frames: np.ndarray) -> np.ndarray:
        """What `frames` start from, (1, C, len(frames), h, w)."""
        noise = self._noise(frames, "sample", 0)[0]
        return share_low(noise, self.own.shared_low, self.config.seed)[None]

    def _noise(self, frames: np.ndarray, stream: str, step: int) -> np.ndarray:
        """(1, C, len(frames), h, w)."""
        channels, _, height, width = self.shape
        rows = rng.normal_rows(
            frames.tolist(), (channels, height, width), self.config.seed, stream, step
        )
        return np.ascontiguousarray(rows.transpose(1, 0, 2, 3)[None])


def video_of(model: LatentModel, config: Any, comm: Comm | None = None) -> LongVideo:
    """The video of a configuration. Raises ConfigError."""
    return LongVideo(model, config, latent_clips(config, model.size[0], model.vae_spec), comm)


def make(models: Models, config: Any, callback: Callback | None = None) -> Iterator[Made]:
    """The video of a configuration, in this process.

    Raises:
        ConfigError, InputFileError, NotFiniteError.
    """
    own = config.clip_parallel
    seen = (own.window, own.stride) if own.strategy == "views" else ()
    model = models.of_parts(parts_of(config), config.latent, config.weights, *seen)
    video = video_of(model, config)
    latents = video.sample(lambda frames: nullcontext(callback))
    yield Made(video.title, 0, model.decode(latents), video.images, config.fps, lambda: latents)

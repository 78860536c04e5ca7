"""video-diffusion-pytorch's own classes, with its arguments: Unet3D and GaussianDiffusion.

    from mindlong import GaussianDiffusion, Unet3D

A program written for it (github.com/lucidrains/video-diffusion-pytorch 0.7.0, MIT) runs with the
import changed; only `loss.backward()` has no counterpart, since MindSpore differentiates functions:
`loss, grads = diffusion.loss_and_grads(videos, cond=text)` gives both.

Legend: B videos, C channels, F frames, H W pixels, D numbers of a condition.
"""

from __future__ import annotations

from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor

from mindlong.diffusion.guidance import Model, guided
from mindlong.diffusion.interpolation import interpolate
from mindlong.diffusion.losses import DISTANCES, DiffusionLoss
from mindlong.diffusion.noising import Noising
from mindlong.diffusion.parameterise import add_noise
from mindlong.diffusion.sample import Plain, sample
from mindlong.diffusion.schedules import cosine
from mindlong.face.unet3d import Asked, Unet3D
from mindlong.utils import progress, rng
from mindlong.utils.errors import ConfigError, did_you_mean

Array = Tensor | np.ndarray


class GaussianDiffusion:
    """Noising, loss and sampling of a Unet3D.

    Args:
        denoise_fn: the network.
        image_size: height and width of a frame, pixels. num_frames: frames of a video.
        text_use_bert_cls: strings become BERT's [CLS] vector rather than the mean of its tokens.
        timesteps: of the noising process (cosine).
        loss_type: "l1" or "l2".
        use_dynamic_thres, dynamic_thres_percentile: dynamic thresholding when sampling.
        bert: weights of a BERT for conditions given as strings (`mindlong.load` names the forms).
        compat: reproduce the original's bugs (docs/vdm.md).
        seed: noise, timesteps and masks of every call follow from it and the number of the call.

    Raises:
        ConfigError: an unknown loss.
    """

    def __init__(
        self,
        denoise_fn: Unet3D,
        *,
        image_size: int,
        num_frames: int,
        text_use_bert_cls: bool = False,
        channels: int = 3,
        timesteps: int = 1000,
        loss_type: str = "l1",
        use_dynamic_thres: bool = False,
        dynamic_thres_percentile: float = 0.9,
        bert: str = "",
        compat: bool = False,
        seed: int = 0,
    ) -> None:
        if loss_type not in DISTANCES:
            raise ConfigError(
                f"loss_type is {loss_type!r}; it must be l1 or l2.{did_you_mean(loss_type, DISTANCES)}"
            )
        self.denoise_fn, self.image_size, self.num_frames = denoise_fn, image_size, num_frames
        self.channels, self.num_timesteps, self.loss_type = channels, timesteps, loss_type
        self.text_use_bert_cls, self.bert, self.compat, self.seed = (
            text_use_bert_cls,
            bert,
            compat,
            seed,
        )
        self.noising = Noising(cosine(timesteps), "eps", bound=1.0)
        self.dynamic_threshold = dynamic_thres_percentile if use_dynamic_thres else 0.0
        self.calls = 0
        self._losses: dict[tuple[bool, bool], DiffusionLoss] = {}
        self._grads: dict[tuple[bool, bool], Any] = {}

    def cuda(self) -> GaussianDiffusion:
        """Itself: the device is MindSpore's (`mindspore.set_device`)."""
        return self

    to = cuda

    def trainable_params(self) -> list[Parameter]:
        """The network's parameters, in the order of the gradients of `loss_and_grads`."""
        return list(self.denoise_fn.trainable_params())

    def __call__(self, videos: Array, cond: Any = None, **options: Any) -> Tensor:
        """The loss of a batch, a float32 scalar; arguments as for `loss_and_grads`."""
        key, arrays = self.step_inputs(videos, cond, **options)
        return self.loss_cell(*key)(*map(Tensor, arrays))

    forward = __call__

    def loss_and_grads(
        self, videos: Array, cond: Any = None, **options: Any
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The loss of a batch and its gradients, in the order of `trainable_params`.

        Args:
            videos: (B, C, F, H, W) in [0, 1], as the trainer reads them from files.
            cond: (B, D) float32, or one string for each video where the network takes BERT.
            options: `prob_focus_present`, the share of videos whose frames attend only to
                themselves, or `focus_present_mask` (B,) bool; `null_cond_prob`, the share of
                videos whose condition is dropped.

        Raises:
            ConfigError: videos of another shape, a condition that the network does not take.
        """
        key, arrays = self.step_inputs(videos, cond, **options)
        if key not in self._grads:
            weights = ParameterTuple(self.trainable_params())
            self._grads[key] = ms.value_and_grad(self.loss_cell(*key), None, weights)
        return self._grads[key](*map(Tensor, arrays))

    def step_inputs(
        self,
        videos: Array,
        cond: Any = None,
        *,
        prob_focus_present: float = 0.0,
        focus_present_mask: Array | None = None,
        null_cond_prob: float = 0.0,
    ) -> tuple[tuple[bool, bool], list[np.ndarray]]:
        """What kind of loss this is (conditional, focused) and the arrays for its cell."""
        video = self._checked(_host(videos)) * 2 - 1
        call, batch = self._next(), len(video)
        noise = rng.normal(video.shape, self.seed, "loss-noise", call)
        draws = rng.generator(self.seed, "loss-timestep", call)
        arrays = [video, noise, draws.integers(0, self.num_timesteps, batch).astype(np.int32)]
        vectors = self.condition(cond, batch)
        if vectors is not None:
            arrays += [vectors, self._chosen("null", call, null_cond_prob, batch)]
        focused = focus_present_mask is not None or prob_focus_present > 0
        if focus_present_mask is not None:
            arrays.append(np.broadcast_to(_host(focus_present_mask).astype(bool), (batch,)).copy())
        elif focused:
            arrays.append(self._chosen("focus", call, prob_focus_present, batch))
        return (vectors is not None, focused), arrays

    def loss_cell(self, conditional: bool, focused: bool) -> DiffusionLoss:
        """construct(video, noise, t[, cond, dropped][, focus]) -> loss; made once for each kind."""
        key = conditional, focused
        if key not in self._losses:
            network = Asked(self.denoise_fn, conditional, focused)
            self._losses[key] = DiffusionLoss(network, self.noising.schedule, "eps", self.loss_type)
        self.denoise_fn.set_train(True)
        return self._losses[key]

    def sample(self, cond: Any = None, cond_scale: float = 1.0, batch_size: int = 16) -> Tensor:
        """Videos (B, C, F, H, W) float32 in [0, 1], by every timestep (DDPM).

        Args:
            cond: (B, D) or strings; its rows are the batch then.
            cond_scale: classifier-free guidance; 1: none.
        """
        vectors = self.condition(cond, None)
        batch = batch_size if vectors is None else len(vectors)
        size = self.image_size
        shape = (batch, self.channels, self.num_frames, size, size)
        call = self._next()
        start = rng.normal(shape, self.seed, "sample", call)
        with progress.bar(self.num_timesteps, "sampling") as bar:
            made = sample(
                self._sampling(),
                self._model(vectors, cond_scale, batch),
                start,
                self.noising,
                noise=lambda step: rng.normal(shape, self.seed, "sample-step", call, step),
                callback=lambda *_: bar.update(1) and None,
            )
        return Tensor((made + 1) / 2)

    def interpolate(
        self, x1: Array, x2: Array, t: int | None = None, lam: float = 0.5, cond: Any = None
    ) -> Tensor:
        """The mixture (1 - lam) x1 + lam x2 of two batches in [-1, 1], noised to `t` (default: the
        last timestep) and denoised; in [-1, 1] too.
        """
        first, second, call = _host(x1), _host(x2), self._next()
        noises = [rng.normal(first.shape, self.seed, f"interpolate-{i}", call) for i in (1, 2)]
        vectors = self.condition(cond, len(first))
        made = interpolate(
            self._model(vectors, 1.0, len(first)),
            first,
            second,
            self.noising,
            tuple(noises),
            noise=lambda step: rng.normal(first.shape, self.seed, "interpolate", call, step),
            t=t,
            mix=lam,
            compat=self.compat,
        )
        return Tensor(made)

    def q_sample(self, x_start: Array, t: Array, noise: Array | None = None) -> Tensor:
        """`x_start` (B, ...) noised to the timesteps `t` (B,)."""
        x, steps = _host(x_start), np.asarray(_host(t), np.int64)
        eps = rng.normal(x.shape, self.seed, "q", self._next()) if noise is None else _host(noise)
        axes = (-1,) + (1,) * (x.ndim - 1)
        kept = self.noising.schedule.alphas_cumprod[steps]
        alpha, sigma = np.sqrt(kept).reshape(axes), np.sqrt(1 - kept).reshape(axes)
        return Tensor(add_noise(x, eps, alpha, sigma).astype(np.float32))

    def condition(self, cond: Any, batch: int | None) -> np.ndarray | None:
        """(B, D) float32 of what a caller gives as `cond`. Raises ConfigError where it is not what
        the network takes.
        """
        width = self.denoise_fn.settings.cond_dim
        if cond is None:
            if width is not None:
                raise ConfigError(f"the network is conditional: give cond, (B, {width}) numbers")
            return None
        if width is None:
            raise ConfigError(
                "cond was given, and the network takes none; see Unet3D(cond_dim=...)"
            )
        strings = isinstance(cond, list | tuple) and all(isinstance(c, str) for c in cond)
        vectors = self._embedded(list(cond)) if strings else np.asarray(_host(cond), np.float32)
        if vectors.ndim != 2 or vectors.shape[1] != width or (batch and len(vectors) != batch):
            raise ConfigError(
                f"cond has the shape {vectors.shape}; the network takes ({batch or 'B'}, {width})"
            )
        return vectors

    def _embedded(self, prompts: list[str]) -> np.ndarray:
        raise ConfigError("cond was given as strings; that needs BERT, which is not wired up yet")

    def _sampling(self) -> Plain:
        return Plain("ddpm", self.num_timesteps, dynamic_threshold=self.dynamic_threshold)

    def _model(self, vectors: np.ndarray | None, scale: float, batch: int) -> Model:
        network = self.denoise_fn.set_train(False)
        if vectors is None:
            return lambda x, t: network(Tensor(x), Tensor(t)).asnumpy()
        given, kept, dropped = (
            Tensor(vectors),
            *(Tensor(np.full(batch, flag)) for flag in (False, True)),
        )
        wanted = lambda x, t: network(Tensor(x), Tensor(t), given, kept).asnumpy()  # noqa: E731
        null = lambda x, t: network(Tensor(x), Tensor(t), given, dropped).asnumpy()  # noqa: E731
        return guided(wanted, null, scale)

    def _checked(self, video: np.ndarray) -> np.ndarray:
        size = self.image_size
        wanted = (self.channels, self.num_frames, size, size)
        if video.ndim != 5 or video.shape[1:] != wanted:
            raise ConfigError(f"videos have the shape {video.shape}; (B, {wanted}) is needed")
        return np.asarray(video, np.float32)

    def _chosen(self, stream: str, call: int, share: float, batch: int) -> np.ndarray:
        if not 0 <= share <= 1:
            raise ConfigError(f"a share of {share} was asked for; it must be between 0 and 1")
        return rng.generator(self.seed, f"loss-{stream}", call).random(batch) < share

    def _next(self) -> int:
        self.calls += 1
        return self.calls


def _host(array: Array) -> np.ndarray:
    return array.asnumpy() if isinstance(array, Tensor) else np.asarray(array)

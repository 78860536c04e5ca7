"""Norms with what usually follows them fused in: FiLM (a scale and a shift from the embedding) and
SiLU.

Legend: R rows (frames folded behind the batch: R = B*F), B videos, C channels, S all further axes.
FiLM comes as (B, C); row r belongs to video r // (R / B). All norms compute in float32, whatever
the types of input, parameters and FiLM, and answer in their own type (`mindlong.ops.precision`).
"""

from __future__ import annotations

import mindspore as ms
from mindspore import Tensor, ops

from mindlong.ops.device import use_native
from mindlong.ops.normalise import Normalised
from mindlong.ops.precision import Typed
from mindlong.ops.weights import ones, zeros


def _rows(film_BC: Tensor, rows: int) -> Tensor:
    """(B, C) -> (R, C), each video's row repeated for its frames."""
    batch, channels = film_BC.shape
    if batch == rows:
        return film_BC
    return (
        film_BC.reshape((batch, 1, channels))
        .broadcast_to((batch, rows // batch, channels))
        .reshape((rows, channels))
    )


def _finish(y_RCS: Tensor, scale_BC: Tensor | None, shift_BC: Tensor | None, act: bool) -> Tensor:
    """FiLM and SiLU in the plain form."""
    if scale_BC is not None:
        rows, channels, _ = y_RCS.shape
        scale = _rows(scale_BC, rows).reshape((rows, channels, 1))
        shift = _rows(shift_BC, rows).reshape((rows, channels, 1))
        y_RCS = y_RCS * (scale + 1.0) + shift
    return y_RCS * ops.sigmoid(y_RCS) if act else y_RCS


@ops.constexpr
def _eps_and_frames(eps: float, frames: int) -> Tensor:
    return Tensor([eps, float(frames)], ms.float32)


class GroupNorm(Typed):
    """GroupNorm with `weight` and `bias` (C,), then FiLM if `film`, then SiLU if `act`.

    construct(x (R, C, ..)[, scale (B, C), shift (B, C)]) -> x's shape.
    Raises ValueError where the groups do not divide the channels.
    """

    def __init__(
        self, groups: int, channels: int, eps: float = 1e-5, act: bool = False, film: bool = False
    ) -> None:
        super().__init__()
        if channels % groups:
            raise ValueError(f"GroupNorm: {channels} channels cannot be split into {groups} groups")
        self.groups, self.channels, self.eps, self.act, self.film = groups, channels, eps, act, film
        self.weight, self.bias = ones(channels), zeros(channels)
        self.native = use_native()
        if self.native:
            from mindlong.ops.native import functions

            self.kernel, self.constant = (
                functions.group_norm(groups, act, film),
                functions.constant([eps]),
            )
        else:
            self.alone, self.together = Normalised((1,), eps), Normalised((1, 3), eps)

    def construct(
        self, x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None
    ) -> Tensor:
        if self.native and self.whole and not self.film:
            return self.kernel(x, self.weight, self.bias, self.constant)[0]
        if self.film:
            scale, shift = self.single(scale), self.single(shift)
        if not self.native:
            return self.answer(x, self._plain(self.single(x), 1, scale, shift))
        weight, bias = self.single(self.weight), self.single(self.bias)
        if self.film:
            scale, shift = _rows(scale, x.shape[0]), _rows(shift, x.shape[0])
            y = self.kernel(self.single(x), weight, bias, scale, shift, self.constant)[0]
        else:
            y = self.kernel(self.single(x), weight, bias, self.constant)[0]
        return self.answer(x, y)

    def joint(
        self,
        x_RCHW: Tensor,
        frames: int,
        scale: Tensor | None = None,
        shift: Tensor | None = None,
    ) -> Tensor:
        """The norm with one mean and variance for the `frames` rows of a video, and FiLM (B, C):
        (R, C, H, W) -> the same shape.
        """
        if self.native and self.whole and not self.film:
            constant = _eps_and_frames(self.eps, frames)
            return self.kernel(x_RCHW, self.weight, self.bias, constant)[0]
        if self.film:
            scale, shift = self.single(scale), self.single(shift)
        if not self.native:
            return self.answer(x_RCHW, self._plain(self.single(x_RCHW), frames, scale, shift))
        constant = _eps_and_frames(self.eps, frames)
        x, weight, bias = self.single(x_RCHW), self.single(self.weight), self.single(self.bias)
        if self.film:
            return self.answer(x_RCHW, self.kernel(x, weight, bias, scale, shift, constant)[0])
        return self.answer(x_RCHW, self.kernel(x, weight, bias, constant)[0])

    def _plain(self, x: Tensor, frames: int, scale: Tensor | None, shift: Tensor | None) -> Tensor:
        """The plain form, with one mean and variance for every `frames` rows."""
        rows = x.shape[0]
        if frames == 1:
            y = self.alone(x.reshape((rows * self.groups, -1)))[0]
        else:
            y = self.together(x.reshape((rows // frames, frames, self.groups, -1)))[0]
        weight, bias = self.single(self.weight), self.single(self.bias)
        y = y.reshape((rows, self.channels, -1)) * weight.reshape((1, -1, 1))
        y = y + bias.reshape((1, -1, 1))
        return _finish(y, scale, shift, self.act).reshape(x.shape)


class LayerNorm(Typed):
    """LayerNorm over the last axis (D) with `weight` and `bias` (D,). MindSpore's own has another
    eps.
    """

    def __init__(self, dim: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight, self.bias = ones(dim), zeros(dim)
        self.native = use_native()
        if self.native:
            from mindlong.ops.native import functions

            self.kernel, self.constant = functions.layer_norm(), functions.constant([eps])
        else:
            self.alone = Normalised((-1,), eps)

    def construct(self, x: Tensor) -> Tensor:
        if self.native and self.whole:
            return self.kernel(x, self.weight, self.bias, self.constant)[0]
        x32, weight, bias = self.single(x), self.single(self.weight), self.single(self.bias)
        if self.native:
            return self.answer(x, self.kernel(x32, weight, bias, self.constant)[0])
        return self.answer(x, self.alone(x32)[0] * weight + bias)


class ChannelLayerNorm(Typed):
    """LayerNorm over axis 1 with `gamma` (C,) and no bias, as in Video Diffusion Models."""

    def __init__(self, dim: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.gamma = ones(dim)
        self.native = use_native()
        if self.native:
            from mindlong.ops.native import functions

            self.kernel, self.constant = functions.channel_norm(), functions.constant([eps])
        else:
            self.alone = Normalised((1,), eps)

    def construct(self, x: Tensor) -> Tensor:
        if self.native and self.whole:
            return self.kernel(x, self.gamma, self.constant)[0]
        x32, gamma = self.single(x), self.single(self.gamma)
        if self.native:
            y = self.kernel(x32, gamma, self.constant)[0]
        else:
            y = self.alone(x32)[0] * gamma.reshape((1, -1) + (1,) * (x.ndim - 2))
        return self.answer(x, y)


class ChannelRMSNorm(Typed):
    """x / max(|x|, 1e-12) * sqrt(C) * gamma over axis 1, then FiLM if `film`, then SiLU if `act`.

    construct(x (R, C, ..)[, scale (B, C), shift (B, C)]) -> x's shape. `gamma` is (C,).
    """

    def __init__(self, dim: int, act: bool = False, film: bool = False) -> None:
        super().__init__()
        self.act, self.film, self.root = act, film, float(dim) ** 0.5
        self.gamma = ones(dim)
        self.native = use_native()
        if self.native:
            from mindlong.ops.native import functions

            self.kernel = functions.rms_norm(act, film)

    def construct(
        self, x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None
    ) -> Tensor:
        if self.native and self.whole and not self.film:
            return self.kernel(x, self.gamma)[0]
        x32, gamma = self.single(x), self.single(self.gamma)
        if self.film:
            scale, shift = self.single(scale), self.single(shift)
        if not self.native:
            y = self._plain(x32, scale, shift)
        elif self.film:
            y = self.kernel(x32, gamma, scale, shift)[0]
        else:
            y = self.kernel(x32, gamma)[0]
        return self.answer(x, y)

    def _plain(self, x: Tensor, scale: Tensor | None, shift: Tensor | None) -> Tensor:
        flat = x.reshape((x.shape[0], x.shape[1], -1))
        # The floor under the square keeps the root's gradient finite at an all-zero vector; the
        # floor under the norm is torch's.
        norm = ops.maximum(
            ops.sqrt(ops.maximum(ops.square(flat).sum(1, keepdims=True), 1e-30)), 1e-12
        )
        y = flat * (self.root / norm) * self.single(self.gamma).reshape((1, -1, 1))
        return _finish(y, scale, shift, self.act).reshape(x.shape)

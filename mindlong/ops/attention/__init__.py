"""Attention: one entry, in three forms that differ in how the tokens lie.

Cells, made in `__init__` and called in `construct`:

    Attention(heads, scale)       q (B, N, S, D), k and v (B, N, T, D)[, mask]
    TokenAttention(heads, scale)  q (R, S, N*D), k and v (R, T, N*D): heads side by side, as a
    projection leaves them FrameAttention(heads, scale, policy, in_time)
                                  q, k, v (B, F, P, N*D): a key/value policy says which frames a
                                      frame reads

Which backend computes them is decided by `mindlong.ops.attention.table` while the graph is
compiled, when shapes and types are known, and logged once. `use("math")` forces one for the cells
called from then on; one that cannot serve raises ConfigError with the limit it breaks. Masks are
constants: they get no gradient, on any backend.

Legend: B batch, N heads, S queries, T keys, D width of a head, R rows, F frames, P pixels of a
frame, C = N*D.
"""

from __future__ import annotations

from mindspore import Tensor, ops

from mindlong.ops import device
from mindlong.ops.attention import flash_910a
from mindlong.ops.attention import policy as reading
from mindlong.ops.attention.chunked import ChunkedAttention
from mindlong.ops.attention.flash_910a import attend_910a
from mindlong.ops.attention.flash_910b import attend_910b
from mindlong.ops.attention.math import math_attention
from mindlong.ops.attention.native_flash import NativeFlash
from mindlong.ops.attention.table import BACKENDS, choose
from mindlong.ops.precision import Typed, wide
from mindlong.utils import log
from mindlong.utils.errors import ConfigError, did_you_mean

_forced = {"backend": "auto"}


def use(backend: str) -> None:
    """Force a backend by its name in the table, or "auto". For the configuration's
    `attention.backend`.

    Raises ConfigError for a name that is none.
    """
    if backend not in ("auto", *BACKENDS):
        raise ConfigError(
            f"attention.backend is {backend!r}.{did_you_mean(backend, ('auto', *BACKENDS))}"
        )
    _forced["backend"] = backend


def forced() -> str:
    """What `use` was last told."""
    return _forced["backend"]


@ops.constexpr
def _chosen(dtype, shape_BNSD, keys, mask_kind, train, native) -> str:
    """The backend's name, and a line in the log."""
    rows, heads, queries, width = shape_BNSD
    name, direction = str(dtype).lower(), "train" if train else "forward"
    missing = {} if native else {"native": "the C++ operators are off or cannot be built here"}
    absent = flash_910a.missing()
    if absent:
        missing["flash_910a"] = absent
    choice = choose(
        device.chip(),
        name,
        width,
        mask_kind,
        direction,
        (queries, keys),
        heads=heads,
        rows=rows,
        forced=_forced["backend"],
        missing=missing,
    )
    log.once(
        f"attention of {name}, heads of width {width}, mask {mask_kind}, {direction}: {choice.backend} ({choice.reason})"
    )
    return choice.backend


class Attention(Typed):
    """softmax(q k^T * scale + mask) v: construct(q (B, N, S, D), k (B, N, T, D), v (B, N, T, D)[,
    mask]) -> (B, N, S, D).

    Args:
        heads: N.
        scale: factor on the scores, usually 1 / sqrt(D).

    The mask is additive and constant, broadcastable to (B, N, S, T). Raises ConfigError where a
    forced backend cannot serve.
    """

    def __init__(self, heads: int, scale: float) -> None:
        super().__init__()
        self.heads, self.scale, self.native = heads, scale, device.use_native()
        self.chunks, self.operator = ChunkedAttention(scale), None
        if self.native:
            self.kernel = NativeFlash(heads, scale)
        elif device.chip() == "910a" and flash_910a.missing() is None:
            self.operator = flash_910a.operator()

    def construct(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        if self.whole:
            return self.attend(q, k, v, mask)
        given, dtype = q, self.result_type(q)
        if self.widens:
            q, k, v = wide(q, dtype), wide(k, dtype), wide(v, dtype)
        else:
            q, k, v = q.astype(dtype), k.astype(dtype), v.astype(dtype)
        return self.answer(given, self.attend(q, k, v, mask))

    def attend(self, q_BNSD: Tensor, k_BNTD: Tensor, v_BNTD: Tensor, mask: Tensor | None) -> Tensor:
        """The attention, of three tensors of one type."""
        kind = "none" if mask is None else "bias"
        backend = _chosen(
            q_BNSD.dtype, q_BNSD.shape, k_BNTD.shape[2], kind, self.training, self.native
        )
        return self._by(backend, q_BNSD, k_BNTD, v_BNTD, mask)

    def _by(
        self, backend: str, q_BNSD: Tensor, k_BNTD: Tensor, v_BNTD: Tensor, mask: Tensor | None
    ) -> Tensor:
        if backend == "native":
            return self.kernel(q_BNSD, k_BNTD, v_BNTD, mask)
        if mask is not None:
            mask = ops.stop_gradient(mask)
        if backend == "flash_910b":
            return attend_910b(q_BNSD, k_BNTD, v_BNTD, self.scale, (), mask)
        if backend == "flash_910a":
            return attend_910a(self.operator, q_BNSD, k_BNTD, v_BNTD, self.scale)
        if backend == "chunked":
            return self.chunks(q_BNSD, k_BNTD, v_BNTD, mask)
        return math_attention(q_BNSD, k_BNTD, v_BNTD, self.scale, mask)


class TokenAttention(Attention):
    """The same for heads side by side: construct(q (R, S, C), k (R, T, C), v (R, T, C)) -> (R, S,
    C).
    """

    def attend(
        self, q_RSC: Tensor, k_RTC: Tensor, v_RTC: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """The attention, of three tensors of one type; without a mask."""
        rows, queries, width = q_RSC.shape
        shape = (rows, self.heads, queries, width // self.heads)
        backend = _chosen(q_RSC.dtype, shape, k_RTC.shape[1], "none", self.training, self.native)
        if backend == "native":
            return self.kernel.tokens(q_RSC, k_RTC, v_RTC)
        q, k, v = self._split(q_RSC), self._split(k_RTC), self._split(v_RTC)
        return self._by(backend, q, k, v, None).transpose((0, 2, 1, 3)).reshape(q_RSC.shape)

    def _split(self, x_RSC: Tensor) -> Tensor:
        rows, length, width = x_RSC.shape
        return x_RSC.reshape((rows, length, self.heads, width // self.heads)).transpose(
            (0, 2, 1, 3)
        )


class FrameAttention(TokenAttention):
    """Attention between frames: construct(q, k, v (B, F, P, C)) -> (B, F, P, C).

    Args:
        heads, scale: as before.
        policy: which frames a frame reads (`mindlong.plans.kv_policy`).
        in_time: a pixel reads only its own place in those frames, else all their pixels.
    """

    def __init__(self, heads: int, scale: float, policy: str, in_time: bool) -> None:
        super().__init__(heads, scale)
        self.policy, self.in_time = policy, in_time

    def attend(
        self, q_BFPC: Tensor, k_BFPC: Tensor, v_BFPC: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """The attention, of three tensors of one type; without a mask."""
        frames = k_BFPC.shape[1]
        missing = reading.padding(self.policy, self.in_time, frames)
        if not missing:
            return self._in_blocks(q_BFPC, k_BFPC, v_BFPC)
        whole = ops.concat(
            (q_BFPC, q_BFPC[:, -missing:]), 1
        )  # queries alone: no frame reads the copies
        return self._in_blocks(whole, k_BFPC, v_BFPC)[:, :frames]

    def _in_blocks(self, q_BFPC: Tensor, k_BFPC: Tensor, v_BFPC: Tensor) -> Tensor:
        """`attend` with queries in whole blocks of frames."""
        (batch, whole, pixels, width), frames = q_BFPC.shape, k_BFPC.shape[1]
        blocks, read, has_bias = reading.sizes(self.policy, self.in_time, frames)
        rows = (
            (batch * blocks * pixels, whole // blocks)
            if self.in_time
            else (batch * blocks, whole // blocks * pixels)
        )
        shape = (rows[0], self.heads, rows[1], width // self.heads)
        keys = read if self.in_time else read * pixels
        kind = "bias" if has_bias else "none"
        backend = _chosen(q_BFPC.dtype, shape, keys, kind, self.training, self.native)
        if backend == "native":
            index, gathers = reading.index(self.policy, self.in_time, frames)
            bias = reading.bias(self.policy, self.in_time, frames, pixels)
            return self.kernel.frames(q_BFPC, k_BFPC, v_BFPC, self.in_time, index, gathers, bias)
        return self._in_rows(backend, q_BFPC, k_BFPC, v_BFPC, blocks)

    def _in_rows(
        self, backend: str, q_BFPC: Tensor, k_BFPC: Tensor, v_BFPC: Tensor, blocks: int
    ) -> Tensor:
        """With the tokens of a row brought together in memory."""
        frames, pixels = k_BFPC.shape[1:3]
        index = reading.gathered(self.policy, self.in_time, frames)
        bias = reading.bias(self.policy, self.in_time, frames, pixels)
        if index is not None:
            k_BFPC, v_BFPC = ops.gather(k_BFPC, index, 1), ops.gather(v_BFPC, index, 1)
        q, k, v = self._rows(q_BFPC, blocks), self._rows(k_BFPC, blocks), self._rows(v_BFPC, blocks)
        if bias is not None:  # one for each block, so blocks stand beside the heads
            bias = bias.broadcast_to((blocks, self.heads, bias.shape[2], bias.shape[3]))
            bias = bias.reshape((1, blocks * self.heads, bias.shape[2], bias.shape[3]))
            q, k, v = self._beside(q, blocks), self._beside(k, blocks), self._beside(v, blocks)
        return self._tokens(self._by(backend, q, k, v, bias), q_BFPC.shape, blocks)

    def _beside(self, x: Tensor, blocks: int) -> Tensor:
        return x.reshape((-1, blocks * self.heads, x.shape[2], x.shape[3]))

    def _rows(self, x_BFPC: Tensor, blocks: int) -> Tensor:
        """(B, F, P, C) -> (rows, N, length, D)."""
        batch, frames, pixels, width = x_BFPC.shape
        if self.in_time:
            x = x_BFPC.reshape(
                (batch, blocks, frames // blocks, pixels, self.heads, width // self.heads)
            )
            return x.transpose((0, 3, 1, 4, 2, 5)).reshape(
                (batch * pixels * blocks, self.heads, frames // blocks, -1)
            )
        return self._split(x_BFPC.reshape((batch * blocks, frames // blocks * pixels, width)))

    def _tokens(self, x: Tensor, shape_BFPC: tuple[int, ...], blocks: int) -> Tensor:
        """The way back from `_rows`."""
        batch, frames, pixels, width = shape_BFPC
        if self.in_time:
            x = x.reshape(
                (batch, pixels, blocks, self.heads, frames // blocks, width // self.heads)
            )
            return x.transpose((0, 2, 4, 1, 3, 5)).reshape(shape_BFPC)
        x = x.reshape((batch * blocks, self.heads, frames // blocks * pixels, width // self.heads))
        return x.transpose((0, 2, 1, 3)).reshape(shape_BFPC)

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
        rows, heads = self._ways(batch * pixels if self.in_time else batch, blocks, has_bias)
        unit = 1 if self.in_time else pixels
        shape = (rows, heads, whole // blocks * unit, width // self.heads)
        kind = "bias" if has_bias else "none"
        keys = read * unit
        backend = _chosen(q_BFPC.dtype, shape, keys, kind, self.training, self.native)
        if backend == "native":
            index, gathers = reading.index(self.policy, self.in_time, frames)
            bias = reading.bias(self.policy, self.in_time, frames, pixels)
            return self.kernel.frames(q_BFPC, k_BFPC, v_BFPC, self.in_time, index, gathers, bias)
        q, to = self._heads_first(q_BFPC).reshape(shape), (rows, heads, keys, shape[3])
        k, v = self._keys(k_BFPC, blocks * read, to), self._keys(v_BFPC, blocks * read, to)
        bias = reading.bias(self.policy, self.in_time, frames, pixels)
        if bias is not None:
            bias = bias.reshape((1, heads, bias.shape[2], keys))
        return self._tokens(self._by(backend, q, k, v, bias), q_BFPC.shape)

    def _ways(self, rows: int, blocks: int, has_bias: bool) -> tuple[int, int]:
        """Rows and heads of the attention for `rows` sequences. Where blocks of frames read other
        keys or have a bias of their own, they stand in the place of the heads, and these are rows.
        """
        return (rows * self.heads, blocks) if blocks > 1 or has_bias else (rows, self.heads)

    def _keys(self, x_BFPC: Tensor, count: int, shape: tuple[int, ...]) -> Tensor:
        """The `count` frames that the blocks read, in `shape`. What makes them more comes behind
        the transpose, what makes them fewer before it.
        """
        batch, frames, pixels, width = x_BFPC.shape
        if not self.in_time and count > frames:
            x = self._heads_first(x_BFPC).reshape((batch * self.heads, frames, -1))
            return self._read(x).reshape(shape)
        x = self._read(x_BFPC.reshape((batch, frames, -1)))
        return self._heads_first(x.reshape((batch, count, pixels, width))).reshape(shape)

    def _read(self, x_LFK: Tensor) -> Tensor:
        """The frames that the policy names, of each of L: (L, F, K) -> (L, blocks * read, K). Rows
        are gathered along the first axis, whose gradient needs no transpose.
        """
        lead, frames, width = x_LFK.shape
        index = reading.gathered(self.policy, self.in_time, frames, lead)
        if index is None:
            return x_LFK
        return ops.gather(x_LFK.reshape((lead * frames, width)), index, 0).reshape(
            (lead, -1, width)
        )

    def _heads_first(self, x_BFPC: Tensor) -> Tensor:
        """(B, F, P, C) -> (B, N, F*P, D), in time (B, P, N, F, D)."""
        batch, frames, pixels, width = x_BFPC.shape
        if self.in_time:
            x = x_BFPC.reshape((batch, frames, pixels, self.heads, width // self.heads))
            return x.transpose((0, 2, 3, 1, 4))
        return self._split(x_BFPC.reshape((batch, frames * pixels, width)))

    def _tokens(self, x: Tensor, shape_BFPC: tuple[int, ...]) -> Tensor:
        """The way back from `_heads_first`."""
        batch, frames, pixels, width = shape_BFPC
        head = width // self.heads
        if self.in_time:
            x = x.reshape((batch, pixels, self.heads, frames, head)).transpose((0, 3, 1, 2, 4))
        else:
            x = x.reshape((batch, self.heads, frames * pixels, head)).transpose((0, 2, 1, 3))
        return x.reshape(shape_BFPC)

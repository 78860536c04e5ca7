"""Attention and transformer blocks of the latent video UNets.

Legend: B videos, F frames, R = B*F rows, S pixels of a frame, D channels, N heads, T tokens of a
prompt. Tokens stay x_BFSD through a whole block.

Which frames a frame reads is a key/value policy (mindlong.plans.kv_policy), which `FrameAttention`
turns into indices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops

from mindlong.networks.unet.motion import sines
from mindlong.networks.unet.rows import start_at_zero
from mindlong.ops import device
from mindlong.ops.activation import GEGLU
from mindlong.ops.attention import FrameAttention, TokenAttention
from mindlong.ops.linear import Linear
from mindlong.ops.norm import LayerNorm

if TYPE_CHECKING:
    from mindlong.networks.unet.spec import UNetSpec
    from mindlong.networks.unet.stage_spec import Branch


class Projections(nn.Cell):
    """What every attention here has: projections to queries, keys and values without bias, and one
    back with bias.

    `attend` is the attention itself; with `upcast` it stays in float32 whatever the network's type.
    The fused attentions of NPUs take heads of multiples of 16: in half precision the projections
    make them as wide, with zeros out of padded weights, so that nothing else is copied to pad it.
    """

    def __init__(self, width: int, read: int, attend: nn.Cell, zero: bool, upcast: bool) -> None:
        super().__init__()
        attend.upcast = upcast
        self.attend, self.heads = attend, attend.heads
        self.missing = 0 if device.chip() == "cpu" else -(width // attend.heads) % 16
        self.to_q, self.to_k, self.to_v = (
            Linear(cin, width, bias=False) for cin in (width, read, read)
        )
        self.to_out = start_at_zero(Linear(width, width)) if zero else Linear(width, width)

    def projected(self, x_BFSD: Tensor, read: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries of `x_BFSD`, keys and values of `read`: (.., D), or (.., N * a wider head)."""
        more = self._more(x_BFSD)
        if more == 0:
            return self.to_q(x_BFSD), self.to_k(read), self.to_v(read)
        return (
            self.to_q.to_heads(x_BFSD, self.heads, more),
            self.to_k.to_heads(read, self.heads, more),
            self.to_v.to_heads(read, self.heads, more),
        )

    def back(self, mixed: Tensor) -> Tensor:
        """The projection of what the attention answers to these."""
        more = mixed.shape[-1] - self.to_out.cin
        if more == 0:
            return self.to_out(mixed)
        return self.to_out.from_heads(mixed, self.heads, more // self.heads)

    def _more(self, x: Tensor) -> int:
        """Zeros to put behind each head, for the input `x`."""
        if self.missing == 0 or self.to_q.result_type(x) == ms.float32:
            return 0
        if self.to_q.adapted or self.to_k.adapted or self.to_v.adapted or self.to_out.adapted:
            return 0
        return self.missing


class TextAttention(Projections):
    """Every pixel reads the prompt: one for the whole video, or one for each frame."""

    def __init__(self, width: int, read: int, heads: int, zero: bool, upcast: bool) -> None:
        super().__init__(width, read, TokenAttention(heads, (width // heads) ** -0.5), zero, upcast)

    def construct(self, x_BFSD: Tensor, context: Tensor) -> Tensor:
        """(B, F, S, D) and (B, T, K) or (B, F, T, K) -> (B, F, S, D)."""
        q, k, v = self.projected(x_BFSD, context)
        rows = x_BFSD.shape[0] if context.ndim == 3 else x_BFSD.shape[0] * x_BFSD.shape[1]
        shape = (rows, -1, q.shape[3])
        mixed = self.attend(q.reshape(shape), k.reshape(shape), v.reshape(shape))
        return self.back(mixed.reshape(q.shape))


class ImageAttention(TextAttention):
    """Every pixel reads the prompt and, by a softmax of its own, the tokens of an image, which
    stand behind the prompt's in the context. Both parts are added.

    Args:
        text: tokens of the context that are the prompt's.
    """

    def __init__(
        self, width: int, read: int, heads: int, zero: bool, upcast: bool, text: int
    ) -> None:
        super().__init__(width, read, heads, zero, upcast)
        self.text = text
        self.to_k_ip, self.to_v_ip = (Linear(read, width, bias=False) for _ in range(2))

    def construct(self, x_BFSD: Tensor, context: Tensor) -> Tensor:
        """(B, F, S, D) and (B, T + P, K) or (B, F, T + P, K) -> (B, F, S, D)."""
        rows = x_BFSD.shape[0] if context.ndim == 3 else x_BFSD.shape[0] * x_BFSD.shape[1]
        shape = (rows, -1, x_BFSD.shape[3])
        words, image = context[..., : self.text, :], context[..., self.text :, :]
        q = self.to_q(x_BFSD).reshape(shape)
        of_text = self.attend(q, self.to_k(words).reshape(shape), self.to_v(words).reshape(shape))
        of_image = self.attend(
            q, self.to_k_ip(image).reshape(shape), self.to_v_ip(image).reshape(shape)
        )
        return self.to_out((of_text + self.gated(of_image)).reshape(x_BFSD.shape))

    def gated(self, x: Tensor) -> Tensor:
        """The image's part as it is."""
        return x


class GatedImageAttention(ImageAttention):
    """The image's part is multiplied by a learnt number from 0 to 2."""

    def __init__(self, *sizes) -> None:
        super().__init__(*sizes)
        self.alpha = Parameter(Tensor(0.0, ms.float32))

    def gated(self, x: Tensor) -> Tensor:
        """The image's part times tanh(alpha) + 1."""
        return x * (ops.tanh(self.alpha.astype(ms.float32)) + 1).astype(x.dtype)


class PolicyAttention(Projections):
    """Every pixel reads pixels of the frames that the policy names: all of them ("space") or the
    one at its own place ("time").
    """

    def __init__(
        self, width: int, heads: int, kind: str, policy: str, zero: bool, upcast: bool
    ) -> None:
        attend = FrameAttention(heads, (width // heads) ** -0.5, policy, kind == "time")
        super().__init__(width, width, attend, zero, upcast)

    def construct(self, x_BFSD: Tensor, context: Tensor | None = None) -> Tensor:
        """(B, F, S, D) -> (B, F, S, D)."""
        return self.back(self.attend(*self.projected(x_BFSD, x_BFSD)))


class FeedForward(nn.Cell):
    """GEGLU feed-forward, four times as wide inside (arXiv 2002.05202)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj_in, self.act, self.proj_out = (
            Linear(width, 8 * width),
            GEGLU(),
            Linear(4 * width, width),
        )

    def construct(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """(.., D) -> (.., D)."""
        if self.act.native:
            return self.proj_out(self.act(self.proj_in(x)))
        value, gate = self.proj_in.parts(x, 2)
        return self.proj_out(self.act.gated(value, gate))


def _branch(spec: UNetSpec, branch: Branch, width: int, heads: int) -> nn.Cell:
    if branch.kind == "ff":
        return FeedForward(width)
    if branch.image:
        kind = GatedImageAttention if branch.image == "gated" else ImageAttention
        return kind(width, spec.context_dim, heads, branch.zero, spec.upcast, spec.text_tokens)
    if branch.kind == "text":
        return TextAttention(width, spec.context_dim, heads, branch.zero, spec.upcast)
    if branch.places:
        return PlacedAttention(width, heads, branch, spec.upcast)
    return PolicyAttention(width, heads, branch.kind, branch.reads, branch.zero, spec.upcast)


class PlacedAttention(PolicyAttention):
    """An attention over frames that knows the place of each: a table of sines is added to what
    queries, keys and values are made of.
    """

    def __init__(self, width: int, heads: int, branch: Branch, upcast: bool) -> None:
        super().__init__(width, heads, branch.kind, branch.reads, branch.zero, upcast)
        self.table_1P1D = Tensor(sines(branch.places, width)[:, :, None])

    def construct(self, x_BFSD: Tensor, context: Tensor | None = None) -> Tensor:
        """(B, F, S, D) -> (B, F, S, D)."""
        table = self.table_1P1D[:, : x_BFSD.shape[1]].astype(x_BFSD.dtype)
        return super().construct(x_BFSD + table, context)


class TransformerBlock(nn.Cell):
    """The branches one after the other, each behind its LayerNorm and beside a skip."""

    def __init__(
        self, spec: UNetSpec, branches: tuple[Branch, ...], width: int, heads: int
    ) -> None:
        super().__init__()
        self.steps = tuple((b.norm, b.name) for b in branches)
        for branch in branches:
            setattr(self, branch.norm, LayerNorm(width))
            setattr(self, branch.name, _branch(spec, branch, width, heads))

    def construct(self, x_BFSD: Tensor, context: Tensor) -> Tensor:
        """(B, F, S, D) -> (B, F, S, D)."""
        return self.run(self.steps, x_BFSD, context)

    def run(self, steps: tuple[tuple[str, str], ...], x_BFSD: Tensor, context: Tensor) -> Tensor:
        """Some of the branches: (B, F, S, D) -> (B, F, S, D)."""
        for norm, branch in steps:
            x_BFSD = x_BFSD + getattr(self, branch)(getattr(self, norm)(x_BFSD), context)
        return x_BFSD

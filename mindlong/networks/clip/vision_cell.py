"""The image encoder of CLIP: images to the embedding that texts share (arXiv 2103.00020); names
in networks/clip/vision_spec.py.

Legend: N images, S tokens of an image (one for the whole, then its patches), D channels, P
numbers of the embedding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from PIL import Image

from mindlong.networks.clip.text_cell import CausalAttention, Layer
from mindlong.networks.clip.vision_spec import DEVIATION, MEAN, ClipVisionSpec
from mindlong.ops.conv import Conv2d
from mindlong.ops.linear import Linear
from mindlong.ops.norm import LayerNorm
from mindlong.ops.own_graph import OwnGraph


class PatchAttention(CausalAttention):
    """Every patch attends to all."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads, 1)

    def construct(self, x_BSD: Tensor) -> Tensor:
        """(B, S, D) -> (B, S, D)."""
        q, k, v = (
            self._split(self.to_q(x_BSD)),
            self._split(self.to_k(x_BSD)),
            self._split(self.to_v(x_BSD)),
        )
        return self.to_out(self.exchange(self.attend(q, k, v)).reshape(x_BSD.shape))


class PatchLayer(Layer):
    """A layer of the text encoder with attention in all directions."""

    def __init__(self, spec: ClipVisionSpec) -> None:
        super().__init__(spec)
        self.attn = PatchAttention(spec.width, spec.heads)


class ImageEncoder(OwnGraph):
    """Prepared images to embeddings that are not yet of length one."""

    def __init__(self, spec: ClipVisionSpec) -> None:
        super().__init__()
        self.spec = spec
        self.class_embedding = Parameter(ops.zeros((spec.width,)))
        self.patch_embedding = Conv2d(3, spec.width, spec.patch, stride=spec.patch, bias=False)
        self.position_embedding = Parameter(ops.zeros((spec.length, spec.width)))
        self.norm_in, self.final_norm = (
            LayerNorm(spec.width, spec.eps),
            LayerNorm(spec.width, spec.eps),
        )
        self.layers = nn.CellList([PatchLayer(spec) for _ in range(spec.layers)])
        self.projection = Linear(spec.width, spec.projection, bias=False)
        self.text_projection = Linear(spec.text_width, spec.projection, bias=False)

    def init_weights(self, draw) -> None:
        """The embeddings start as N(0, 1 / width), as in CLIP."""
        for name in ("class_embedding", "position_embedding"):
            parameter = getattr(self, name)
            drawn = draw(name).standard_normal(parameter.shape, "float32") * self.spec.width**-0.5
            parameter.set_data(Tensor(drawn))

    def tokens(self, x_NCHW: Tensor) -> Tensor:
        """float32 (N, 3, size, size) -> (N, S, D): all tokens behind the last layer, without the
        norm.
        """
        x = self.patch_embedding(x_NCHW)
        rows, width = x.shape[:2]
        x = x.reshape((rows, width, -1)).transpose((0, 2, 1))
        whole = self.class_embedding.reshape((1, 1, -1)).broadcast_to((rows, 1, width))
        x = self.norm_in(ops.concat((whole, x), 1) + self.position_embedding)
        for layer in self.layers:
            x = layer(x)
        return x

    def construct(self, x_NCHW: Tensor) -> Tensor:
        """float32 (N, 3, size, size), see `prepared` -> (N, P)."""
        return self.projection(self.final_norm(self.tokens(x_NCHW)[:, 0]))


class ImageTokens(nn.Cell):
    """construct(x) : the tokens of `encoder`; its parameters keep their names."""

    def __init__(self, encoder: ImageEncoder) -> None:
        super().__init__(auto_prefix=False)
        self.encoder = encoder

    def construct(self, x_NCHW: Tensor) -> Tensor:
        """float32 (N, 3, size, size) -> (N, S, D)."""
        return self.encoder.tokens(x_NCHW)


def prepared(
    frames_FHWC: np.ndarray,
    size: int,
    mean: Sequence[float] = MEAN,
    deviation: Sequence[float] = DEVIATION,
) -> np.ndarray:
    """uint8 frames as the encoder takes them, float32 (F, 3, size, size): short side resized
    (bicubic), middle cut, normalised.
    """
    height, width = frames_FHWC.shape[1:3]
    short = min(height, width)
    target = (int(size * width / short), int(size * height / short))  # PIL has width first
    left, top = (target[0] - size) // 2, (target[1] - size) // 2
    images = [
        Image.fromarray(f)
        .resize(target, Image.Resampling.BICUBIC)
        .crop((left, top, left + size, top + size))
        for f in frames_FHWC
    ]
    scaled = np.stack([np.asarray(p) for p in images]).astype(np.float32) / 255.0
    normal = (scaled - np.array(mean, np.float32)) / np.array(deviation, np.float32)
    return np.ascontiguousarray(normal.transpose(0, 3, 1, 2))


def prepared_for(frames_FHWC: np.ndarray, spec: ClipVisionSpec) -> np.ndarray:
    """`prepared` as the spec has it."""
    return prepared(frames_FHWC, spec.size, spec.mean, spec.deviation)


def build(spec: ClipVisionSpec, dtype: str = "float32") -> ImageEncoder:
    """The image encoder; it computes in float32 whatever the network beside it does."""
    return ImageEncoder(spec)


def alone(spec: ClipVisionSpec, arrays: Mapping[str, np.ndarray]) -> ImageEncoder:
    """The image encoder, to be run alone; the text's projection stays out of the gradients."""
    cell = ImageEncoder(spec)
    cell.text_projection.weight.requires_grad = False
    return cell

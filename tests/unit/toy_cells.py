"""The cells of `toy_family`, out of MindSpore's own layers."""

from __future__ import annotations

from mindspore import Parameter, Tensor, nn, ops

from mindlong.ops.conv import Conv2d
from mindlong.ops.linear import Linear


class Mixer(nn.Cell):
    """construct(x_BCFHW, t_B, context_BTD, fps_B) -> float32 like x."""

    def __init__(self, spec, dtype="float32"):
        super().__init__()
        w, c = spec.width, spec.channels
        self.conv_in, self.conv_out = Conv2d(c, w, 3, padding=1), Conv2d(w, c, 3, padding=1)
        self.time, self.rate, self.text = Linear(1, w), Linear(1, w), Linear(spec.context_dim, w)
        self.mix, self.places = Parameter(ops.zeros((spec.places, spec.places))), spec.places

    def init_weights(self, draw):
        drawn = draw("mix").standard_normal((self.places, self.places), "float32")
        self.mix.set_data(Tensor(drawn))

    def construct(self, x, t, context, fps):
        batch, channels, frames, height, width = x.shape
        rows = x.transpose((0, 2, 1, 3, 4)).reshape((batch * frames, channels, height, width))
        told = self.text(context.mean(1)) + self.time(t.astype(x.dtype).reshape((-1, 1)) / 1000)
        told = told + self.rate(fps.reshape((-1, 1)) / 30)
        h = ops.tanh(self.conv_in(rows)).reshape((batch, frames, -1))
        h = ops.matmul(self.mix[:frames, :frames], h).reshape((batch, frames, -1, height, width))
        h = h + told.reshape((batch, 1, -1, 1, 1))
        out = self.conv_out(h.reshape((batch * frames, -1, height, width)))
        return out.reshape((batch, frames, channels, height, width)).transpose((0, 2, 1, 3, 4))


class WordTable(nn.Cell):
    """construct(ids_BS) -> (B, S, width)."""

    def __init__(self, spec, dtype="float32"):
        super().__init__()
        self.vectors = Parameter(ops.zeros((spec.vocabulary, spec.width)))

    def init_weights(self, draw):
        self.vectors.set_data(
            Tensor(draw("vectors").standard_normal(self.vectors.shape, "float32"))
        )

    def construct(self, ids):
        return ops.gather(self.vectors, ids, 0)


def alone(spec, arrays):
    """The mixer, to be run alone."""
    return Mixer(spec)

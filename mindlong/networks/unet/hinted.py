"""Concatenates mask and hint channels to the noisy latents before calling the UNet."""

from __future__ import annotations

from mindspore import Tensor, nn, ops


class Hinted(nn.Cell):
    """construct(x, t, told, ...): `net` on x (B, C, F, h, w) with told (B, C + 1, F, h, w) behind
    it on the channels.

    The network's parameters keep their names.
    """

    def __init__(self, net: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.net = net

    def construct(
        self,
        x_BCFHW: Tensor,
        t_B: Tensor,
        told_BCFHW: Tensor,
        text: Tensor,
        *more: Tensor,
    ) -> Tensor:
        """The network's prediction, shaped like x; `more` as the network takes it."""
        return self.net(ops.concat((x_BCFHW, told_BCFHW), 1), t_B, text, *more)

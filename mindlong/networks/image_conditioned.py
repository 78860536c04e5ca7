"""A network that denoises latents together with the projector that makes the tokens of an image
that it reads, and with the text encoder, so that all can be trained as one network.
"""

from __future__ import annotations

from mindspore import Tensor, nn, ops


class ImageConditioned(nn.Cell):
    """construct(x, t, beside, ids, image, *more): the network on noisy and given latents, the
    prompt's states and the image's tokens.

    Args:
        inner: a `mindlong.networks.text_conditioned.TextConditioned`; its parameters keep their
            names.
        projector: an image encoder's tokens -> (B, T, D), of T as many for each frame; its
            parameters are called `projector.*`.
    """

    def __init__(self, inner: nn.Cell, projector: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.inner, self.projector = inner, projector
        projector.update_parameters_name("projector.")

    @property
    def network(self) -> nn.Cell:
        """What denoises."""
        return self.inner.network

    def construct(
        self,
        x_BCFHW: Tensor,
        t_B: Tensor,
        beside_BCFHW: Tensor,
        ids_BS: Tensor,
        image_BND: Tensor,
        *more: Tensor,
    ) -> Tensor:
        """Latents and given latents (B, C, F, h, w), timesteps (B,), token ids (B, S) int32, an
        image encoder's tokens (B, N, D), what else the network takes -> float32 like x.
        """
        batch, frames = x_BCFHW.shape[0], x_BCFHW.shape[2]
        text = self.inner.text_encoder(ids_BS)
        tokens = self.projector(image_BND)
        tokens = tokens.reshape((batch, frames, tokens.shape[1] // frames, tokens.shape[2]))
        each = (batch, frames, text.shape[1], text.shape[2])
        context = ops.concat((text.expand_dims(1).broadcast_to(each), tokens), 2)
        return self.inner.network(ops.concat((x_BCFHW, beside_BCFHW), 1), t_B, context, *more)

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
        shared: every frame reads all tokens instead.
        beside: the network takes the given latents; else they are stepped over.
    """

    def __init__(
        self, inner: nn.Cell, projector: nn.Cell, shared: bool = False, beside: bool = True
    ) -> None:
        super().__init__(auto_prefix=False)
        self.inner, self.projector, self.shared, self.beside = inner, projector, shared, beside
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
        text, tokens = self.inner.text_encoder(ids_BS), self.projector(image_BND)
        x = ops.concat((x_BCFHW, beside_BCFHW), 1) if self.beside else x_BCFHW
        return self.inner.network(x, t_B, self._context(text, tokens, x_BCFHW.shape[2]), *more)

    def _context(self, text_BSD: Tensor, tokens_BTD: Tensor, frames: int) -> Tensor:
        """(B, S + T, D), or (B, F, S + T // F, D) with an image's tokens for each frame."""
        if self.shared:
            return ops.concat((text_BSD, tokens_BTD), 1)
        (batch, length, width), count = text_BSD.shape, tokens_BTD.shape[1]
        tokens = tokens_BTD.reshape((batch, frames, count // frames, width))
        text = text_BSD.expand_dims(1).broadcast_to((batch, frames, length, width))
        return ops.concat((text, tokens), 2)

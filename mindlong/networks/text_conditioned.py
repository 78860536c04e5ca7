"""A network that denoises latents together with the text encoder that reads its captions, so that
both can be trained as one network; and the network alone, on states that were made before.
"""

from __future__ import annotations

from mindspore import Tensor, nn


class TextConditioned(nn.Cell):
    """construct(x, t, ids, *more): the network on the hidden states of the prompts.

    Args:
        network: called as construct(x, t, context, *more).
        text_encoder: ids -> hidden states.
        part: what the network is called in names of parameters: `unet.*`, beside
            `text_encoder.*`.
    """

    def __init__(self, network: nn.Cell, text_encoder: nn.Cell, part: str = "unet") -> None:
        super().__init__()
        self.part = part
        setattr(self, part, network)
        self.text_encoder = text_encoder

    @property
    def network(self) -> nn.Cell:
        """What denoises."""
        return getattr(self, self.part)

    def construct(self, x_BCFHW: Tensor, t_B: Tensor, ids_BS: Tensor, *more: Tensor) -> Tensor:
        """Latents (B, C, F, h, w), timesteps (B,), token ids (B, S) int32, what else the network
        takes -> float32 prediction like the latents.
        """
        return getattr(self, self.part)(x_BCFHW, t_B, self.text_encoder(ids_BS), *more)


class OnStates(nn.Cell):
    """construct(x, t, states, *more): the network alone, under the name that it has beside a text
    encoder.

    Args:
        network: called as construct(x, t, context, *more). part: what it is called.
    """

    def __init__(self, network: nn.Cell, part: str) -> None:
        super().__init__()
        self.part = part
        setattr(self, part, network)

    @property
    def network(self) -> nn.Cell:
        """What denoises."""
        return getattr(self, self.part)

    def construct(self, x_BCFHW: Tensor, t_B: Tensor, states_BSD: Tensor, *more: Tensor) -> Tensor:
        """Latents (B, C, F, h, w), timesteps (B,), states of the captions (B, S, D), what else the
        network takes -> float32 prediction like the latents.
        """
        return getattr(self, self.part)(x_BCFHW, t_B, states_BSD, *more)

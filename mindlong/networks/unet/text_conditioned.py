"""A latent UNet together with the text tower that reads its captions, so that both can be trained
as one network.
"""

from __future__ import annotations

from mindspore import Tensor, nn

from mindlong.networks.clip.text_cell import TextEncoder
from mindlong.networks.unet.cell import UNet


class TextConditionedUNet(nn.Cell):
    """construct(x, t, ids[, fps]): the UNet on the hidden states of the prompts. Parameters are
    `unet.*` and `text_encoder.*`.
    """

    def __init__(self, unet: UNet, text_encoder: TextEncoder) -> None:
        super().__init__()
        self.unet, self.text_encoder = unet, text_encoder

    def construct(
        self, x_BCFHW: Tensor, t_B: Tensor, ids_BS: Tensor, fps_B: Tensor | None = None
    ) -> Tensor:
        """Latents (B, C, F, h, w), timesteps (B,), token ids (B, S) int32 -> float32 prediction
        like the UNet's.
        """
        return self.unet(x_BCFHW, t_B, self.text_encoder(ids_BS), fps_B)

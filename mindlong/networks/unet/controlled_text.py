"""A controlled UNet together with the text encoder that reads its captions, as one network to
train.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mindspore import Tensor, nn

if TYPE_CHECKING:
    from mindlong.networks.clip.text_cell import TextEncoder
    from mindlong.networks.unet.control import ControlledUNet


class ControlledTextUNet(nn.Cell):
    """construct(x, t, ids, cond, mask[, depth][, fps]). Parameters: `unet.*` (`unet.control.*` the
    branch), `text_encoder.*`.
    """

    def __init__(self, unet: ControlledUNet, text_encoder: TextEncoder) -> None:
        super().__init__()
        self.unet, self.text_encoder, self.deep = unet, text_encoder, unet.deep

    def construct(
        self,
        x_BCFHW: Tensor,
        t_B: Tensor,
        ids_BS: Tensor,
        cond_BCFHW: Tensor,
        mask_BMF: Tensor,
        first_B: Tensor | None = None,
        second_B: Tensor | None = None,
    ) -> Tensor:
        """Latents (B, C, F, h, w), timesteps (B,), ids (B, S) int32, condition and mask -> float32
        prediction.

        `first_B` is the depth where the branch takes it, else the frame rate; `second_B` the
        frame rate behind a depth.
        """
        depth_B = first_B if self.deep else None
        fps_B = second_B if self.deep else first_B
        return self.unet(
            x_BCFHW, t_B, self.text_encoder(ids_BS), fps_B, cond_BCFHW, mask_BMF, depth_B
        )

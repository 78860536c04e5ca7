"""diffusers' UNet3DConditionModel that is told the frame rate and the frames' numbers, by the names
that our converter reads (`fps_embedding`, `frame_embedding`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers import UNet3DConditionModel
from diffusers.models.embeddings import TimestepEmbedding
from diffusers.models.resnet import ResnetBlock2D


class EmbeddedUNet(UNet3DConditionModel):
    """forward(noisy (B, C, F, h, w), timesteps (B,), context (B, T, D), rates (B,), places (F,)).

    The two embeddings are added to the time's in front of every residual block, which is where
    diffusers' forward pass adds nothing of its own; the rest is the class's.
    """

    def tell(self, rate: bool) -> None:
        """Add the embeddings; the last layer of each starts at zero."""
        first, wide = self.config.block_out_channels[0], 4 * self.config.block_out_channels[0]
        self.fps_embedding = TimestepEmbedding(first, wide) if rate else None
        self.frame_embedding = TimestepEmbedding(first, wide)
        for part in (self.fps_embedding, self.frame_embedding):
            if part is not None:
                torch.nn.init.zeros_(part.linear_2.weight)
                torch.nn.init.zeros_(part.linear_2.bias)
        for module in self.modules():
            if isinstance(module, ResnetBlock2D):
                module.register_forward_pre_hook(self._more)

    def _more(self, _module: torch.nn.Module, given: tuple) -> tuple:
        return given[0], given[1] + self.added

    def forward(self, noisy, timesteps, context, rates, places):
        numbers = self.frame_embedding(self.time_proj(places))[None]
        if self.fps_embedding is not None:
            numbers = numbers + self.fps_embedding(self.time_proj(rates))[:, None]
        shape = (len(noisy), len(places), numbers.shape[-1])
        self.added = numbers.expand(shape).reshape(-1, shape[-1])
        return super().forward(noisy, timesteps, context, return_dict=False)[0]


def _flat(self: torch.nn.Conv3d, x: torch.Tensor) -> torch.Tensor:
    """A convolution over frames alone as one over images whose height is time: the same sums, and
    cuDNN is faster at it.
    """
    made = F.conv2d(x.flatten(3), self.weight.squeeze(-1), self.bias, 1, (self.padding[0], 0))
    return made.unflatten(3, x.shape[3:])


def embedded_unet(
    channels: tuple[int, ...],
    head_dim: int = 16,
    context: int = 64,
    groups: int = 8,
    rate: bool = True,
) -> EmbeddedUNet:
    """The network, fresh, one layer a level, attention at each."""
    count = len(channels)
    net = EmbeddedUNet(
        block_out_channels=channels,
        down_block_types=("CrossAttnDownBlock3D",) * count,
        up_block_types=("CrossAttnUpBlock3D",) * count,
        layers_per_block=1,
        norm_num_groups=groups,
        cross_attention_dim=context,
        attention_head_dim=head_dim,
    )
    net.tell(rate)
    for module in net.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # as our trainer
        if isinstance(module, torch.nn.Conv3d) and module.kernel_size == (3, 1, 1):
            module.forward = _flat.__get__(module)
    return net

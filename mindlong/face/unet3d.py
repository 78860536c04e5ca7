"""video-diffusion-pytorch's Unet3D, with its arguments.

Legend: B videos, C channels, F frames, H W pixels, D numbers of a condition.
"""

from __future__ import annotations

from collections.abc import Sequence

from mindspore import nn

from mindlong.networks.init import initialise
from mindlong.networks.unet3d import cell
from mindlong.networks.unet3d.spec import Unet3DSpec
from mindlong.utils.errors import ConfigError

BERT_WIDTH = 768  # of BERT-base, which the original takes for strings


class Unet3D(cell.Unet3D):
    """The pixel-space network of Video Diffusion Models, freshly initialised.

    Args:
        dim, cond_dim, out_dim, dim_mults, channels, attn_heads, attn_dim_head, init_dim,
            init_kernel_size, use_sparse_linear_attn: as in the original.
        use_bert_text_cond: the condition is one of BERT-base, 768 numbers wide.
        block_type: only "resnet", as in the original.
        compat: reproduce the original's bugs (docs/vdm.md).
        seed: of the first weights.

    Raises:
        ConfigError: sizes that do not fit together.
    """

    def __init__(
        self,
        dim: int,
        cond_dim: int | None = None,
        out_dim: int | None = None,
        dim_mults: Sequence[int] = (1, 2, 4, 8),
        channels: int = 3,
        attn_heads: int = 8,
        attn_dim_head: int = 32,
        use_bert_text_cond: bool = False,
        init_dim: int | None = None,
        init_kernel_size: int = 7,
        use_sparse_linear_attn: bool = True,
        block_type: str = "resnet",
        *,
        compat: bool = False,
        seed: int = 0,
    ) -> None:
        if block_type != "resnet":
            raise ConfigError(f"block_type is {block_type!r}; there is only 'resnet'")
        self.settings = Unet3DSpec(
            dim=dim,
            cond_dim=BERT_WIDTH if use_bert_text_cond else cond_dim,
            out_dim=out_dim,
            dim_mults=tuple(dim_mults),
            channels=channels,
            attn_heads=attn_heads,
            attn_dim_head=attn_dim_head,
            init_dim=init_dim,
            init_kernel_size=init_kernel_size,
            use_sparse_linear_attn=use_sparse_linear_attn,
            compat=compat,
        )
        super().__init__(self.settings)
        initialise(self, seed)


class Asked(nn.Cell):
    """The network with its optional inputs in a row, as the loss passes them on."""

    def __init__(self, network: nn.Cell, conditional: bool, focused: bool) -> None:
        super().__init__(auto_prefix=False)
        self.network, self.conditional, self.focused = network, conditional, focused

    def construct(self, x_BCFHW, t_B, *given):
        if self.conditional and self.focused:
            return self.network(x_BCFHW, t_B, given[0], given[1], given[2])
        if self.conditional:
            return self.network(x_BCFHW, t_B, given[0], given[1])
        if self.focused:
            return self.network(x_BCFHW, t_B, None, None, given[0])
        return self.network(x_BCFHW, t_B)

"""What all UNets of lvdm that are built here have in common: VideoCrafter1's, DynamiCrafter's and
their twin's (developers only: needs torch).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

USUAL = {  # as the published configurations have it
    "out_channels": 4,
    "transformer_depth": 1,
    "use_linear": True,
    "use_checkpoint": False,
    "temporal_conv": True,
    "temporal_attention": True,
    "temporal_selfatt_only": True,
    "use_relative_position": False,
    "use_causal_attention": False,
    "temporal_length": 16,
    "addition_attention": True,
}


@contextmanager
def norms_of(groups: int) -> Iterator[None]:
    """Networks that are built inside have GroupNorms of so many groups: the original writes 32."""
    init = torch.nn.GroupNorm.__init__

    def smaller(self, num_groups, num_channels, *rest, **more):
        init(self, groups, num_channels, *rest, **more)

    torch.nn.GroupNorm.__init__ = smaller
    try:
        yield
    finally:
        torch.nn.GroupNorm.__init__ = init

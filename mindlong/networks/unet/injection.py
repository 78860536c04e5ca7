"""Attention maps of one video used by the others of a batch: what prompt-to-prompt (arXiv
2208.01626), Video-P2P (2303.04761) and FateZero (2303.09535) do with stored maps.

A map is a function of queries and keys, so that queries and keys of the first video stand in for
those of the others, each of which keeps its own values. That leaves the maps where they are
computed, inside whichever attention kernel serves, and works for every key/value policy. Nothing is
stored: the first video runs along in the batch.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from mindlong.networks.unet.attention import Projections, TextAttention
from mindlong.networks.unet.stage_spec import ATTENTIONS


class Gate(nn.Cell):
    """The first video's rows for all `videos` of a batch while it is open, every video's own while
    it is closed.
    """

    def __init__(self, videos: int) -> None:
        super().__init__()
        self.videos = videos
        self.open = Parameter(Tensor(np.zeros(1, bool)), name="open", requires_grad=False)

    def set(self, is_open: bool) -> None:
        """Open or close it; the graph is not compiled again."""
        self.open.set_data(Tensor(np.full(1, is_open)))

    def construct(self, rows: Tensor) -> Tensor:
        """(videos * R, ...) -> the same shape."""
        first = rows[: rows.shape[0] // self.videos]
        return ops.where(self.open, ops.tile(first, (self.videos,) + (1,) * (rows.ndim - 1)), rows)


class Injected(nn.Cell):
    """An attention behind a gate for its queries and keys."""

    def __init__(self, attend: nn.Cell, gate: Gate, kind: str) -> None:
        super().__init__()
        self.attend, self.gate, self.kind = attend, gate, kind

    def construct(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """As the attention inside."""
        return self.attend(self.gate(q), self.gate(k), v)


def inject(network: nn.Cell, videos: int) -> Mapping[str, Gate]:
    """Put a gate before every attention of `network`, which from now on takes batches of `videos`;
    the gates by branch, closed.

    The weights have to be in the network already: gates are no part of a checkpoint.
    """
    gates = {kind: Gate(videos) for kind in ATTENTIONS}
    for _, cell in list(network.cells_and_names()):
        if isinstance(cell, Injected):  # it was done before
            gates[cell.kind] = cell.gate
        elif isinstance(cell, Projections) and not isinstance(cell.attend, Injected):
            kind = _kind(cell)
            cell.attend = Injected(cell.attend, gates[kind], kind)
    for kind, gate in gates.items():
        gate.open.name = f"injection.{kind}"  # it stands in many places; MindSpore names it after the last, for all kinds alike
    return gates


def _kind(cell: Projections) -> str:
    if isinstance(cell, TextAttention):
        return "text"
    return "time" if cell.attend.in_time else "space"

"""Moments and averages spread over the processes (ZeRO, stage 1, arXiv 1910.02054): each process
keeps those of its share of the parameters, updates these, and sends them to the others.

A parameter is never cut: the update's kernel then does on each what it does on a process that keeps
all, so the bits are those of an unsharded training on as many processes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from mindspore import Parameter, ParameterTuple, nn, ops
from mindspore.ops import operations as primitives

from mindlong.training.reduce import BUCKET, buckets
from mindlong.utils.errors import ConfigError

if TYPE_CHECKING:
    from mindlong.parallel.comm import Comm


@dataclass(frozen=True)
class Shares:
    """Which process keeps the moments and the average of which parameter.

    Attributes:
        owners: a process for each parameter. rank: this one.
    """

    owners: tuple[int, ...]
    rank: int

    @property
    def mine(self) -> tuple[int, ...]:
        """The parameters of this process."""
        return self.of(self.rank)

    def of(self, rank: int) -> tuple[int, ...]:
        """The parameters of a process, in their order."""
        return tuple(i for i, owner in enumerate(self.owners) if owner == rank)

    def runs(self, sizes: Sequence[int], limit: int = BUCKET) -> list[tuple[int, tuple[int, ...]]]:
        """(owner, its parameters) of each message, of at most `limit` numbers where it is not a
        single parameter.
        """
        found = []
        for owner in range(max(self.owners) + 1):
            held = self.of(owner)
            for start, end in buckets([sizes[i] for i in held], limit):
                found.append((owner, held[start:end]))
        return found


def deal(sizes: Sequence[int], processes: int, rank: int) -> Shares:
    """Parameters of `sizes` numbers dealt out evenly: the largest first, each to whoever has least.

    Raises:
        ConfigError: fewer parameters than processes.
    """
    if len(sizes) < processes:
        raise ConfigError(
            f"train.shard needs a parameter a process; {len(sizes)} trained parameters cannot be spread over {processes} processes"
        )
    held, owners = [0] * processes, [0] * len(sizes)
    for i in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        owners[i] = held.index(min(held))
        held[owners[i]] += sizes[i]
    return Shares(tuple(owners), rank)


class _Send(nn.Cell):
    """construct(): some parameters become what they are on process `owner`."""

    def __init__(self, parameters: Sequence[Parameter], owner: int) -> None:
        super().__init__(auto_prefix=False)
        self.parameters = ParameterTuple(parameters)
        sizes = [p.size for p in parameters]
        self.starts = tuple(sum(sizes[:i]) for i in range(len(sizes)))
        self.send, self.slice = primitives.Broadcast(owner), primitives.Slice()
        self.each = ops.HyperMap()

    def construct(self):
        if len(self.starts) == 1:
            (sent,) = self.send((self.parameters[0],))
            return ops.depend(True, ops.assign(self.parameters[0], sent))
        flat = ops.concat(self.each(self._flat, self.parameters))
        (sent,) = self.send((flat,))
        return self.each(ops.partial(self._take, sent), self.starts, self.parameters)

    def _flat(self, parameter):
        return parameter.reshape(-1)

    def _take(self, sent, start, parameter):
        piece = self.slice(sent, (start,), (parameter.size,)).reshape(parameter.shape)
        return ops.depend(True, ops.assign(parameter, piece))


class Publish:
    """Called after an update, by all processes: every parameter becomes what its owner made of it.
    A graph for each message, so that only one message's copy is in memory.
    """

    def __init__(
        self, parameters: Sequence[Parameter], shares: Shares, limit: int = BUCKET
    ) -> None:
        runs = shares.runs([p.size for p in parameters], limit)
        self.sends = [_Send([parameters[i] for i in held], owner) for owner, held in runs]

    def __call__(self) -> None:
        for send in self.sends:
            send()


def gathered(
    held: Mapping[str, np.ndarray],
    parameters: Sequence[Parameter],
    shares: Shares,
    comm: Comm,
    limit: int = BUCKET,
) -> dict[str, np.ndarray]:
    """Arrays of all parameters by name, on process 0; nothing on the others. Called by all.

    Args:
        held: this process's, by name.
    """
    found: dict[str, np.ndarray] = {}
    for owner, places in shares.runs([p.size for p in parameters], limit):
        mine = [parameters[i] for i in places]
        flat = (
            np.concatenate([held[p.name].reshape(-1) for p in mine])
            if owner == shares.rank
            else np.zeros(sum(p.size for p in mine), np.float32)
        )
        sent, start = comm.broadcast(flat, owner), 0
        for p in mine if comm.rank == 0 else ():
            found[p.name] = np.array(sent[start : start + p.size]).reshape(p.shape)
            start += p.size
    return found

"""Several ranks in one process: their programs run in lock step, and parcels pass through memory.

The arithmetic is that of real processes, shard by shard, so the results are theirs bit for bit.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from mindlong.parallel.sync import Arrival, Parcel, Traffic


def deliver(parcels: Sequence[Parcel]) -> list[Arrival]:
    """What each rank gets when rank r sends `parcels[r]`."""
    numbers = None if parcels[0].numbers is None else [p.numbers for p in parcels]
    if parcels[0].world is None:
        return [Arrival(numbers, None, None, None) for _ in parcels]
    world, last = [p.world for p in parcels], len(parcels) - 1
    return [
        Arrival(
            numbers,
            world,
            parcels[r - 1].right if r else None,
            parcels[r + 1].left if r < last else None,
        )
        for r in range(len(parcels))
    ]


def run(
    programs: Sequence[Generator[Parcel, Arrival, Any]], traffic: Sequence[Traffic] | None = None
) -> list[Any]:
    """Run the programs of all ranks to their end; returns what each returned."""
    parcels, results = [next(program) for program in programs], []
    while not results:
        for count, parcel in zip(traffic or (), parcels, strict=False):
            count.add(parcel)
        arrivals = deliver(parcels)
        for i, (program, arrival) in enumerate(zip(programs, arrivals, strict=True)):
            try:
                parcels[i] = program.send(arrival)
            except StopIteration as end:
                results.append(end.value)
    return results

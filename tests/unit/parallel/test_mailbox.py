"""Parcels through shared memory: every process gets what simulated ranks get, whatever the sizes,
and hears of one that has gone.
"""

import multiprocessing
import re

import numpy as np
import pytest

from mindlong.parallel import halo, simulated
from mindlong.parallel.mailbox import SMALLEST, Mailbox
from mindlong.parallel.sync import Parcel
from mindlong.utils.errors import UserError

OWNED = halo.split_by([3, 2, 4])
NEEDS = [{3, 5}, {2, 5, 0}, {4, 0}]  # 5 and 0 go to everybody, the others to neighbours
ROUNDS = [(np.float32, 4), (np.float16, 3), (np.float32, SMALLEST // 8), (np.float32, 4)]


def parcels(turn: int) -> list[Parcel]:
    """What each rank sends in a turn; in the last one numbers alone, as before a norm."""
    dtype, width = ROUNDS[turn]
    plan = halo.plan(NEEDS, OWNED)

    def rows(frames, rank):
        values = [np.arange(width) % 97 + 100 * f + turn for f in frames]
        return np.array(values, dtype).reshape(len(frames), width)

    made = []
    for rank, mine in enumerate(OWNED):
        numbers = rows(mine, rank)[:, :2].astype(np.float32) if turn != 1 else None
        sides = [rows(part[rank], rank) for part in (plan.world, plan.left, plan.right)]
        made.append(Parcel(plan, numbers, *(sides if turn < 3 else (None,) * 3)))
    return made


def same(one, two) -> bool:
    """Whether two arrivals hold the same."""
    for name in ("numbers", "world"):
        a, b = getattr(one, name), getattr(two, name)
        if (a is None) != (b is None) or (a and not all(map(np.array_equal, a, b))):
            return False
    for name in ("from_left", "from_right"):
        a, b = getattr(one, name), getattr(two, name)
        if (a is None or not len(a)) != (b is None or not len(b)):
            return False
        if a is not None and len(a) and not (np.array_equal(a, b) and a.dtype == b.dtype):
            return False
    return True


def work(rank, size, barrier, table, found):
    """A process: all rounds, then rank 1 leaves and the others notice."""

    def gather(text):
        table[rank] = text
        barrier.wait()
        texts = [table[r] for r in range(size)]
        barrier.wait()
        return texts

    box, good = Mailbox(rank, size, gather), []
    for turn in range(len(ROUNDS)):
        sent = parcels(turn)
        arrived = box.swap(sent[rank])
        good.append(same(arrived, simulated.deliver(sent)[rank]))
    if rank != 1:
        try:
            box.swap(parcels(0)[rank])
        except UserError as error:
            good.append(str(error))
    found[rank] = good


@pytest.fixture(scope="module")
def found():
    fork = multiprocessing.get_context("fork")
    with fork.Manager() as manager:
        table, out, barrier = manager.dict(), manager.dict(), fork.Barrier(3)
        ranks = [fork.Process(target=work, args=(r, 3, barrier, table, out)) for r in range(3)]
        for process in ranks:
            process.start()
        for process in ranks:
            process.join(60)
        return dict(out)


def test_all_processes_get_what_simulated_ranks_get(found):
    assert [found[rank][: len(ROUNDS)] for rank in range(3)] == [[True] * len(ROUNDS)] * 3


def test_a_process_that_is_gone_is_a_sentence(found):
    """Whoever hears of it second may hear first that the one who heard it has left too."""
    said = [found[rank][-1] for rank in (0, 2)]
    assert all(re.match(r"process [012] has gone", each) for each in said)
    assert any(each.startswith("process 1 has gone") for each in said)

"""Dealing pieces of a run to processes: each piece once, whoever is free, and failures heard."""

import threading
import time

import pytest

from mindlong.parallel.comm import SerialComm
from mindlong.pipelines import dealt
from mindlong.utils.errors import UserError


class Ranks:
    """Communicators of threads that stand for processes."""

    def __init__(self, size):
        self.size, self.texts = size, [""] * size
        self.barrier = threading.Barrier(size, timeout=30)

    def comm(self, rank):
        ranks = self

        class Comm(SerialComm):
            def all_gather_text(self, text):
                ranks.texts[rank] = text
                ranks.barrier.wait()
                found = list(ranks.texts)
                ranks.barrier.wait()
                return found

        made = Comm()
        made.rank, made.size = rank, self.size
        return made

    def run(self, program):
        """What `program(comm)` returned or raised on each."""
        found = [None] * self.size

        def one(rank):
            try:
                found[rank] = program(self.comm(rank))
            except Exception as error:
                found[rank] = error

        threads = [threading.Thread(target=one, args=(r,)) for r in range(self.size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(dealt, "POLL", 0.005)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_every_piece_is_made_once_and_all_wait_for_the_last(tmp_path, size):
    made, lock = [], threading.Lock()

    def program(comm):
        table, mine = dealt.Table(tmp_path, comm), []

        def work(piece):
            time.sleep(0.002)
            mine.append(piece)
            with lock:
                made.append(piece)

        for phase in ("one", "two"):
            table.share_out(phase, range(20), work)
            assert len(made) >= 20 * (1 + (phase == "two"))
        table.close()
        return mine

    shares = Ranks(size).run(program)
    assert sorted(made) == sorted([*range(20)] * 2)
    assert sorted(p for share in shares for p in share) == sorted(made)
    assert all(shares) and not list(tmp_path.iterdir())


def test_a_slow_process_does_not_hold_the_rest(tmp_path):
    gate = threading.Event()

    def program(comm):
        mine = []

        def work(piece):
            mine.append(piece)
            if piece == 0:
                assert gate.wait(20)
            if piece == 9:
                gate.set()

        dealt.Table(tmp_path, comm).share_out("x", range(10), work)
        return mine

    shares = sorted(Ranks(2).run(program), key=len)
    assert shares == [[0], [1, 2, 3, 4, 5, 6, 7, 8, 9]]


def test_what_an_earlier_job_made_is_left_and_its_claims_count_for_nothing(tmp_path):
    old = tmp_path / "claims-0123456789ab"
    old.mkdir()
    for number in range(6):
        (old / f"x-{number:06d}.claim").touch()

    def program(comm):
        table, mine = dealt.Table(tmp_path, comm), []
        table.share_out("x", range(6), mine.append, lambda piece: piece in (1, 4))
        table.close()
        return mine

    shares = Ranks(2).run(program)
    assert sorted(p for share in shares for p in share) == [0, 2, 3, 5]
    assert not list(tmp_path.iterdir())


def test_a_failure_is_heard_by_all_and_stops_what_is_not_begun(tmp_path):
    made = []

    def program(comm):
        def work(piece):
            if piece == 2:
                raise UserError("the disk is full")
            time.sleep(0.01)
            made.append(piece)

        dealt.Table(tmp_path, comm).share_out("x", range(200), work)

    errors = Ranks(2).run(program)
    said = sorted(str(error) for error in errors)
    assert all(isinstance(error, UserError) for error in errors)
    assert said[1] == "the disk is full"
    assert "failed with x: UserError: the disk is full" in said[0]
    assert len(made) < 190


def test_one_process_goes_through_them_in_order(tmp_path):
    mine = []
    table = dealt.Table(tmp_path, SerialComm())
    table.share_out("x", range(5), mine.append, lambda piece: piece == 3)
    table.close()
    assert mine == [0, 1, 2, 4] and not list(tmp_path.iterdir())

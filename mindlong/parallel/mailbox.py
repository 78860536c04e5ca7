"""Parcels between the processes of one machine through memory that they share.

Every process has a piece of memory of its own (a memfd) with room for two messages, in turn, which
the others map. That a message is there is told through a Unix socket, which also brings the memory
and breaks when its process dies. Nothing has a name once all are connected: nothing is left behind,
nobody else can look in, and no port is opened.

A process writes its message n into the memory that held n - 2. By then all have told it of their
n - 1, which they do after they have used what they were sent before: what `collect` returns is
valid until the next `post`.
"""

from __future__ import annotations

import mmap
import os
import select
import shutil
import socket
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mindlong.parallel import packing
from mindlong.parallel.sync import Arrival, Parcel
from mindlong.utils.errors import UserError

NOTE = struct.Struct("qqq")  # bytes of the message, bytes of a slot, whether its memory comes along
# seconds of looking again and again, and giving way to others, before a process sleeps until it is
# woken, which costs a tenth of a millisecond
SPIN = 1e-3
SMALLEST = 2**20


class Mailbox:
    """The connection of this process to all others of its machine.

    Args:
        gather: everybody's text, by rank (`Comm.all_gather_text`); called twice by all.

    Attributes:
        waited: seconds spent until the others had sent what this process was ready for.

    Raises:
        UserError: at `collect`, when another process has gone.
    """

    def __init__(self, rank: int, size: int, gather: Callable[[str], list[str]]) -> None:
        self.rank, self.size, self.waited = rank, size, 0.0
        self.turn, self.slot, self.mine = 0, 0, np.zeros(0, np.uint8)
        self.others: dict[int, np.ndarray] = {}
        self.slots = [0] * size
        self.lines = _connected(rank, size, gather)
        for line in self.lines.values():
            line.setblocking(False)

    def post(self, parcel: Parcel) -> None:
        """Send; returns as soon as the parcel is written."""
        arrays = packing.contents(parcel)
        size = packing.size_of([(a.shape, a.dtype) for a in arrays])
        fresh = -1
        if size > self.slot:
            fresh = self._grow(size)
        start = self.turn * self.slot
        packing.pack(arrays, self.mine[start : start + size])
        note = NOTE.pack(size, self.slot, fresh >= 0)
        for line in self.lines.values():
            _tell(line, note, fresh)
        if fresh >= 0:
            os.close(fresh)

    def collect(self, parcel: Parcel) -> Arrival:
        """What the others sent when this process sent `parcel`."""
        held: list[list[np.ndarray]] = []
        for rank in range(self.size):
            memory, slot = self.mine, self.slot
            if rank != self.rank:
                self._hear(rank)
                memory, slot = self.others[rank], self.slots[rank]
            parts = packing.shapes(parcel, rank)
            start = self.turn * slot
            held.append(packing.unpack(memory[start : start + packing.size_of(parts)], parts))
        self.turn = 1 - self.turn
        return packing.arrival(parcel, self.rank, held)

    def swap(self, parcel: Parcel) -> Arrival:
        """Both."""
        self.post(parcel)
        return self.collect(parcel)

    def _grow(self, size: int) -> int:
        """Have room for messages of `size` bytes; returns the file of the new memory."""
        self.slot = max(SMALLEST, 1 << (size - 1).bit_length())
        file = os.memfd_create("mindlong")
        os.posix_fallocate(file, 0, 2 * self.slot)
        self.mine = np.frombuffer(mmap.mmap(file, 2 * self.slot), np.uint8)
        return file

    def _hear(self, rank: int) -> None:
        """Wait until process `rank` has sent its next message."""
        clock, line = time.perf_counter(), self.lines[rank]
        try:
            note, files = _heard(line, clock + SPIN)
        except OSError:
            note, files = b"", []
        self.waited += time.perf_counter() - clock
        if len(note) < NOTE.size:
            raise UserError(f"process {rank} has gone; its log says why")
        _, slot, fresh = NOTE.unpack(note)
        if fresh:
            memory = mmap.mmap(files[0], 2 * slot, prot=mmap.PROT_READ)
            self.others[rank] = np.frombuffer(memory, np.uint8)
            self.slots[rank] = slot
            os.close(files[0])


def _tell(line: socket.socket, note: bytes, fresh: int) -> None:
    """A note, and a file where there is one. A line that is broken is found when it is heard."""
    try:
        if fresh >= 0:
            socket.send_fds(line, [note], [fresh])
        else:
            line.send(note)
    except (BrokenPipeError, ConnectionResetError):
        return


def _heard(line: socket.socket, until: float) -> tuple[bytes, list[int]]:
    """The next note and its files; empty where the line has ended."""
    while True:
        try:
            return socket.recv_fds(line, NOTE.size, 1)[:2]
        except BlockingIOError:
            if time.perf_counter() < until:
                os.sched_yield()
                continue
            poll = select.poll()
            poll.register(line, select.POLLIN)
            poll.poll()


def _connected(
    rank: int, size: int, gather: Callable[[str], list[str]]
) -> dict[int, socket.socket]:
    """A line to each other process. Packets, so that a note is read whole or not at all."""
    folder = Path(tempfile.mkdtemp(prefix="mindlong-"))  # nobody else may enter
    try:
        door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        door.bind(str(folder / "door"))
        door.listen(size)
        places, lines = gather(str(folder / "door")), {}
        for other in range(rank):
            lines[other] = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            lines[other].connect(places[other])
            lines[other].send(str(rank).encode())
        for _ in range(rank + 1, size):
            line, _ = door.accept()
            lines[int(line.recv(16))] = line
        door.close()
        gather("")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return lines

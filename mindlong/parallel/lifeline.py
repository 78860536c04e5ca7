"""A connection between machines that says nothing until it breaks.

The first process listens beside MindSpore's scheduler, at the same address and the next port, and
the first process of every other machine connects to it. Whoever leaves says so; a connection that
ends without that, or whose other side does not answer the kernel's probes, means that a machine,
its processes or the link are gone. The kernel probes and answers, so a process that is held or
computes for long is not taken for a dead one. Nothing that comes from outside is read but the name
of the job and the word of leaving.
"""

from __future__ import annotations

import contextlib
import hashlib
import select
import socket
import time

from mindlong.utils.errors import UserError

LEAVING = b"."
IDLE, EVERY, PROBES = 6, 4, 4  # seconds without a word, between probes, and how many: 22 s in all
HELLO = 16  # bytes


class Lifeline:
    """The connections of one machine.

    Args:
        listener: of the first process; None elsewhere.
        peers: connections there are already.
        name: of the job, HELLO bytes.
    """

    def __init__(
        self,
        listener: socket.socket | None = None,
        peers: list[socket.socket] | None = None,
        name: bytes = b"",
    ) -> None:
        self.listener, self.name = listener, name
        self.peers: list[socket.socket] = peers or []
        self.strangers: dict[socket.socket, bytes] = {}
        self.addresses = {peer: _address(peer) for peer in self.peers}  # a dead one has none
        for peer in self.peers:
            peer.setblocking(False)

    def broken(self, patience: float) -> str:
        """The address of a machine that is gone, '' where none is; waits up to `patience`
        seconds for news.
        """
        known = [*self.peers, *self.strangers, *([self.listener] if self.listener else [])]
        if not known:
            time.sleep(patience)
            return ""
        for ready in select.select(known, [], [], patience)[0]:
            if ready is self.listener:
                self._accept()
            elif ready in self.strangers:
                self._greet(ready)
            elif self._has_broken(ready):
                return self.addresses[ready]
        return ""

    def leave(self, well: bool) -> None:
        """Tell all that this machine's part is done, or, by saying nothing, that it failed."""
        for peer in self.peers:
            with contextlib.suppress(OSError):
                if well:
                    peer.sendall(LEAVING)
                peer.close()
        self.peers = []
        if self.listener:
            self.listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            stranger, _ = self.listener.accept()
            stranger.setblocking(False)
            self.strangers[stranger] = b""

    def _greet(self, stranger: socket.socket) -> None:
        """A stranger becomes a peer once it has said the job's name."""
        before = self.strangers.pop(stranger)
        said = before + _received(stranger, HELLO - len(before))
        if said == self.name:
            self.peers.append(alive(stranger))
            self.addresses[stranger] = _address(stranger)
        elif self.name.startswith(said) and said != before:
            self.strangers[stranger] = said
        else:
            stranger.close()

    def _has_broken(self, peer: socket.socket) -> bool:
        if _received(peer, 1) != LEAVING:
            return True
        self.peers.remove(peer)
        peer.close()
        return False


def listen(address: str, port: int, name: bytes) -> Lifeline:
    """The first process's side. Raises UserError where the port is taken."""
    try:
        listener = socket.create_server((address, port), family=_family(address))
    except OSError as error:
        raise UserError(
            f"{address}:{port} cannot be listened on ({error.strerror}); between machines the port of "
            "MindSpore's scheduler and the next one are needed: give another MASTER_PORT"
        ) from None
    return Lifeline(listener, name=name)


def connect(address: str, port: int, name: bytes, timeout: float) -> Lifeline:
    """The side of every other machine. Raises UserError where the first does not answer in time."""
    end, why = time.monotonic() + timeout, "it did not answer"
    while time.monotonic() < end:
        try:
            made = socket.create_connection((address, port), timeout=5)
            made.sendall(name)
            return Lifeline(peers=[alive(made)])
        except OSError as error:
            why = str(error)
            time.sleep(0.5)
    raise UserError(
        f"{socket.gethostname()} does not reach {address}:{port} within {timeout:.0f} s ({why}); between "
        "machines the port of MindSpore's scheduler and the next one must be open (docs/several_machines.md)"
    )


def alive(connection: socket.socket) -> socket.socket:
    """Have the kernel probe the other side."""
    for option, value in (
        ("TCP_KEEPIDLE", IDLE),
        ("TCP_KEEPINTVL", EVERY),
        ("TCP_KEEPCNT", PROBES),
        ("TCP_USER_TIMEOUT", 1000 * (IDLE + EVERY * PROBES)),
    ):
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return connection


def name_of(job: str) -> bytes:
    """HELLO bytes that stand for a job."""
    return hashlib.sha256(job.encode()).digest()[:HELLO]


def _received(connection: socket.socket, most: int) -> bytes:
    try:
        return connection.recv(most)
    except BlockingIOError:
        return b""
    except OSError:
        return b""


def _address(connection: socket.socket) -> str:
    try:
        return str(connection.getpeername()[0])
    except OSError:
        return "another machine"


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET

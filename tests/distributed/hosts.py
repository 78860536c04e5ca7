"""Network namespaces that stand for machines: addresses, names and temporary folders of their own,
one disk. Needs root and iproute2.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

CAN = os.getuid() == 0 and all(map(shutil.which, ("ip", "unshare")))
AGENT = """#!/bin/sh
# what mpirun calls in the place of ssh: AGENT ADDRESS WORDS...
address=$1
shift
exec {folder}/on "${{address##*.}}" sh -c "$*"
"""
ON = """#!/bin/sh
# on NUMBER WORDS...: run there
number=$1
shift
mkdir -p {folder}/tmp$number
exec ip netns exec {prefix}$number env TMPDIR={folder}/tmp$number unshare -u \\
  sh -c 'hostname {prefix}'$number'; exec "$@"' sh "$@"
"""


@dataclass(frozen=True)
class Hosts:
    """Machines numbered from 1, `address(1)` and so on, beside a switch."""

    prefix: str
    net: str
    folder: Path
    count: int

    def address(self, number: int) -> str:
        return f"{self.net}.{number}"

    def on(self, number: int, *words: str) -> list[str]:
        """The command line that runs `words` on a machine."""
        return [str(self.folder / "on"), str(number), *words]

    def link(self, number: int, state: str) -> None:
        """Plug a machine in ("up") or out ("down")."""
        ip("-n", f"{self.prefix}0", "link", "set", f"p{number}", state)

    def listening(self, number: int) -> set[str]:
        """What is listened on there, ADDRESS:PORT."""
        done = subprocess.run(
            ["ip", "netns", "exec", f"{self.prefix}{number}", "cat", "/proc/net/tcp"],
            capture_output=True,
            text=True,
            check=True,
        )
        rows = [line.split() for line in done.stdout.splitlines()[1:]]
        return {_address(row[1]) for row in rows if row[3] == "0A"}

    @property
    def agent(self) -> dict[str, str]:
        """The environment in which mpirun reaches the machines."""
        return {"OMPI_MCA_plm_rsh_agent": str(self.folder / "agent")}


@contextlib.contextmanager
def hosts(folder: Path, count: int) -> Iterator[Hosts]:
    """`count` machines; all gone afterwards."""
    prefix, number = f"ml{uuid.uuid4().hex[:5]}h", int(uuid.uuid4().hex[:2], 16)
    made = Hosts(prefix, f"10.{100 + number % 100}.{number}", folder, count)
    for name, text in (("agent", AGENT), ("on", ON)):
        (folder / name).write_text(text.format(folder=folder, prefix=prefix))
        (folder / name).chmod(0o755)
    try:
        _wire(made)
        yield made
    finally:
        for host in range(count + 1):
            subprocess.run(["ip", "netns", "del", f"{prefix}{host}"], capture_output=True)


def _wire(made: Hosts) -> None:
    switch = f"{made.prefix}0"
    ip("netns", "add", switch)
    ip("-n", switch, "link", "add", "switch", "type", "bridge")
    ip("-n", switch, "link", "set", "switch", "up")
    for host in range(1, made.count + 1):
        name = f"{made.prefix}{host}"
        ip("netns", "add", name)
        ip(
            "-n",
            switch,
            "link",
            "add",
            f"p{host}",
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            name,
        )
        ip("-n", switch, "link", "set", f"p{host}", "master", "switch", "up")
        ip("-n", name, "addr", "add", f"{made.address(host)}/24", "dev", "eth0")
        ip("-n", name, "link", "set", "lo", "up")
        ip("-n", name, "link", "set", "eth0", "up")


def ip(*words: str) -> None:
    """`ip WORDS...`, which must succeed."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"


def _address(text: str) -> str:
    host, port = text.split(":")
    parts: Sequence[int] = [int(host[i : i + 2], 16) for i in (6, 4, 2, 0)]
    return f"{'.'.join(map(str, parts))}:{int(port, 16)}"

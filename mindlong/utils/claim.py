"""One process at a time in a folder.

A claim is a lock of the kernel on `.lock` in the folder: it goes with the process that holds it,
however that ends. What stands in the file is only for the sentence that the next one gets.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from pathlib import Path
from typing import IO, Any

from mindlong.utils import system
from mindlong.utils.errors import UserError

FILE = ".lock"
WITHOUT = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)  # file systems that have no locks


class Claimed(UserError):
    """Another process is at work in the folder; the message says which."""


class Lost(UserError):
    """The folder was removed, or is another process's now."""


class Claim:
    """The claim on a folder, held until `release` or the end of the process.

    Args:
        folder: made if it is missing.
        what: said of it in the sentence: "is trained in".

    Raises:
        Claimed: another process holds it. SystemFault: the folder cannot be written.
    """

    def __init__(self, folder: Path, what: str = "is used") -> None:
        self.folder, self.path, self.what = folder, folder / FILE, what
        with system.explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self._locked()
            self._say()

    @property
    def held(self) -> bool:
        """Whether the folder still is the one that was claimed: it may have been removed, and made
        and claimed again by another process, which a lock on a removed file does not hinder.
        """
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self._file.fileno()))
        except OSError:
            return False

    def again(self) -> None:
        """Claim the folder once more, whose lock alone was removed. Raises Claimed, SystemFault."""
        with system.explained(self.folder):
            self._file.close()
            self._file = self._locked()
            self._say()

    def release(self, remove: bool = False) -> None:
        """Let it go; `remove`: the file as well."""
        if remove:
            self.path.unlink(missing_ok=True)
        self._file.close()

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _locked(self) -> IO[bytes]:
        while True:
            file = self.path.open("a+b")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                sentence = self._taken(file)
                file.close()
                raise Claimed(sentence) from None
            except OSError as error:
                if error.errno not in WITHOUT:
                    file.close()
                    raise
                self._without_locks(file)
            if self._is_there(file):
                return file
            file.close()  # removed by its last holder, just before it was locked here

    def _is_there(self, file: IO[bytes]) -> bool:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            self.folder.mkdir(parents=True, exist_ok=True)
            return False
        return os.path.samestat(found, os.fstat(file.fileno()))

    def _say(self) -> None:
        about = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "born": born(os.getpid()),
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        }
        self._file.truncate(0)
        self._file.write(json.dumps(about).encode())
        self._file.flush()

    def _taken(self, file: IO[bytes]) -> str:
        holder = _read(file)
        who = "another process"
        if holder:
            who = f"process {holder['pid']} on {holder['host']}, since {holder['since']}"
        return f"{self.folder} {self.what} by {who}. Wait until it ends or stop it, or give another folder"

    def _without_locks(self, file: IO[bytes]) -> None:
        """Where the file system has no locks, what the file says decides."""
        holder = _read(file)
        if not holder or (holder["pid"] == os.getpid() and holder["host"] == socket.gethostname()):
            return
        if holder["host"] == socket.gethostname() and born(holder["pid"]) != holder["born"]:
            return  # it has ended
        sentence = self._taken(file)
        file.close()
        raise Claimed(f"{sentence}; if it has ended, remove {self.path}")


def _read(file: IO[bytes]) -> dict[str, Any] | None:
    try:
        file.seek(0)
        held = json.loads(file.read(4096))
        return {key: held[key] for key in ("host", "pid", "born", "since")}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def born(pid: int) -> str:
    """When a process was started, in the kernel's count; '' where there is none of that number.
    With it a number that is given out again is another process.
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return ""

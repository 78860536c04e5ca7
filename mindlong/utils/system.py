"""What the system refuses, as sentences: what could not be done, where, and what helps."""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import resource
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from mindlong.utils.errors import UserError
from mindlong.utils.shown import shown

GONE = (errno.ESTALE, errno.EIO, errno.ENOTCONN, errno.EHOSTDOWN, errno.ETIMEDOUT, errno.EREMOTEIO)
FULL = (errno.ENOSPC, errno.EDQUOT)
NAME_BYTES = 255  # of a file name, on nearly every file system
# a library that was not found, as the dynamic linker says it where the system is short of something
SHORT_OF = {
    "Too many open files": errno.EMFILE,
    "annot allocate memory": errno.ENOMEM,
    "failed to map segment": errno.ENOMEM,
    "Resource temporarily unavailable": errno.EAGAIN,
}
ALLOCATION = ("bad_alloc", "llocate memory failed", "alloc memory failed", "out of memory")


class SystemFault(UserError, OSError):
    """The system refused something; the message says what, where, and what helps. It is an OSError
    too, with the `errno` of the refusal, so that a caller who handles those goes on to do so.
    """

    def __init__(self, text: str, number: int | None = None) -> None:
        super().__init__(text)
        self.errno = number


def fault(error: OSError, path: str | Path | None = None, key: str = "") -> SystemFault:
    """The sentence of `error` as an exception to raise. `path` serves where it names none; `key` is
    what the user wrote it under.
    """
    if isinstance(error, SystemFault):
        return error
    return SystemFault(f"{key}: " * bool(key) + sentence(error, path), error.errno)


@contextlib.contextmanager
def explained(path: str | Path, key: str = "") -> Iterator[None]:
    """What the system refuses inside becomes a SystemFault that names a path: the refused one, or
    `path` where the error names none; `key` is what the user wrote it under.
    """
    try:
        yield
    except (BrokenPipeError, SystemFault):
        raise
    except OSError as error:
        raise fault(error, path, key) from error


def sentence(error: OSError, path: str | Path | None = None) -> str:
    """One sentence on what the system refused.

    Args:
        path: what was worked on, where the error itself names nothing.
    """
    number = error.errno
    named = next((n for n in (error.filename, path) if n is not None and n != ""), None)
    place = Path(os.fsdecode(named)) if isinstance(named, str | bytes | Path) else None
    where = shown(place, most=300) if place else "a file"
    if number in FULL or number is None and "written" in str(error):
        return _full(place, where, number)
    for numbers, make in _SENTENCES:
        if number in numbers:
            return make(place, where)
    return f"{where}: the system says {error.strerror or shown(str(error)) or 'nothing'!s}"


def of_stranger(error: BaseException) -> str | None:
    """The sentence of an exception of a library that stands for a refusal of the system; None where
    it is none.
    """
    text = str(error)
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("mindlong"):
        return (
            f"the Python package {error.name} is not there for {sys.executable}; install mindlong with what it "
            "needs (pip install -e .), or use the Python that it is installed for"
        )
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in text.lower() for words in ALLOCATION)
    ):
        return _memory(None, "")
    if isinstance(error, ImportError | OSError | RuntimeError):
        for words, number in SHORT_OF.items():
            if words in text:
                return sentence(OSError(number, words))
    if isinstance(error, RuntimeError) and "between the scheduler and the worker" in text:
        return (
            "MindSpore's scheduler does not answer this process any more (its process or the network hangs); what "
            "is saved stays, and the same command goes on from there"
        )
    if isinstance(error, ValueError) and "null byte" in text:
        return "a path holds the character NUL, which no file name can; check the paths given"
    if isinstance(error, RuntimeError) and "can't start new thread" in text:
        return _processes(None, "")
    return None


def check_folder(path: str | Path, key: str) -> None:
    """Raise the SystemFault that writing into a folder would meet, as far as that is known without
    making anything; `key` is what the user wrote it under.
    """
    place = Path(path).absolute()
    with explained(place, key):
        _refuse_folder(place)


def _refuse_folder(place: Path) -> None:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        os.lstat(place)  # a name that is too long
    there = next(p for p in (place, *place.parents) if os.path.lexists(p))
    if not stat.S_ISDIR(os.stat(there).st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(there))
    if os.statvfs(there).f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(there))
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))


def free_mib(path: Path) -> float:
    """MiB that are free where `path` is, or would be."""
    there = next((p for p in (path, *path.absolute().parents) if _exists(p)), Path("/"))
    return shutil.disk_usage(there).free / 2**20


def _full(place: Path | None, where: str, number: int | None) -> str:
    with contextlib.suppress(OSError):
        if place is not None:
            where += f" could not be written ({free_mib(place):.1f} MiB are free there)"
    what = "your quota on the disk is used up" if number == errno.EDQUOT else "the disk is full"
    if number is None:
        what = "the disk is full, or a limit on the size of files is reached"
    return f"{what}: {where}. Free some space and run the same command again"


def _permission(place: Path | None, where: str) -> str:
    if place is None:
        return "the system does not permit this"
    there = next((p for p in (place, *place.absolute().parents) if _exists(p)), Path("/"))
    verb = "read" if there == place and not os.access(place, os.R_OK) else "written"
    at = "" if there == place else f" ({shown(there)} {_owned(there)})"
    own = f" ({_owned(place)})" if there == place else ""
    return (
        f"{where} may not be {verb} by user {_user(os.geteuid())}{own or at}; "
        f"change its permissions (chmod, chown) or give another place"
    )


def _owned(path: Path) -> str:
    with contextlib.suppress(OSError):
        found = path.stat()
        return f"belongs to {_user(found.st_uid)}, mode {found.st_mode & 0o7777:o}"
    return "cannot be looked at"


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _read_only(place: Path | None, where: str) -> str:
    return f"{where} lies on a file system that can only be read; give a place that can be written"


def _not_folder(place: Path | None, where: str) -> str:
    files = [p for p in (place, *place.absolute().parents) if p.is_file()] if place else []
    if files and files[0] != place:
        return f"{shown(files[0])} is a file, so {where} cannot lie in it; give another place"
    return f"{where} is a file where a folder is needed; give another place or move the file away"


def _is_folder(place: Path | None, where: str) -> str:
    return f"{where} is a folder where a file is needed; give the name of a file"


def _exists_already(place: Path | None, where: str) -> str:
    if place and place.is_file():
        return _not_folder(place, where)
    return f"{where} is there already, and nothing is overwritten; give another place or remove it"


def _missing(place: Path | None, where: str) -> str:
    folder = place.parent if place else None
    if folder and not _exists(folder):
        return f"{where} is not there: the folder {shown(folder)} does not exist (any more)"
    return f"{where} is not there (any more); it may have been moved or removed meanwhile"


def _long_name(place: Path | None, where: str) -> str:
    parts = [len(os.fsencode(part)) for part in place.parts] if place else [0]
    limit = f"; a name may have {NAME_BYTES} bytes" if max(parts, default=0) > NAME_BYTES else ""
    return f"the path {shown(where, most=120)} is too long{limit}; give a shorter one"


def _links(place: Path | None, where: str) -> str:
    return f"{where} is a link that leads back to itself; remove it or give another place"


def _files(place: Path | None, where: str) -> str:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return (
        f"too many files are open at once (the limit is {limit}); raise it with `ulimit -n 4096`, "
        "or use fewer background processes (train.workers)"
    )


def _memory(place: Path | None, where: str) -> str:
    return (
        "there is too little memory for this; --dry_run says about how much is needed. A smaller "
        "size, fewer frames or a smaller batch need less; so does `ulimit -v unlimited` where a "
        "limit is set"
    )


def _processes(place: Path | None, where: str) -> str:
    limit = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    return (
        f"no further process or thread can be started (the limit of this user is {limit}); end some, "
        "raise it with `ulimit -u`, or use fewer background processes (train.workers)"
    )


def _gone(place: Path | None, where: str) -> str:
    return (
        f"{where} cannot be reached any more: the disk or the network storage under it has failed or "
        "is gone. Look at the mount, then run the same command again"
    )


def _too_large(place: Path | None, where: str) -> str:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    said = f"`ulimit -f` allows {limit} bytes" if limit > 0 else "its file system takes no larger"
    return f"{where} would become too large a file ({said}); raise the limit or give another place"


def _busy(place: Path | None, where: str) -> str:
    return f"{where} is in use by another program; end it or give another place"


def _not_empty(place: Path | None, where: str) -> str:
    return f"{where} holds files that are not of this run; it is left as it is. Give another place"


def _no_locks(place: Path | None, where: str) -> str:
    return f"{where} lies on a file system without locks; give a place on a local disk"


_SENTENCES = (
    ((errno.EACCES, errno.EPERM), _permission),
    ((errno.EROFS,), _read_only),
    ((errno.ENOTDIR,), _not_folder),
    ((errno.EISDIR,), _is_folder),
    ((errno.EEXIST,), _exists_already),
    ((errno.ENOENT,), _missing),
    ((errno.ENAMETOOLONG,), _long_name),
    ((errno.ELOOP,), _links),
    ((errno.EMFILE, errno.ENFILE), _files),
    ((errno.ENOMEM,), _memory),
    ((errno.EAGAIN,), _processes),
    (GONE, _gone),
    ((errno.EFBIG,), _too_large),
    ((errno.EBUSY, errno.ETXTBSY), _busy),
    ((errno.ENOTEMPTY,), _not_empty),
    ((errno.ENOLCK, errno.EOPNOTSUPP), _no_locks),
)


def _exists(path: Path) -> bool:
    try:
        return os.path.lexists(path)
    except (OSError, ValueError):
        return False

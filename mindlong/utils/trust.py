"""Whether a file can be trusted to be this user's own, before its code is loaded."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path

from mindlong.utils.shown import shown


def distrust(path: Path) -> str | None:
    """Why the file or folder at `path`, which need not exist, could be somebody else's work; None
    where it could not.

    It must belong to this user, and so must the folder it lies in; nobody else may write to them,
    and in the folders above nobody else may put others in their place.
    """
    place = Path(os.path.realpath(path))
    for here in (place, *place.parents):
        try:
            found = here.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            return f"{shown(here)} cannot be looked at ({error.strerror})"
        owners = {os.geteuid()} if here in (place, place.parent) else {os.geteuid(), 0}
        if found.st_uid not in owners:
            return f"{shown(here)} belongs to user {_user(found.st_uid)}"
        above = here not in (place, place.parent)
        if _others_write(found) and not (above and found.st_mode & stat.S_ISVTX):
            return f"{shown(here)} can be written by other users"
    return None


def _others_write(found: os.stat_result) -> bool:
    mode = found.st_mode
    return bool(mode & stat.S_IWOTH or (mode & stat.S_IWGRP and not _is_private(found.st_gid)))


def _is_private(group: int) -> bool:
    """Whether a group is this user's alone, as many systems make one for every user."""
    try:
        user, found = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    own = group == user.pw_gid and found.gr_name == user.pw_name
    return own and set(found.gr_mem) <= {user.pw_name}


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)

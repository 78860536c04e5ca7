"""Names of files and folders that a user may choose: names, never paths."""

from __future__ import annotations

import os
import re

LONGEST = 150  # bytes: suffixes and what is written beside a file need room too
RESERVED = {  # on Windows, where results may be copied to
    *("con", "prn", "aux", "nul"),
    *(f"{device}{n}" for device in ("com", "lpt") for n in range(1, 10)),
}
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')


def problem(name: str, taken: tuple[str, ...] = ()) -> str | None:
    """Why `name` cannot be the name of a file or folder in a run's own folder, or None.

    Args:
        taken: names that the run itself uses there.
    """
    found = _FORBIDDEN.search(name)
    if not name.strip():
        return "it is empty; a name needs a letter or a digit"
    if found and found[0] in "/\\":
        return f"it holds {found[0]!r}; a name is wanted, not a path"
    if found:
        return f"it holds {found[0]!r}, which not every system allows in a name"
    if name.startswith("."):
        return "it starts with a dot; such names are hidden, or lead out of the folder"
    if name != name.strip() or name.endswith("."):
        return "it begins or ends with a blank or a dot, which not every system keeps"
    if len(os.fsencode(name)) > LONGEST:
        return f"it has {len(os.fsencode(name))} bytes; a name may have {LONGEST}"
    if name.split(".")[0].lower() in RESERVED:
        return "some systems keep that name for a device"
    if name.lower() in taken:
        return f"a run itself uses the names {', '.join(taken)}"
    return None

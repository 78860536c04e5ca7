"""Which class a caption names."""

from __future__ import annotations

import re
from collections.abc import Sequence

NONE = -1


def class_of(caption: str, names: Sequence[str]) -> int:
    """The place of the class whose name stands in `caption`, as whole words and in any case; of
    several the longest, then the first. NONE where there is none.
    """
    found = [
        (-len(name), place)
        for place, name in enumerate(names)
        if re.search(rf"(?<!\w){re.escape(name.lower())}(?!\w)", caption.lower())
    ]
    return min(found)[1] if found else NONE

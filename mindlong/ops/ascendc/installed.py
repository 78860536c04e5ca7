"""Whether the 910A operators are built where CANN looks for them."""

from __future__ import annotations

import os
from pathlib import Path

_HEADER = "op_api/include/aclnn_mindlong_attention_forward.h"  # CANN generates it


def unbuilt() -> str | None:
    """Why the operators are not there; None if CANN will find them."""
    custom = [Path(p) for p in os.environ.get("ASCEND_CUSTOM_OPP_PATH", "").split(":") if p]
    vendors = Path(os.environ.get("ASCEND_OPP_PATH") or "/nowhere") / "vendors"
    if any((p / _HEADER).exists() for p in [*custom, *vendors.glob("*")]):
        return None
    return "its operators are not built here (python -m mindlong.ops.ascendc.build)"

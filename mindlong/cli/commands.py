"""The commands by the name of their module here: what a checkout and what an installation calls
them.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

SCRIPTS = {  # module -> the file of a checkout that starts it
    "infer": "infer.py",
    "train": "train.py",
    "app": "app.py",
    "convert": "tools/convert_checkpoint.py",
    "inspect": "tools/inspect_checkpoint.py",
    "chop": "tools/chop_video.py",
    "package_weights": "tools/package_weights.py",
    "run_network": "tools/run_network.py",
    "train_tokenizer": "tools/train_tokenizer.py",
    "fp16_audit": "tools/fp16_audit.py",
    "compare_long": "tools/compare_long.py",
    "compare_videos": "tools/compare_videos.py",
    "doctor": "tools/doctor.py",
    "evaluate_autoencoder": "tools/evaluate_autoencoder.py",
    "evaluate_edits": "tools/evaluate_edits.py",
    "evaluate_interpolation": "tools/evaluate_interpolation.py",
    "evaluate_long": "tools/evaluate_long.py",
    "evaluate_shapes": "tools/evaluate_shapes.py",
    "evaluate_video": "tools/evaluate_video.py",
}
PREFIX = "mindlong-"
_CALL = re.compile(r"python (?:tools/)?(\w+\.py)|\btools/(\w+\.py)")


def console(module: str) -> str:
    """The name that an installation gives to a command: mindlong-run-network."""
    return PREFIX + module.replace("_", "-")


def program(module: str) -> str:
    """The name under which a command was started."""
    return console(module) if is_console() else Path(SCRIPTS[module]).name


def is_console() -> bool:
    """Whether this process was started by a command of an installation."""
    return Path(sys.argv[0]).name.startswith(PREFIX)


def as_started(text: str) -> str:
    """A text whose commands are called as an installation calls them, if one of these started this
    process: there is no tools/ beside it.
    """
    if not is_console():
        return text
    called = {Path(script).name: console(module) for module, script in SCRIPTS.items()}
    return _CALL.sub(lambda match: called.get(match[1] or match[2], match[0]), text)

"""Names of models on a hub, which users type where a folder is wanted: nothing is downloaded here,
and the answer says how to get the folder.
"""

from __future__ import annotations

import re
from pathlib import Path

NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]*\w")
OURS = ("runs", "outputs", "configs", "models", "checkpoints")  # usual folders, no one's models
ADDRESS = re.compile(r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/([\w.-]+/[\w.-]+)")


def advice(place: str) -> str:
    """What to add to the sentence that nothing is at `place`; "" where it is no name of a hub."""
    address = ADDRESS.match(place)
    if place.startswith("~"):
        return "; ~ is not expanded here, write the whole path"
    if place.startswith(("http://", "https://")) and not address:
        return "; an address is not opened, download what it holds and name the folder or file"
    if not address and (not NAME.fullmatch(place) or _is_local(place)):
        return ""
    name = address[1] if address else place
    folder = name.rpartition("/")[2]
    return (
        f"; if {name} is a model on the Hugging Face hub, get its folder with: huggingface-cli download "
        f"{name} --local-dir {folder}, and name {folder} here (docs/bring_your_checkpoint.md)"
    )


def _is_local(place: str) -> bool:
    owner = place.partition("/")[0]
    return owner in OURS or Path(owner).is_dir()

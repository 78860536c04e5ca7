"""The configurations that travel with mindlong: `configs/` of a checkout, `mindlong/configs` of an
installation. They are named by their file's name, without folder and suffix.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from mindlong.utils.errors import ConfigError, did_you_mean

KINDS = {"infer": "mindlong-infer (infer.py)", "train": "mindlong-train (train.py)"}
SUFFIXES = (".yaml", ".yml", ".json")
_PACKAGE = Path(__file__).resolve().parents[1]
_COMMAND = re.compile(r"(python |bash |NPROC=|pip )")


def folder() -> Path:
    """Where the configurations lie, with a folder for each kind: infer, train, model."""
    inside = _PACKAGE / "configs"
    return inside if inside.is_dir() else _PACKAGE.parent / "configs"


def names(kind: str) -> dict[str, Path]:
    """The configurations of a kind (infer, train, model) by name, sorted."""
    place = folder() / kind
    files = sorted(path for path in place.rglob("*") if path.suffix in SUFFIXES)
    return {path.relative_to(place).with_suffix("").as_posix(): path for path in files}


def located(given: str | Path, kind: str) -> Path:
    """The file that `--config GIVEN` means: the file itself where there is one, else the one that
    travels with mindlong and has this name (quickstart_long) or stands under this path
    (configs/infer/quickstart_long.yaml). What is neither comes back as it is, for the reader of the
    file to refuse.

    Raises:
        ConfigError: a bare word that is no name, with the nearest.
    """
    path = Path(given)
    if path.is_file() or path.is_absolute():
        return path
    if path.parts[:1] == ("configs",) and (folder().parent / path).is_file():
        return folder().parent / path
    known = names(kind)
    if path.as_posix() in known:
        return known[path.as_posix()]
    if path.suffix in SUFFIXES or path.exists() or path.as_posix() != str(given):
        return path
    raise ConfigError(_unknown(str(given), kind, list(known)))


def _unknown(given: str, kind: str, known: list[str]) -> str:
    owner = next((other for other in KINDS if other != kind and given in names(other)), "")
    if owner:
        return f"{given} is a configuration for {KINDS[owner]}"
    listing = "" if kind == "model" else "; --config list prints their names"
    return (
        f"no file {given!r} is here, and no configuration of mindlong's own is called so"
        f"{listing}.{did_you_mean(given, known)}"
    )


def listing(kind: str) -> str:
    """A line for each configuration of a kind: its name and what it is for."""
    known = names(kind)
    width = max(map(len, known), default=0)
    lines = [f"{name:<{width}}  {about(path)}" for name, path in known.items()]
    return "\n".join([*lines, "", f"All of them are files in {folder() / kind}"])


def about(path: Path) -> str:
    """What a configuration is for: the first sentence of the remark at its top; of a JSON file,
    which has no remarks, what it makes.
    """
    if path.suffix == ".json":
        return _about_json(json.loads(path.read_text(encoding="utf-8")))
    said: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.removeprefix("#").strip()
        if line[:1] != "#" or _COMMAND.match(text):
            break
        before, sentence_ends, _ = (_COMMAND.split(text)[0].strip() + " ").partition(". ")
        said.append(before.strip())
        if sentence_ends or before.strip()[-1:] == ":":
            break
    return " ".join(said).rstrip(":")


def _about_json(tree: dict) -> str:
    pipe, devices = tree.get("pipe_configs", {}), tree.get("devices", [])
    prompts = pipe.get("prompts") or [""]
    return (
        f"Video-Infinity's form: {len(devices)} x {pipe.get('num_frames')} frames, a clip for each "
        f"device, {prompts[0]!r}"
    )

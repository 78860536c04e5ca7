"""The layers of a checkpoint that stay in float32, beside its weights.

Files of ours have a model file (unet.yaml), which takes them under `float32`. Beside any other
weights stands a file of its own: mindlong.yaml in a folder, NAME.mindlong.yaml beside a file, with
a section `float32` for each network in it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import yaml

from mindlong.config.yaml_file import read_yaml
from mindlong.utils import atomic
from mindlong.utils.errors import ConfigError

NAME = "mindlong.yaml"


def _beside(place: Path) -> Path:
    return place / NAME if place.is_dir() else place.with_name(f"{place.name}.{NAME}")


def read_float32(place: str | Path, part: str) -> tuple[str, ...]:
    """The layers named for `part` in the file beside weights that have no model file of ours.

    Raises:
        ConfigError: the file is not readable, or holds something else.
    """
    path = _beside(Path(place))
    if not path.is_file():
        return ()
    held = (read_yaml(path).get(part) or {}).get("float32", [])
    if not isinstance(held, list) or not all(isinstance(name, str) for name in held):
        raise ConfigError(f"{path}: {part}.float32 is {held!r}; it must be a list of layers' names")
    return tuple(held)


def write_float32(place: str | Path, part: str, names: Sequence[str]) -> Path:
    """Name the layers of `part` beside the weights at `place`; returns the file written."""
    place = Path(place)
    for path in (place / f"{part}.yaml", place.with_suffix(".yaml")):
        if path.is_file() and "family" in read_yaml(path):
            _put(path, names)
            return path
    path = _beside(place)
    content = read_yaml(path) if path.is_file() else {}
    content[part] = {**(content.get(part) or {}), "float32": list(names)}
    atomic.write_text(path, yaml.safe_dump(content, sort_keys=False))
    return path


def _put(path: Path, names: Sequence[str]) -> None:
    """The key `float32` of a model file, whose other lines stay as they are."""
    text = path.read_text(encoding="utf-8")
    kept = re.sub(r"^float32:.*\n(?:[ \-].*\n)*", "", text, flags=re.M)
    line = yaml.safe_dump({"float32": list(names)}, default_flow_style=None, width=10**6)
    atomic.write_text(path, kept.rstrip("\n") + "\n" + line)

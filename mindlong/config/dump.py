"""A configuration as the YAML text that is saved beside what it made."""

from __future__ import annotations

import dataclasses
from typing import Any

import yaml

WORDS = {  # what YAML 1.1 takes for true or false
    form(word)
    for word in ("y", "yes", "n", "no", "true", "false", "on", "off")
    for form in (str.lower, str.upper, str.capitalize)
}


class _Dumper(yaml.Dumper):
    """Quotes texts that look like numbers or truths, also to readers of YAML 1.2."""


def _text(dumper: yaml.Dumper, text: str) -> yaml.ScalarNode:
    style = "'" if text in WORDS or _is_number(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _is_number(text: str) -> bool:
    try:
        float(text)
        return True
    except ValueError:
        return False


_Dumper.add_representer(str, _text)


def to_yaml(values: Any) -> str:
    """Every key of a configuration (dataclasses in dataclasses), in the order of its fields."""
    return yaml.dump(
        dataclasses.asdict(values),
        Dumper=_Dumper,
        default_flow_style=False,
        allow_unicode=True,
        sort_keys=False,
    )

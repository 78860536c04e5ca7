"""The text of `--help`: every key, its type, default and one line, read off the schema."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator
from typing import Any

from mindlong.config.leaves import default_of
from mindlong.config.load import Schema
from mindlong.config.pipelines import PIPELINES
from mindlong.networks.table import networks


def keys_of(schema: type, prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    """(key, type, default, help) of every leaf of a schema, sections in order."""
    hints = typing.get_type_hints(schema)
    for f in dataclasses.fields(schema):
        if dataclasses.is_dataclass(hints[f.name]):
            yield from keys_of(hints[f.name], f"{prefix}{f.name}.")
        else:
            yield prefix + f.name, _type_name(hints[f.name]), _default(f), _help(f)


def _type_name(hint: Any) -> str:
    if hint is Any:
        return "path"
    args = [a for a in typing.get_args(hint) if a is not type(None)]
    if typing.get_origin(hint) in (list, tuple):
        return f"list of {_type_name(args[0])}"
    return _type_name(args[0]) if args else getattr(hint, "__name__", str(hint))


def _default(f: dataclasses.Field) -> str:
    value = default_of(f)
    if value is None or value == "":
        return "empty"
    return str(value).replace("'", "")


def _help(f: dataclasses.Field) -> str:
    text, choices = f.metadata.get("help", ""), f.metadata.get("choices")
    return (
        f"{text} ({', '.join(c or 'empty' for c in choices)})"
        if choices and len(choices) > 1
        else text
    )


def table(schema: Schema) -> str:
    """All keys of `schema` and of the model families or the pipelines as aligned text."""
    blocks = ["keys:\n" + _aligned(list(keys_of(schema)))]
    if schema.KIND == "infer":
        blocks += [
            f"pipeline {name}: {entry.about}\n" + _aligned(_own(entry.schema, name))
            for name, entry in PIPELINES.items()
        ]
        return "\n\n".join(blocks)
    entries = networks()
    for model in dict.fromkeys(entry.keys for entry in entries):
        names = ", ".join(entry.family for entry in entries if entry.keys is model)
        blocks.append(
            f"keys of a model of family {names}:\n" + _aligned(list(keys_of(model, "model.")))
        )
    return "\n\n".join(blocks)


def _own(schema: type, name: str) -> list[tuple[str, str, str, str]]:
    """The keys that a pipeline has of its own."""
    return [row for row in keys_of(schema) if row[0].startswith(f"{name}.")]


def _aligned(rows: list[tuple[str, str, str, str]]) -> str:
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(2)]
    return "\n".join(f"  {k:<{widths[0]}}  {t:<{widths[1]}}  {h} [{d}]" for k, t, d, h in rows)

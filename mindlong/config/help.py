"""The text of `--help`, read off the schema: an overview, the keys that one pipeline or training
reads, one key or section, or everything.
"""

from __future__ import annotations

import dataclasses
import functools
import textwrap
import typing
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from mindlong.config import tasks
from mindlong.config.infer_schema import InferConfig
from mindlong.config.leaves import default_of, leaves
from mindlong.config.load import Schema
from mindlong.config.pipelines import PIPELINES, reader
from mindlong.networks import table
from mindlong.utils.errors import ConfigError, did_you_mean

COLUMNS = 116  # lines are shorter than 120
WIDEST_DEFAULT = 30  # a default that takes more stands in the long help alone
EVERYTHING = "all"
Row = tuple[str, str, str, str]


def keys_of(schema: type, prefix: str = "") -> tuple[Row, ...]:
    """(key, type, default, help) of every leaf of a schema, sections in order."""
    return _keys_of(schema, prefix)


@functools.lru_cache(maxsize=256)
def _keys_of(schema: type, prefix: str) -> tuple[Row, ...]:
    return tuple(
        (leaf.key, _type_name(leaf.hint), _default(leaf.field), _help(leaf.field))
        for leaf in leaves(schema, prefix).values()
    )


def overview(schema: Schema) -> str:
    """What there is to choose from, and how its keys are shown: what `--help` alone says."""
    if schema.KIND == "infer":
        head, word, about = "pipelines", "pipeline", {n: e.about for n, e in PIPELINES.items()}
    else:
        head, word, about = "trainings", "task", {n: e.about for n, e in tasks.TASKS.items()}
    more = {
        f"--help {word}=NAME": f"the keys that it reads, a line each, for instance {word}={list(about)[-1]}",
        "--help KEY": "all that is said of a key or of a section, for instance --help sample.steps",
        "--help all": "every key, with all that is said of it",
    }
    if schema.KIND != "infer":
        more["--help KEY"] = more["--help KEY"].replace("sample.steps", "train.steps")
        more["--help family=NAME"] = "the keys of a model of that family"
    return f"{head}:\n{_listed(about)}\n\nkeys:\n{_listed(more)}"


def topic(schema: Schema, words: Sequence[str]) -> str:
    """The text of `--help WORDS`. Raises ConfigError where a word names nothing that there is."""
    if EVERYTHING in words or not words:
        return everything(schema)
    return "\n\n".join(_topic(schema, word) for word in words)


def everything(schema: Schema) -> str:
    """All keys of `schema` and of the model families or the pipelines, in full."""
    blocks = ["keys:\n" + _whole(keys_of(schema))]
    if schema.KIND == "infer":
        for name, entry in PIPELINES.items():
            blocks.append(_headed(name, entry.about, _whole(_own(entry.schema, name))))
        return "\n\n".join(blocks)
    entries = table.networks()
    for model in dict.fromkeys(entry.keys for entry in entries):
        names = [entry.family for entry in entries if entry.keys is model]
        head = _wrapped(f"keys of a model of family {', '.join(names)}:")
        blocks.append(f"{head}\n{_whole(keys_of(model, 'model.'))}")
    return "\n\n".join(blocks)


def _topic(schema: Schema, word: str) -> str:
    kind, equals, name = word.partition("=")
    infer = schema.KIND == "infer"
    known = PIPELINES if infer else tasks.TASKS
    family = not infer and kind.removeprefix("model.") == "family"
    if equals and not family and kind != ("pipeline" if infer else "task"):
        raise ConfigError(_not_a_topic(schema, word))
    if family and equals:
        return _family(name)
    if equals or word in known:
        return _reader(schema, name if equals else word)
    return _part(schema, word)


def _reader(schema: Schema, name: str) -> str:
    """The keys that a pipeline or a training reads, a line each."""
    infer = schema.KIND == "infer"
    word = "pipeline" if infer else "task"
    known = PIPELINES if infer else tasks.TASKS
    if name not in known:
        raise ConfigError(f"--help {word}={name}: there is none.{did_you_mean(name, known)}")
    entry = PIPELINES[name] if infer else tasks.TASKS[name]
    reads = reader(name) if infer else tasks.reader(name)
    keys = PIPELINES[name].schema if infer else schema
    rows = [row for row in keys_of(keys) if reads.covers(row[0]) or reads.always(row[0])]
    shared = leaves(InferConfig) if infer else [r[0] for r in rows if not _of_task(r[0], name)]
    own = [row for row in rows if row[0] not in shared]
    rest = [row for row in rows if row[0] in shared]
    blocks = [_wrapped(f"{word} {name}: {entry.about}")]
    blocks += [f"its own keys:\n{_short(own)}"] if own else []
    blocks += [f"{'further keys that it reads' if own else 'keys that it reads'}:\n{_short(rest)}"]
    if not infer:
        blocks.append(_models(name))
    return "\n\n".join([*blocks, "--help KEY says all of a key; --help all lists every key."])


def _of_task(key: str, task: str) -> bool:
    return key.startswith(f"{task}.")


def _models(task: str) -> str:
    """Which models a training takes."""
    kind = task if task in tasks.KINDS else "latent"
    found = [e.family for e in table.networks() if tasks.kind_of(e) == kind and _trained(e)]
    names = ", ".join(found)
    return _wrapped(
        f"model.* are the keys of a model file; --help family=NAME lists them, NAME being of {names}"
    )


def _trained(entry: Any) -> bool:
    """Whether a family can be trained at all: what never is refuses its own name."""
    from mindlong.config.schema import TrainConfig

    refused = entry.keys(family=entry.family).training_problems(TrainConfig())
    return not any(problem.startswith("model.family is") for problem in refused)


def _family(name: str) -> str:
    if name not in table.families():
        raise ConfigError(f"--help family={name}: {did_you_mean(name, table.families()).strip()}")
    entry = table.get(name)
    rows = keys_of(entry.keys, "model.")
    return f"{_wrapped(f'family {name}: {entry.about}')}\n{_short(list(rows))}"


def _part(schema: Schema, word: str) -> str:
    """All that is said of a key or a section, or of keys called so in some section."""
    rows = dict.fromkeys(_all_rows(schema))
    under = [row for row in rows if row[0] == word or row[0].startswith(f"{word}.")]
    found = under or [row for row in rows if row[0].rpartition(".")[2] == word]
    if not found:
        raise ConfigError(_not_a_topic(schema, word))
    return _whole(found)


def _all_rows(schema: Schema) -> Iterator[Row]:
    yield from keys_of(schema)
    if schema.KIND == "infer":
        for pipeline in PIPELINES.values():
            yield from (row for row in keys_of(pipeline.schema) if "." in row[0])
        return
    for entry in table.networks():
        yield from keys_of(entry.keys, "model.")


def _not_a_topic(schema: Schema, word: str) -> str:
    choice = "pipeline=" if schema.KIND == "infer" else "task="
    known = PIPELINES if schema.KIND == "infer" else tasks.TASKS
    names = [*(f"{choice}{name}" for name in known), *(row[0] for row in _all_rows(schema))]
    names += [*known, EVERYTHING, *({n.partition(".")[0] for n in names})]
    hint = did_you_mean(word, names)
    if word.startswith(("pipeline=", "task=")) or "Did you mean" not in hint:
        hint = f" --help takes {choice}NAME, a key, or all"
    return f"--help {word}: there is no such key or name.{hint}"


def _type_name(hint: Any) -> str:
    if hint is Any:
        return "path"
    args = [a for a in typing.get_args(hint) if a is not type(None)]
    if typing.get_origin(hint) in (list, tuple):
        return f"list of {_type_name(args[0])}"
    return _type_name(args[0]) if args else getattr(hint, "__name__", str(hint))


def _default(f: dataclasses.Field) -> str:
    value = default_of(f)
    if isinstance(value, bool):
        return str(value).lower()
    return "empty" if value in (None, "", [], {}, ()) else str(value).replace("'", "")


def _bracketed(default: str) -> str:
    return default if default.startswith("[") else f"[{default}]"


def _help(f: dataclasses.Field) -> str:
    text, choices = f.metadata.get("help", ""), f.metadata.get("choices")
    return (
        f"{text} ({', '.join(c or 'empty' for c in choices)})"
        if choices and len(choices) > 1
        else text
    )


def _own(schema: type, name: str) -> list[Row]:
    """The keys that a pipeline has of its own."""
    return [row for row in keys_of(schema) if row[0].startswith(f"{name}.")]


def _headed(name: str, about: str, text: str) -> str:
    return f"{_wrapped(f'pipeline {name}: {about}')}\n{text}"


def _short(rows: Sequence[Row]) -> str:
    """A line for each key: the beginning of what is said of it, and its default."""
    width = max((len(row[0]) for row in rows), default=0)
    return "\n".join(_line(row, width) for row in rows)


def _line(row: Row, width: int) -> str:
    key, _, default, text = row
    behind = f" {_bracketed(default)}" if len(default) <= WIDEST_DEFAULT else " [...]"
    room = COLUMNS - width - 4 - len(behind)
    return f"  {key:<{width}}  {_beginning(text, room)}{behind}"


def _beginning(text: str, room: int) -> str:
    """As much of a text as fits: all of it, its first clause, or that cut between two words."""
    if len(text) <= room:
        return text
    clause = text.partition("; ")[0]
    return clause if len(clause) <= room else textwrap.shorten(clause, room, placeholder=" ...")


def _whole(rows: Iterable[Row]) -> str:
    """Each key with its type and default, and below it all that is said of it."""
    return "\n".join(
        _wrapped(f"  {key}  {kind} {_bracketed(default)}")
        + "\n"
        + textwrap.indent(_filled(text), " " * 6)
        for key, kind, default, text in rows
    )


def _filled(text: str) -> str:
    return textwrap.fill(text, COLUMNS - 6, break_on_hyphens=False)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, COLUMNS, subsequent_indent="      ", break_on_hyphens=False)


def _listed(about: dict[str, str]) -> str:
    width = max(map(len, about))
    lines = (textwrap.wrap(text, COLUMNS - width - 4) for text in about.values())
    between = "\n" + " " * (width + 4)
    return "\n".join(
        f"  {name:<{width}}  {between.join(line)}" for name, line in zip(about, lines, strict=True)
    )

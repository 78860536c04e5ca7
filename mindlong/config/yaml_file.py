"""Reading a YAML file: its keys with the lines they stand in. Only plain data is read; a key that
stands twice and a file that is empty are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mindlong.config.flow import Plain
from mindlong.utils import plain_yaml
from mindlong.utils.errors import ConfigError, did_you_mean
from mindlong.utils.text_file import read_text

KINDS = ("str", "int", "float", "bool", "null", "timestamp", "merge", "value", "map", "seq")
PLAIN = {f"tag:yaml.org,2002:{kind}" for kind in KINDS}  # what words look like; no objects
MERGE = "<<"


@dataclass
class Tree:
    """What a YAML file holds.

    Attributes:
        where: the file, for messages.
        values: nested mappings; words without quotes are `Plain`.
        lines: dotted key -> the line it stands in, counted from 1.
        cut: dotted key -> what stands behind a # that has no blank after it: words that the user
            may have meant to keep.
        notes: sentences for the user on how the file was understood.
    """

    where: str
    values: dict[str, Any]
    lines: dict[str, int] = field(default_factory=dict)
    cut: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def place(self, key: str) -> str:
        """The file and the line of a key, or of the section around it."""
        while key and key not in self.lines:
            key = key.rpartition(".")[0]
        return f"{self.where}, line {self.lines[key]}" if key else self.where


DEEPEST = 100  # brackets inside brackets
_DEEP = re.compile(rf"(?:[\[{{][^\S\n]*){{{DEEPEST}}}")


def read_tree(path: str | Path) -> Tree:
    """The mapping in a YAML file, its words as they stand there.

    Raises:
        ConfigError: a file that is missing, empty, not YAML or not a mapping, or that has a key
            twice.
    """
    text = _text(Path(path))
    if _DEEP.search(text):  # the parser's time grows with the square of the depth
        raise ConfigError(f"{path} is not readable YAML: brackets nested {DEEPEST} deep and more")
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        tree = Tree(str(path), {})
        walk = _Walk(loader, text.splitlines(), tree)
        values = None if node is None else walk.value(node, "")
    except yaml.MarkedYAMLError as error:
        raise ConfigError(_syntax(path, error)) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path} is not readable YAML: {' '.join(str(error).split())}") from None
    if values is None or values == "":
        raise ConfigError(f"{path} is empty; a mapping of keys to values is needed")
    if not isinstance(values, dict):
        kind = "a list" if isinstance(values, list) else f"the text {str(values)[:40]!r}"
        raise ConfigError(f"{path} holds {kind}; a mapping of keys to values is needed")
    tree.values = values
    return tree


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file, its words as the YAML types that they look like. Raises as
    `read_tree`.
    """
    read_tree(path)
    return plain_yaml.read(_text(Path(path)))


def _text(path: Path) -> str:
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; a configuration is a file")
    if not path.is_file():
        near = sorted(p.name for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        hint = did_you_mean(path.name, near) if near else ""
        raise ConfigError(f"no configuration file at {path}.{hint}")
    try:
        return read_text(path, "utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not readable YAML: it is no text in UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None


def _syntax(path: str | Path, error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    line = f", line {mark.line + 1}" if mark else ""
    said = " ".join(f"{error.context or ''} {error.problem or ''}".split())
    return f"{path}{line} is not readable YAML: {said}"


class _Walk:
    """From the nodes of a YAML document to plain data."""

    def __init__(self, loader: yaml.SafeLoader, lines: list[str], tree: Tree) -> None:
        self.loader, self.lines, self.tree = loader, lines, tree
        self.done: dict[int, Any] = {}
        self.open: set[int] = set()

    def value(self, node: yaml.Node, key: str) -> Any:
        """The data of a node; `key` is its dotted name."""
        if node.tag not in PLAIN:
            self._refuse(node, f"the tag {node.tag!r} is not read; values are plain data")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, key)
        if id(node) in self.open:
            self._refuse(node, "an alias that holds itself is not read")
        if id(node) not in self.done:
            self.open.add(id(node))
            self.done[id(node)] = (
                dict(self._entries(node, key))
                if isinstance(node, yaml.MappingNode)
                else [self.value(inner, key) for inner in node.value]
            )
            self.open.discard(id(node))
        return self.done[id(node)]

    def _scalar(self, node: yaml.ScalarNode, key: str) -> str:
        if node.style:
            return node.value
        behind = re.match(r"\s+#(\S.*)", self.lines[node.end_mark.line][node.end_mark.column :])
        if behind:
            self.tree.cut[key] = behind[1]
        return Plain(node.value)

    def _entries(self, node: yaml.MappingNode, prefix: str) -> Iterator[tuple[str, Any]]:
        self._once(node, prefix)
        self.loader.flatten_mapping(node)
        for name, inner in node.value:
            key = f"{prefix}.{name.value}" if prefix else str(name.value)
            self.tree.lines.setdefault(key, name.start_mark.line + 1)
            yield str(name.value), self.value(inner, key)

    def _once(self, node: yaml.MappingNode, prefix: str) -> None:
        seen: dict[str, int] = {}
        for name, _ in node.value:
            if not isinstance(name, yaml.ScalarNode):
                self._refuse(name, "a key is a word")
            line, word = name.start_mark.line + 1, str(name.value)
            if word in seen and word != MERGE:
                key = f"{prefix}.{word}" if prefix else word
                raise ConfigError(
                    f"{self.tree.where}: the key {key!r} stands twice, in line {seen[word]} and in "
                    f"line {line}; keep one of them"
                )
            seen[word] = line

    def _refuse(self, node: yaml.Node, what: str) -> None:
        raise ConfigError(f"{self.tree.where}, line {node.start_mark.line + 1}: {what}")

"""From a YAML file and `key=value` pairs to a typed, checked configuration. No MindSpore here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from mindlong.config import renamed, shipped, tune_a_video_yaml, video_infinity_json
from mindlong.config.command_line import (
    CALL,
    LOADED,
    WHERE,
    Pair,
    keyword_pairs,
    pairs,
    parse_overrides,
)
from mindlong.config.dump import to_yaml
from mindlong.config.given import Given, Setting
from mindlong.config.leaves import built, leaves
from mindlong.config.reads import check_read, is_saved
from mindlong.config.references import resolved
from mindlong.config.rules import check
from mindlong.config.section import MODEL, family_of, family_schema
from mindlong.config.yaml_file import Tree, read_tree, read_yaml
from mindlong.utils.errors import ConfigError

if TYPE_CHECKING:  # both read files with what stands here
    from mindlong.config.infer_schema import InferConfig
    from mindlong.config.schema import TrainConfig

Schema: TypeAlias = "type[InferConfig] | type[TrainConfig]"


@dataclass(frozen=True)
class Loaded:
    """A configuration ready for use.

    Attributes:
        values: typed. path: the file.
        given: the keys that were set, with where.
        notes: sentences for the user.
    """

    values: Any
    path: Path | None
    given: Mapping[str, Setting] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @cached_property
    def text(self) -> str:
        """The resolved YAML to save beside the output."""
        return to_yaml(self.values)


def load(
    path: str | Path | None,
    arguments: Sequence[str] | Mapping[str, Any],
    schema: Schema,
    *,
    saved: bool = False,
    tree: Tree | None = None,
    held: Mapping[str, Any] | None = None,
) -> Loaded:
    """Read `path`, put the `key=value` pairs over it, and return the typed configuration.

    Args:
        arguments: pairs as a command line has them, or keyword arguments of a call, `__` for dots.
        saved: the file is that of a run, which holds every key; what it does not read is no
            mistake of the user's.
        tree: what stands in the place of a file.
        held: keys that a model was loaded with, for all its calls; those that this one does not
            read are no mistake either.

    Raises:
        ConfigError: an unknown key (with the nearest known one), a wrong type, a missing file, a
            value out of range, or a key that these settings do not read.
    """
    called = isinstance(arguments, Mapping)
    given_pairs = keyword_pairs(arguments) if isinstance(arguments, Mapping) else pairs(arguments)
    file, typed_in = schema.words(given_pairs)
    path = path or file
    base = shipped.located(path, schema.KIND) if path else None
    said = {pair.key for pair in typed_in}
    standing = [pair for pair in keyword_pairs(held or {}, LOADED) if pair.key not in said]
    typed_in = [*standing, *typed_in]
    if tree is None:
        tree = _tree(base) if base else Tree(CALL if called else WHERE, {})
    named = next((p.words for p in reversed(typed_in) if p.key == "pipeline"), None)
    schema = schema.chosen(named or tree.values.get("pipeline"), tree.place("pipeline"))
    saved = saved or is_saved(tree.values, leaves(schema))
    typed_in, notes = renamed.pairs_renamed(typed_in, schema.KIND, schema.names())
    tree, noted = renamed.tree_renamed(tree, schema.KIND, leaves(schema))
    given = _read(schema, tree, schema.placed(typed_in), base)
    given.notes += notes if saved else [*notes, *noted]
    return _finish(given, schema, base, saved)


def _tree(base: Path) -> Tree:
    tree = read_tree(base)
    if video_infinity_json.MARKS & tree.values.keys():
        return Tree(str(base), video_infinity_json.translated(read_yaml(base), str(base)))
    theirs = tune_a_video_yaml.MARKS & tree.values.keys()
    if theirs and tune_a_video_yaml.is_training(tree.values):
        return tune_a_video_yaml.training(str(base))
    return tree


def _read(schema: Schema, tree: Tree, typed_in: Sequence[Pair], base: Path | None) -> Given:
    """Everything that file, model file and command line set."""
    keys = dict(leaves(schema))
    of_model = [p for p in typed_in if p.key.split(".")[0] == MODEL] if MODEL in keys else []
    model = _model_tree(tree, of_model, base) if keys.pop(MODEL, None) else None
    rest = {key: value for key, value in tree.values.items() if key != MODEL or model is None}
    if model is not None and (model.values or of_model):
        keys |= leaves(family_of(model, of_model), f"{MODEL}.")
    given = Given(keys, tree.where, lambda key: schema.unknown(key, keys))
    given.add_tree(Tree(tree.where, rest, tree.lines, tree.cut))
    given.notes += tree.notes
    if model is not None:
        given.add_tree(model, f"{MODEL}.")
    for key, note in schema.replaced({p.key for p in typed_in}, given.settings):
        del given.settings[key]
        given.notes.append(note)
    given.of_files = dict(given.settings)
    given.add_pairs(p for p in typed_in if p.key != MODEL)
    return given


def _model_tree(tree: Tree, of_model: Sequence[Pair], base: Path | None) -> Tree:
    """The keys of the `model` section: a path is read, beside the file that names it if it exists
    there.
    """
    whole = next((p.words for p in reversed(of_model) if p.key == MODEL), "")
    held = whole or tree.values.get(MODEL) or {}
    if whole.strip()[:1] == "{":
        held = parse_overrides([f"{MODEL}={whole}"])[MODEL]
    if isinstance(held, str):
        beside = base.parent / held if base and not whole else Path(held)
        return read_tree(beside if beside.exists() else shipped.located(held, MODEL))
    if not isinstance(held, Mapping):
        raise ConfigError(f"{tree.place(MODEL)}: model is a group of keys or the path of a file")
    if whole:
        return Tree(WHERE, dict(held))
    cut = len(MODEL) + 1
    inside = {k[cut:]: line for k, line in tree.lines.items() if k.startswith(f"{MODEL}.")}
    return Tree(tree.where, dict(held), inside)


def _finish(given: Given, schema: type, base: Path | None, saved: bool) -> Loaded:
    values = built_of(schema, resolved(given.values(), given.keys, given.place))
    for key, value, note in values.followed(given.settings):
        values = _with(values, key, value)
        if note:
            given.notes.append(note)
    check(values, given.blame, given.place)
    given.notes += check_read(values, given, _of_file(given, schema), saved)
    return Loaded(values, base, given.settings, tuple(given.notes))


def _of_file(given: Given, schema: type) -> Any:
    """The configuration without what the command line set; None where it then names no model."""
    held = {key: setting.value for key, setting in given.of_files.items()}
    whole = MODEL not in leaves(schema) or f"{MODEL}.family" in held
    return built_of(schema, held) if held and whole else None


def built_of(schema: type, given: Mapping[str, Any]) -> Any:
    """A whole configuration from values by dotted key, its model of the family that they name."""
    if MODEL not in leaves(schema) or f"{MODEL}.family" not in given:
        return built(schema, given)
    model = built(family_schema(given[f"{MODEL}.family"], ""), given, f"{MODEL}.")
    return built(schema, {**given, MODEL: model})


def _with(values: Any, key: str, value: Any) -> Any:
    """The configuration with another value under a dotted key."""
    name, _, rest = key.partition(".")
    return replace(values, **{name: _with(getattr(values, name), rest, value) if rest else value})

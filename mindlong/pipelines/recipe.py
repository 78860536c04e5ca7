"""The recipe of a video, kept in its file: what `infer.py --from FILE` needs to make the same bits.

It is JSON: the configuration without paths, and of each file that the run started from its name
and its SHA-256. Nothing else of the machine is in it.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindlong import __version__
from mindlong.config import prompt_file
from mindlong.config.file_keys import FILES, LORAS, WEIGHTS
from mindlong.config.flow import written
from mindlong.config.lora_words import short
from mindlong.config.yaml_file import Tree
from mindlong.media.recipe import MOST, read_comment
from mindlong.pipelines.inputs import without_places
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.log import once
from mindlong.utils.placed import SHIPPED, stays
from mindlong.utils.shown import shown

if TYPE_CHECKING:
    from mindlong.checkpoints.inputs import Known

MARK = "mindlong"  # the key that tells a recipe of ours from other comments
PRIVATE = ("env",)  # sections of the machine, not of the video
PROMPTS = ("prompt", "prompts")  # keys that may hold files of prompts
LOST = "PATH"  # in sentences: what stands for a file that is not here


@dataclass(frozen=True)
class Recipe:
    """What a file says of how it was made.

    Attributes:
        where: the file.
        version: of mindlong.
        config: nested keys, without paths.
        files: key -> name and sha256 of each file that the run started from.
        video: which of the run's videos it is.
        bf16: whether it was computed with env.bf16, of which all numbers depend.
    """

    where: Path
    version: str
    config: Mapping[str, Any]
    files: Mapping[str, Mapping[str, str]]
    video: str
    bf16: bool = False


def text_of(config_text: str, inputs: Known, video: str, bf16: bool = False) -> str:
    """The recipe of the files called `video` of a run; "" where it would be too long to keep.

    Args:
        config_text: the run's whole configuration as YAML.
        inputs: the files that the run starts from.
        bf16: whether it is computed with env.bf16, which not every machine can.
    """
    tree = without_places(config_text)
    for section in PRIVATE:
        tree.pop(section, None)
    held = {
        MARK: __version__,
        "video": video,
        "config": tree,
        "files": {key: _known(value) for key, value in inputs.items()},
        **({"bf16": True} if bf16 else {}),
    }
    text = json.dumps(held, separators=(",", ":"))
    if len(text) <= MOST:
        return text
    once(f"the recipe has {len(text):,} letters and is not kept in the files; config.yaml has it")
    return ""


def _known(value: Mapping[str, Any]) -> dict[str, str]:
    path = str(value["path"])
    name = path if path.startswith(SHIPPED) else Path(path).name
    return {"name": name, "sha256": str(value["sha256"])}


def read(path: str | Path) -> Recipe:
    """The recipe in a file.

    Raises:
        InputFileError: the file is missing, cannot be read, has no recipe, or a damaged one.
    """
    place = Path(path)
    text = read_comment(place)
    try:
        held = json.loads(text) if len(text) <= 10 * MOST else None
    except (ValueError, RecursionError):
        held = None
    if not isinstance(held, dict) or MARK not in held:
        raise InputFileError(
            f"{shown(place)} keeps no recipe of mindlong; it was made elsewhere, with recipe=false, "
            "or a program has taken its comment away"
        )
    config, files = held.get("config"), held.get("files")
    if not isinstance(config, dict) or not _are_files(files):
        raise InputFileError(f"{shown(place)} keeps a recipe that is damaged")
    bf16 = held.get("bf16") is True
    return Recipe(place, str(held[MARK]), config, files, str(held.get("video", "")), bf16)


def _are_files(files: Any) -> bool:
    return isinstance(files, dict) and all(
        isinstance(value, dict) and {"name", "sha256"} <= value.keys() for value in files.values()
    )


def tree_of(recipe: Recipe, given: Mapping[str, str]) -> Tree:
    """The configuration of a recipe, with those of its files found that were not `given` by key.

    A file is looked for by its name, here and beside the recipe's file.

    Raises:
        InputFileError: files are missing; the sentence names all of them.
    """
    tree: dict[str, Any] = json.loads(json.dumps(dict(recipe.config)))
    _refuse_paths(recipe, tree)
    missing: dict[str, str] = {}
    for key, held in recipe.files.items():
        if "(" in key or _is_given(key, given):
            continue  # found with the file that it belongs to, or given anew
        found = _found(str(held["name"]), recipe.where.parent)
        if found is None:
            missing[key] = f"{key} ({shown(held['name'])}, SHA-256 {str(held['sha256'])[:12]})"
        _put(tree, key, found or LOST)
    if missing:
        listed = ", ".join(missing.values())
        raise InputFileError(
            f"{shown(recipe.where)} was made with files that are not here: {listed}; "
            f"say where they are, for example {_typed(tree, next(iter(missing)))}"
        )
    return Tree(f"the recipe in {recipe.where.name}", tree)


def _typed(tree: Mapping[str, Any], key: str) -> str:
    """`KEY=VALUE` to type for a lost file: the whole value with LOST in its place, because a key
    that is typed takes the place of all that the recipe has of it. Prompts are typed under one key.
    """
    name = key.partition("[")[0]
    value = _value(tree, name)
    if name in PROMPTS and tree.get("prompt") and tree.get("prompts"):
        name, value = "prompts", [tree["prompt"], *tree["prompts"]]
    texts = [str(each) for each in value] if isinstance(value, list) else []
    if name == LORAS:
        texts = [short(each) for each in texts]
    return f"{name}={shlex.quote(shown(written(texts) if texts else value or LOST))}"


def _value(tree: Any, key: str) -> Any:
    """What a tree has under a dotted key; None where it has nothing."""
    for name in key.split("."):
        tree = tree.get(name) if isinstance(tree, Mapping) else None
    return tree


def _refuse_paths(recipe: Recipe, tree: Mapping[str, Any]) -> None:
    """Files of prompts are among the files of a recipe; no run writes their paths."""
    for key in PROMPTS:
        held = tree.get(key, [])
        for prompt in held if isinstance(held, list) else [held]:
            if prompt_file.file_of(str(prompt)):
                raise InputFileError(
                    f"{shown(recipe.where)} keeps a recipe that names {shown(prompt)} for its prompts, which no "
                    "run writes there"
                )


def _is_given(key: str, given: Mapping[str, str]) -> bool:
    """Whether the command line has a key, perhaps without its section; `prompt` and `prompts` take
    the place of each other.
    """
    name = key.partition("[")[0]
    if name in PROMPTS and set(PROMPTS) & set(given):
        return True
    return name in given or name.rpartition(".")[2] in given


def _found(name: str, folder: Path) -> str | None:
    if name.startswith(SHIPPED):
        return name if stays(name) else None  # a stranger wrote it
    safe = Path(name).name
    return next((str(p) for p in (Path(safe), folder / safe) if safe and p.exists()), None)


def _put(tree: dict[str, Any], key: str, path: str) -> None:
    """Set a key of WEIGHTS or FILES, "interpolate.images[2]" among them, a file of prompts, or put
    the path of a LoRA before its strengths; others are not set.
    """
    name, _, number = key.partition("[")
    if name in PROMPTS and prompt_file.MARK in tree.get(name, ()):
        named, held = f"{prompt_file.MARK}{path}", tree[name]
        tree[name] = _with_first(held, named) if isinstance(held, list) else named
        return
    if name == LORAS:
        _put_lora(tree.get(LORAS), number.rstrip("]"), path)
        return
    if name not in (*WEIGHTS, *FILES):
        return
    *sections, last = name.split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
    if number:
        tree.setdefault(last, []).append(path)
    else:
        tree[last] = path


def _put_lora(loras: Any, number: str, path: str) -> None:
    """Put the path of a LoRA before its strengths, where a recipe has them."""
    if isinstance(loras, list) and number.isdecimal() and int(number) < len(loras):
        loras[int(number)] = path + str(loras[int(number)])


def _with_first(prompts: list[str], named: str) -> list[str]:
    """The prompts with the first file that has no name given one."""
    place = prompts.index(prompt_file.MARK)
    return [*prompts[:place], named, *prompts[place + 1 :]]


def differences(recipe: Recipe, inputs: Known, bf16: bool) -> list[str]:
    """Sentences on what keeps a run with these `inputs`, and env.bf16, from giving the recipe's
    bits.
    """
    found = []
    for key, held in recipe.files.items():
        now = inputs.get(key, {}).get("sha256")
        if now != held["sha256"]:
            found.append(f"{key} is not the file that the recipe was made with")
    if recipe.version != __version__:
        found.append(f"the recipe is of mindlong {recipe.version}, this is {__version__}")
    if recipe.bf16 != bf16:
        was, now = (str(value).lower() for value in (recipe.bf16, bf16))
        found.append(f"the recipe was made with env.bf16={was}, this run asks for env.bf16={now}")
    return found


def refuse_both(config: str | None, source: str | None) -> None:
    """Raise ConfigError where --config and --from are both given."""
    if config and source:
        raise ConfigError("--config and --from are both given; a recipe is a whole configuration")

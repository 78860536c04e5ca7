"""Other programs' Tune-A-Video configurations, read as they are: mindone's YAML and command words,
the original's YAML. What they leave open stands in the configuration that is shipped for that
version of Stable Diffusion (configs/train/tune_a_video_*.yaml).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import yaml

from mindlong.config import shipped
from mindlong.config.command_line import Pair
from mindlong.config.tune_a_video_words import (
    INFERENCE,
    MINDONE,
    MINDONE_IDLE,
    ORIGINAL,
    ORIGINAL_IDLE,
    VERSIONS,
    Turn,
    same,
)
from mindlong.config.yaml_file import Tree, read_yaml
from mindlong.utils.errors import ConfigError, did_you_mean

MARKS = {"video_path", "train_data"}  # keys of which such a file has one


def is_training(values: Mapping[str, Any]) -> bool:
    """Whether a file is a training's of mindone or of the original."""
    data = values.get("train_data")
    return "video_path" in values or (isinstance(data, Mapping) and "video_path" in data)


def training(path: str) -> Tree:
    """Such a file as a configuration of ours, with notes on what it leaves open.

    Raises:
        ConfigError: an unknown word with the nearest, a version or a value that is not known.
    """
    given = dict(_flat(read_yaml(path)))
    theirs = "train_data.video_path" in given
    table, idle = (ORIGINAL, ORIGINAL_IDLE) if theirs else (MINDONE, MINDONE_IDLE)
    _check(given, [*table, *idle], path)
    name = "tune_a_video_sd15" if theirs else version(given.get("version", "2.0"), path)
    values = _base(name)
    for key, value in _ours(given, table, path):
        _put(values, key, value)
    return Tree(path, values, notes=tuple(_notes(given, idle, name, theirs)))


def version(word: Any, where: str) -> str:
    """The shipped configuration for a version of Stable Diffusion, as mindone calls it."""
    if str(word) not in VERSIONS:
        raise ConfigError(f"{where}: version is {word!r}.{did_you_mean(str(word), VERSIONS)}")
    return VERSIONS[str(word)]


def training_words(pairs: Sequence[Pair]) -> tuple[str, list[Pair]]:
    """What mindone's words on the command line ask for: the file to read ("" where they name none),
    and the pairs with our keys.
    """
    words = {pair.key: pair.words for pair in pairs}
    file = words.get("train_config", "")
    if not file and "version" in words:
        file = str(shipped.names("train")[version(words["version"], "the command line")])
    return file, [made for pair in pairs for made in _training_pair(pair, words)]


def _training_pair(pair: Pair, words: Mapping[str, str]) -> Iterator[Pair]:
    if pair.key in ("train_config", "pretrained_model_file"):
        return
    if pair.key == "version":
        if "train_config" in words:
            where = "the command line"
            yield Pair("model", str(shipped.names("model")[version(pair.words, where)]))
    elif pair.key == "pretrained_model_path":
        yield Pair("latents.unet_weights", _weights(words))
    elif pair.key in MINDONE and pair.key not in ("prompt", "seed", "optim"):
        key, turn = MINDONE[pair.key]
        value = turn(yaml.safe_load(pair.words)) if turn is not same else None
        words_of = pair.words if turn is same else yaml.safe_dump(value, default_flow_style=True)
        yield Pair(key, words_of.removesuffix("...\n").strip())
    elif pair.key == "prompt" and "video_path" in words:
        yield Pair("tune.prompt", pair.words)
    else:
        yield pair


def inference_words(pairs: Sequence[Pair]) -> list[Pair]:
    """mindone's words on the command line of a run that names a checkpoint by them, as ours."""
    found = [
        replace(pair, key=INFERENCE.get(pair.key, pair.key))
        for pair in pairs
        if pair.key not in ("version", "H", "W", "scale")
    ]
    words = {pair.key: pair.words for pair in pairs}
    if "H" in words or "W" in words:
        found.append(Pair("size", f"[{words.get('H', 512)}, {words.get('W', 512)}]"))
    if "scale" in words:
        found.append(Pair("sample.guidance", words["scale"]))
    return found if "pipeline" in words else [Pair("pipeline", "edit"), *found]


def _weights(values: Mapping[str, Any]) -> str:
    folder, file = values.get("pretrained_model_path"), values.get("pretrained_model_file")
    return str(PurePosixPath(str(folder or "models")) / str(file)) if file else str(folder)


def _base(name: str) -> dict[str, Any]:
    values = read_yaml(shipped.names("train")[name])
    return values | {"model": str(shipped.names("model")[name])}


def _ours(
    given: Mapping[str, Any], table: Mapping[str, tuple[str, Turn]], where: str
) -> Iterator[tuple[str, Any]]:
    for word, (key, turn) in table.items():
        if given.get(word) is not None and given[word] != []:
            try:
                yield key, turn(given[word])
            except ConfigError as error:
                raise ConfigError(f"{where}: {error}") from None
    if "clip_grad" in given:
        yield "train.clip_norm", given.get("max_grad_norm", 1.0) if given["clip_grad"] else 0.0
    if table is MINDONE and (
        given.get("pretrained_model_path") or given.get("pretrained_model_file")
    ):
        yield "latents.unet_weights", _weights(given)
    if "train_data.height" in given or "train_data.width" in given:
        yield "data.size", [given.get(f"train_data.{side}", 512) for side in ("height", "width")]


def _notes(given: Mapping[str, Any], idle: Sequence[str], name: str, theirs: bool) -> Iterator[str]:
    program = "Tune-A-Video" if theirs else "mindone"
    yield f"words of {program}; what they leave open is as in configs/train/{name}.yaml"
    read = (
        "version",
        "pretrained_model_path",
        "pretrained_model_file",
        "clip_grad",
        "max_grad_norm",
    )
    unread = [
        word
        for word in idle
        if word in given and word not in read and word.split(".")[-1] not in ("width", "height")
    ]
    if unread:
        yield f"{', '.join(unread)}: nothing here corresponds to them, they are left out"
    if theirs:
        yield "the model is taken for Stable Diffusion 1.x; model=tune_a_video_sd20 (or _sd21) says another"


def _check(given: Iterable[str], known: Sequence[str], where: str) -> None:
    for word in given:
        if word not in known:
            raise ConfigError(f"{where}: unknown key {word!r}.{did_you_mean(word, known)}")


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    *sections, last = key.split(".")
    for name in sections:
        values = values.setdefault(name, {})
    values[last] = value

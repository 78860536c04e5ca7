"""The files that a run of infer.py starts from, by their content: weights, videos, images, latents.

A run remembers them in run.json. Where they lie does not matter; that they are the same does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindlong.checkpoints import inputs
from mindlong.checkpoints.locate import find_branch, locate
from mindlong.checkpoints.lora import adapter
from mindlong.checkpoints.lora.read import locate as locate_lora
from mindlong.checkpoints.run_config import config_of
from mindlong.config.file_keys import FILES, LORAS, WEIGHTS
from mindlong.config.lora_words import every, without_paths
from mindlong.config.prompt_file import MARK, file_of
from mindlong.utils import plain_yaml
from mindlong.utils.errors import ConfigError, InputFileError

if TYPE_CHECKING:
    from mindlong.checkpoints.inputs import Known
    from mindlong.config.schema import TrainConfig

# keys that say where a run is written or worked on, not what is made
PLACES = ("output", "hierarchical.work")
# of a training: sections that rule over its weights, and keys of `latents` that name files
RULING = ("model", "diffusion", "interpolation", "infinet")
TRAINED_WITH = ("vae", "text_weights", "tokenizer", "image_encoder", "projector")


def inputs_of(config: Any) -> Known:
    """Every file that a configuration names, known by its content.

    Raises:
        InputFileError: one is missing or cannot be read; the sentence names the key.
    """
    found: Known = {}
    for key in (*WEIGHTS, *FILES):
        for name, path in _named(config, key):
            found[name] = (inputs.weights if key in WEIGHTS else inputs.files)(path, key)
            if key in WEIGHTS:
                found |= {**_branch_beside(name, path), **_of_training(name, path)}
    loras = getattr(config, LORAS, ())
    for number, each in enumerate(every(loras, LORAS) if loras else ()):
        found |= _lora(f"{LORAS}[{number}]", each.path)
    return found | _prompts(config)


def _lora(key: str, path: str) -> Known:
    """A LoRA file, and PEFT's configuration beside it where its alphas stand there."""
    file = locate_lora(path)
    found = {key: inputs.files(file, LORAS)}
    config = adapter.beside(file)
    return found | ({f"{key} (its {config.name})": inputs.files(config, LORAS)} if config else {})


def _prompts(config: Any) -> Known:
    """Files of prompts."""
    given = [("prompt", getattr(config, "prompt", ""))]
    given += [(f"prompts[{i}]", p) for i, p in enumerate(getattr(config, "prompts", []))]
    return {key: inputs.files(file_of(p), key) for key, p in given if file_of(p)}


def without_places(text: str) -> dict[str, Any]:
    """A configuration's YAML as a tree, without the keys that only say where files are."""
    tree = plain_yaml.read(text)
    tree.pop("preview_every", None)  # what is seen meanwhile changes no result
    for key in (*WEIGHTS, *FILES, *PLACES):
        *sections, last = key.split(".")
        node = tree
        for section in sections:
            node = node.get(section) if isinstance(node, Mapping) else None
        if isinstance(node, Mapping):
            node.pop(last, None)
    if tree.get(LORAS):
        tree[LORAS] = without_paths(tree[LORAS])
    else:  # as runs from before there were any
        for key in (LORAS, f"{LORAS}_strict"):
            tree.pop(key, None)
    for key in ("prompt", "prompts"):
        if isinstance(tree.get(key), list):
            tree[key] = [MARK if file_of(str(p)) else p for p in tree[key]]
        elif file_of(str(tree.get(key, ""))):
            tree[key] = MARK
    return tree


def _named(config: Any, key: str) -> Iterator[tuple[str, str]]:
    """(key, path) of what a key names; (key[number], path) where it is a list."""
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part, None)
    if isinstance(value, str) and value:
        yield key, value
    elif isinstance(value, list):
        yield from ((f"{key}[{number}]", path) for number, path in enumerate(value))


def _branch_beside(key: str, weights: str) -> Known:
    """The control branch in a folder of weights, which is taken without being named."""
    branch = find_branch(weights, "")
    return {f"{key} (its branch)": inputs.files(branch, key)} if branch else {}


def _of_training(key: str, weights: str) -> Known:
    """What weights of a training were trained with and are run with: the configuration that rules
    over them, and the files that it names.
    """
    try:
        config: TrainConfig = config_of(_inside(locate(weights)))
    except (InputFileError, ConfigError):
        return {}
    whole = asdict(config)
    ruling = {section: whole[section] for section in RULING}
    ruling |= {
        "frames": config.data.frames,
        "size": config.data.size,
        "scaling": config.latents.scaling,
    }
    found: Known = {
        f"{key} (its configuration)": {"path": weights, "sha256": inputs.digest(ruling)}
    }
    text = getattr(config.model, "text", None)
    named = {f"latents.{name}": getattr(config.latents, name) for name in TRAINED_WITH}
    named |= {f"model.text.{name}": getattr(text, name, "") for name in ("weights", "tokenizer")}
    for name, path in named.items():
        if path:
            read = inputs.files if name.endswith("tokenizer") else inputs.weights
            with contextlib.suppress(InputFileError):  # gone, and perhaps not needed
                found[f"{key} (its {name})"] = read(path, name)
    return found


def _inside(place: Path) -> Path:
    return place / "file" if place.is_dir() else place

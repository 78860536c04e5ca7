"""The configuration of a call: keyword arguments are the keys of infer.py."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mindlong.config.infer_schema import InferConfig
from mindlong.config.load import Loaded, load
from mindlong.config.pipelines import function
from mindlong.config.pipelines import pipeline as pipeline_called
from mindlong.parallel import memory
from mindlong.utils.errors import ConfigError

AT_LOADING = ("latent", "attention", "env")  # sections that `load` takes; `latent` calls take too
OF_FILES = ("output", "formats", "gif_max_mb", "scale", "recipe")
DTYPE = "latent.dtype"


def configured(
    pipeline: str,
    source: str,
    own: Mapping[str, Any],
    given: Mapping[str, Any],
    config: str | Path | None = None,
) -> Loaded:
    """The configuration of a call of `pipeline` on the model at `source`.

    Args:
        own: the keys that the model was loaded with. given: those of the call, `__` for dots; None
            is the default.
        config: a file whose keys are taken first.

    Raises:
        ConfigError: an unknown key, with the nearest one; a wrong value; a key that is not read.
    """
    keys = joined({}, given)
    for key in keys:
        _check(key)
    if pipeline == "pixel" and DTYPE in own:
        raise ConfigError(
            f"dtype is {own[DTYPE]}; {source} is a network in pixels, which computes in float32: "
            "leave dtype out"
        )
    held = {**own, "weights": source}
    return load(config, {**keys, "pipeline": pipeline}, InferConfig, held=held)


def joined(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of both, dotted, without those that are None: the default. Raises ConfigError where
    one is given twice.
    """
    found: dict[str, Any] = {}
    for name, value in (*first.items(), *second.items()):
        key = name.replace("__", ".")
        if value is None:
            continue
        if key in found:
            raise ConfigError(f"the call: {key} is given twice; give it once")
        found[key] = value
    return found


def planned(pipeline: str, loaded: Loaded) -> list[str]:
    """What infer.py would say of a run. Raises what it would refuse."""
    found = function(pipeline_called(pipeline).plan)(loaded)
    env = loaded.values.env
    memory.check(found.memory, found.lower, env.device_target, ignore=env.memory == "ignore")
    return [*loaded.notes, *found.notes]


def _check(key: str) -> None:
    """Raise ConfigError for keys that a call has no use for."""
    section = key.partition(".")[0]
    if key in OF_FILES:
        raise ConfigError(f"{key} is not read by a call, which writes nothing; see Video.save")
    if section in ("env", "attention"):
        raise ConfigError(f"{key} holds for all calls of a model: give it to mindlong.load")
    if key in ("pipeline", "weights"):
        raise ConfigError(f"{key} is the model's own: mindlong.load and the call choose it")

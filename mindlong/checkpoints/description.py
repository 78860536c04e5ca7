"""What a converted file says of itself: its networks' sizes, and how the original's file named and
packed them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindlong.checkpoints.faults import CorruptCheckpoint
from mindlong.checkpoints.folders import MAX_CONFIG
from mindlong.config.section import spec_of
from mindlong.config.yaml_file import read_yaml
from mindlong.networks import table
from mindlong.utils.errors import ConfigError
from mindlong.utils.json_file import read_table

if TYPE_CHECKING:
    from mindlong.checkpoints.convert import Plan
    from mindlong.checkpoints.weight_file import WeightFile

MODEL, SOURCE = "mindlong_model", "mindlong_source"  # in the metadata of converted files
CONFIG, PIPELINE = "config", "pipeline"  # of the source: config.json as text; that of all parts
THEIR_LAYOUTS = ("diffusers", "diffusers_old", "transformers")  # whose files have a config.json


def model_of(plans: Sequence[Plan]) -> dict[str, Any]:
    """The sizes of converted networks: the keys of what denoises at the top, other parts under
    their names.
    """
    found: dict[str, Any] = {}
    for plan in plans:
        top = plan.format.network.role == "network"
        found |= section_of(plan) if top else {plan.format.part: section_of(plan)}
    return found


def section_of(plan: Plan) -> dict[str, Any]:
    """The `model` section of one network, as a configuration has it."""
    return plan.format.network.section(plan.spec)


def source_of(
    weights: WeightFile, plans: Sequence[Plan]
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """For each part what an export needs to give back the original's file, and remarks."""
    found: dict[str, dict[str, str]] = {}
    remarks: list[str] = []
    for plan in plans:
        form = plan.match.format
        facts, notes = form.facts(weights, plan.match.prefix)
        prefix = (
            plan.match.prefix.removeprefix(f"{form.part}.")
            if weights.path.is_dir()
            else plan.match.prefix
        )
        found[form.part] = {"layout": form.layout, "prefix": prefix, **facts}
        config = weights.config_of(plan.match.prefix)
        if config and form.layout in THEIR_LAYOUTS and not plan.match.based:
            found[form.part][CONFIG] = json.dumps(config)
        remarks += notes
    index = weights.path / "model_index.json" if weights.path.is_dir() else None
    if index and index.is_file() and not any(plan.match.based for plan in plans):
        found[PIPELINE] = {
            CONFIG: json.dumps(read_table(index, "the parts of a pipeline", MAX_CONFIG))
        }
    return found, remarks


def metadata(model: Mapping[str, Any], source: Mapping[str, Any]) -> dict[str, str]:
    """Both, as text for the metadata of a file."""
    return {MODEL: json.dumps(model), SOURCE: json.dumps(source)}


def read_model(weights: WeightFile, model: str | None) -> dict[str, Any]:
    """The description of a file of ours: from the model file named, from beside it, from the file
    itself, or from above it.

    Raises:
        ConfigError: there is none. CorruptCheckpoint: it is damaged.
    """
    if model:
        return read_yaml(model)
    where = weights.path.absolute()
    beside = {
        part: read_yaml(where / f"{part}.yaml")
        for part in table.parts()
        if (where / f"{part}.yaml").is_file()
    }
    if beside:
        top = [part for part in beside if table.role_of(part) == "network"]
        return {**(beside.pop(top[0]) if top else {}), **beside}
    if MODEL in weights.metadata:
        return _table(weights, MODEL)
    for path in (
        where.with_suffix(".yaml"),
        *(folder / "config.yaml" for folder in where.parents[:3]),
    ):
        if path.is_file():
            content = read_yaml(path)
            return {**content.get("model", content), **_text_of(content.get("latents"))}
    raise ConfigError(
        f"{weights.path} does not say which network it is; give --model YAML (a file of configs/model)"
    )


def _text_of(latents: Any) -> dict[str, Any]:
    """The text encoder that a training run of a latent family trained beside its UNet."""
    named = (
        latents.get("text_encoder")
        if isinstance(latents, Mapping) and not latents.get("text_weights")
        else ""
    )
    return {"text_encoder": read_yaml(named)} if named and Path(named).is_file() else {}


def read_source(weights: WeightFile) -> dict[str, dict[str, str]]:
    """What `source_of` left in a file, or in one of a pipeline's; empty where nothing is there.

    Raises:
        CorruptCheckpoint: it is not what was left.
    """
    found = _found(weights, SOURCE)
    sound = all(
        isinstance(row, dict) and all(isinstance(value, str) for value in row.values())
        for row in found.values()
    )
    if not sound:
        raise CorruptCheckpoint(f"{weights.path}: what its metadata says under {SOURCE} is damaged")
    return found


def stored_model(weights: WeightFile) -> dict[str, Any]:
    """The sizes that a conversion left in a file, whatever was written beside it since."""
    return _found(weights, MODEL)


def _found(weights: WeightFile, key: str) -> dict[str, Any]:
    """A table in the metadata; a pipeline's folder has it once for each part."""
    names = [name for name in weights.metadata if name == key or name.endswith(f".{key}")]
    return {k: v for name in names for k, v in _table(weights, name).items()}


def part_of(model: Mapping[str, Any], part: str, where: str) -> Mapping[str, Any]:
    """The keys of one part. Raises ConfigError where the description does not have it."""
    family, parts = model.get("family"), table.parts()
    part = part if part in parts else table.role_of(part) or part
    if family in table.families() and table.get(family).part == part:
        return {key: value for key, value in model.items() if key not in parts}
    if isinstance(model.get(part), Mapping):
        return model[part]
    inside = [n for n in table.networks(part) if n.module and n.module.whole == family]
    if inside:
        own = {key: value for key, value in model.items() if key not in parts}
        return inside[0].section(spec_of(own))
    raise ConfigError(f"the description of {where} has no {part!r}; give --model YAML that has")


def _table(weights: WeightFile, key: str) -> dict[str, Any]:
    try:
        table = json.loads(str(weights.metadata[key]))
    except (ValueError, RecursionError):
        table = None
    if not isinstance(table, dict):
        raise CorruptCheckpoint(
            f"{weights.path}: what its metadata says under {key} is not readable"
        )
    return table

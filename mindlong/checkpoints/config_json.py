"""The JSON files of a folder that diffusers loads: as the source had them, but for what was changed
since.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindlong.checkpoints.description import CONFIG, PIPELINE, THEIR_LAYOUTS
from mindlong.checkpoints.folders import SCHEDULER
from mindlong.config.section import spec_of
from mindlong.networks import table
from mindlong.utils.errors import UserError
from mindlong.utils.needed import needed

if TYPE_CHECKING:
    from mindlong.checkpoints.convert import Plan
    from mindlong.checkpoints.weight_file import WeightFile
    from mindlong.networks.network import Network

_DTYPE = ("torch_dtype", "dtype")  # keys that name the format of the numbers


def of_part(plan: Plan, source: Mapping[str, str], sizes: Mapping[str, Any]) -> dict[str, Any]:
    """The config.json of one network.

    Args:
        source: what the conversion from the original left of it.
        sizes: the model section that the conversion left; what differs from it now is a change of
            the user's, and goes before what the source said.
    """
    network = plan.format.network
    made, kept = needed(network.hub, "hub").config(plan.spec), _kept(source)
    if not kept or plan.format.layout not in THEIR_LAYOUTS:
        return made
    before = _made_before(network, sizes)
    changed = {key: value for key, value in made.items() if value != before.get(key)}
    return {**kept, **changed, **_dtype(plan, kept)}


def of_pipeline(
    plans: Sequence[Plan],
    beside: Iterable[str],
    source: Mapping[str, Mapping[str, str]],
    weights: WeightFile,
) -> dict[str, Any]:
    """The model_index.json of a folder with all parts; the source's, where it had one.

    Args:
        beside: tokenizer and scheduler, where the folder has them.
    """
    made, kept = _index(plans, beside, weights), _kept(source.get(PIPELINE, {}))
    if not kept:
        return made
    absent = {
        key: [None, None]
        for key, value in kept.items()
        if isinstance(value, list) and len(value) == 2 and key not in made
    }
    return {**made, **kept, **absent}


def _index(plans: Sequence[Plan], beside: Iterable[str], weights: WeightFile) -> dict[str, Any]:
    networks = [plan.format.network for plan in plans]
    hubs = [needed(network.hub, f"the hub's {network.family}") for network in networks]
    whole = next(hub for hub, n in zip(hubs, networks, strict=True) if n.denoiser)
    tokenizers = [hub.tokenizer for hub in hubs if hub.tokenizer] or ["CLIPTokenizer"]
    others = {
        "tokenizer": ["transformers", tokenizers[0]],
        "scheduler": ["diffusers", _scheduler_class(weights.beside.get(SCHEDULER))],
    }
    return {
        "_class_name": whole.pipeline,
        **{
            hub.folder or n.part: [hub.library, hub.name]
            for hub, n in zip(hubs, networks, strict=True)
        },
        **{name: others[name] for name in beside},
        **whole.index,
    }


def as_text(config: Mapping[str, Any]) -> str:
    """As diffusers writes it."""
    return json.dumps(config, indent=2) + "\n"


def _made_before(network: Network, sizes: Mapping[str, Any]) -> dict[str, Any]:
    """The config of the network as it was converted; empty where that is not known any more."""
    section = sizes if network.role == "network" else sizes.get(network.part)
    if not isinstance(section, Mapping) or section.get("family") != network.family:
        return {}
    try:
        own = {key: value for key, value in section.items() if key not in table.parts()}
        return needed(network.hub, "hub").config(spec_of(own))
    except UserError:
        return {}


def _kept(source: Mapping[str, str]) -> dict[str, Any]:
    try:
        kept = json.loads(source.get(CONFIG, "{}"))
    except (ValueError, RecursionError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _dtype(plan: Plan, kept: Mapping[str, Any]) -> dict[str, str]:
    """The format of the numbers, where the source named one and all have the same."""
    formats = {lazy.dtype for lazy in plan.arrays.values() if "float" in lazy.dtype}
    return {key: formats.copy().pop() for key in _DTYPE if key in kept and len(formats) == 1}


def _scheduler_class(path: Path | None) -> str:
    """The class that a scheduler's file names; the usual one where it names none."""
    try:
        content = json.loads(path.read_bytes()) if path else {}
    except (OSError, ValueError, RecursionError):
        return "DDIMScheduler"
    name = content.get("_class_name") if isinstance(content, dict) else None
    return name if isinstance(name, str) and name.isidentifier() else "DDIMScheduler"

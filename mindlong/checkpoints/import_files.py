"""How networks under our names are laid out: one file with a model file beside it, or a folder of
parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from mindlong.checkpoints import description, export
from mindlong.checkpoints.files import write_safetensors
from mindlong.utils import atomic

if TYPE_CHECKING:
    from mindlong.checkpoints.convert import Plan
    from mindlong.checkpoints.weight_file import WeightFile


def write_ours(
    target: Path, plans: Sequence[Plan], weights: WeightFile, dtype: str | None
) -> tuple[list[Path], list[str]]:
    """Write planned networks under our names.

    Args:
        target: a .safetensors file, or a folder that gets a file for each part, the tokenizer and
            the noising process.
        dtype: floating tensors are cast to it; None keeps each as it is.

    Returns:
        The files, and remarks for the user.
    """
    model, (source, remarks) = description.model_of(plans), description.source_of(weights, plans)
    about = description.metadata(model, source)
    named = [
        {f"{plan.format.part}.{name}": lazy for name, lazy in plan.arrays.items()} for plan in plans
    ]
    if target.suffix:
        together = {name: lazy for arrays in named for name, lazy in arrays.items()}
        write_safetensors(target, together, about, dtype)
        return [target, _write_model(target.with_suffix(".yaml"), weights, plans[0])], remarks
    written = export.copy_beside(weights, target)
    for plan, arrays in zip(plans, named, strict=True):
        path = target / f"{plan.format.part}.safetensors"
        write_safetensors(path, arrays, about, dtype)
        written += [path, _write_model(path.with_suffix(".yaml"), weights, plan)]
    return written, remarks


def _write_model(path: Path, weights: WeightFile, plan: Plan) -> Path:
    head = f"# The {plan.format.part} in {path.stem}.safetensors, as read off {weights.path.name!r}: a file for model=\n"
    section = description.section_of(plan)
    atomic.write_text(
        path, head + yaml.safe_dump(section, sort_keys=False, default_flow_style=None)
    )
    return path

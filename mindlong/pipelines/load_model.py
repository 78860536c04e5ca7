"""The networks of a latent pipeline from what `weights` and the section `latent` name."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from mindspore import nn

from mindlong.checkpoints.identity import identity
from mindlong.checkpoints.latent_parts import LatentParts, find_latent_parts
from mindlong.checkpoints.load import load_into
from mindlong.checkpoints.lora.latent import with_loras
from mindlong.checkpoints.parts import Part, Reading
from mindlong.checkpoints.text_states import TextStates
from mindlong.config.infer_options.latent import LatentModelOptions
from mindlong.networks.init import initialise
from mindlong.networks.network import made
from mindlong.networks.text_tokenizer import read_tokenizer
from mindlong.ops.precision import check_chip, set_types, store_as
from mindlong.pipelines.latent_model import LatentModel


def load_latent_model(
    weights: str,
    options: LatentModelOptions | None = None,
    *,
    fresh_seed: int | None = None,
    loras: Sequence[str] = (),
) -> LatentModel:
    """The networks at `weights`: a folder of ours, a diffusers folder, an original's file, a run,
    or shipped:NAME.

    Args:
        options: other places for parts, and how to run them.
        fresh_seed: a network whose family starts from its base's weights (Tune-A-Video from Stable
            Diffusion) gets the first values of its own tensors from this seed; None: all tensors
            must be there.
        loras: added to the networks (`mindlong.checkpoints.lora.latent.with_loras`).

    Raises:
        InputFileError: something is missing or damaged. ConfigError: parts do not go together.
    """
    options = options or LatentModelOptions()
    parts = with_loras(find_latent_parts(weights, options), loras)
    return from_parts(parts, options, fresh_seed)


def from_parts(
    parts: LatentParts, options: LatentModelOptions, fresh_seed: int | None = None
) -> LatentModel:
    """The model of parts that were found; nothing is read yet but the tokenizer.

    Raises:
        ConfigError: parts that do not go together, or a type that the chip does not have.
    """
    check_chip("latent.dtype", options.dtype)
    held, text = parts.held(), parts.text_encoder
    tokenizer = read_tokenizer(text.network.family, parts.tokenizer, text.spec)
    kinds = dict.fromkeys(held, "float32") | {"network": options.dtype, "vae": options.dtype}
    seeds = {"network": fresh_seed}
    layered, states = text.network.text.layered, None
    changed = parts.merged.changed if parts.merged else {}
    if layered and not changed.get("text_encoder"):
        states = TextStates(identity(options.text_encoder or str(parts.where))["sha256"])
    model = LatentModel(
        {},
        {role: (part.network, part.spec) for role, part in held.items()},
        tokenizer,
        parts.noising,
        held=held,
        unmerged=parts.unmerged,
        loras=parts.loras,
        lora_stamps=parts.lora_stamps,
        size=parts.size,
        chunk=options.chunk,
        dtype=options.dtype,
        unconditional=options.unconditional,
        states=states,
    )
    for role, kind in kinds.items():
        model.builders[role] = functools.partial(_built, model, role, kind, seeds.get(role))
    if layered:
        model.builders["text_encoder"] = functools.partial(made(layered), text.spec, Reading(text))
    return model


def _built(model: LatentModel, role: str, dtype: str, fresh_seed: int | None) -> nn.Cell:
    """A network with the tensors that the model holds for it now."""
    return _filled(model.held[role], dtype, fresh_seed)


def _filled(part: Part, dtype: str, fresh_seed: int | None = None) -> nn.Cell:
    """The network with the part's numbers, stored as `dtype`."""
    cell = part.network.cell(part.spec, dtype)
    allow: tuple[str, ...] = ()
    if fresh_seed is not None:
        initialise(cell, fresh_seed)
        allow = tuple({p.name for p in cell.get_parameters()} - set(part.arrays))
    if dtype != "float32":
        set_types(cell, dtype)
        store_as(cell, dtype)
    load_into(cell, Reading(part), allow, f"the weights of the {part.family} network")
    for parameter in cell.get_parameters():
        parameter.requires_grad = False
    return cell

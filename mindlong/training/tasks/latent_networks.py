"""The networks of a training in latents, built and filled: what denoises with the text encoder
beside it, the autoencoder, the tokenizer.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from mindspore import nn

from mindlong.checkpoints.files import open_named
from mindlong.checkpoints.join import ROLE
from mindlong.checkpoints.load import load_into
from mindlong.checkpoints.lora.merge import inherited
from mindlong.checkpoints.part_places import fitted_text, read_text_encoder
from mindlong.checkpoints.parts import read_part
from mindlong.checkpoints.start import base_of, text_of
from mindlong.config.section import load_model
from mindlong.networks import table
from mindlong.networks.init import initialise
from mindlong.networks.network import made
from mindlong.networks.text_conditioned import OnStates, TextConditioned
from mindlong.utils.log import get_logger

if TYPE_CHECKING:
    from mindlong.checkpoints.parts import Part
    from mindlong.config.latent_options import LatentOptions
    from mindlong.config.schema import TrainConfig
    from mindlong.networks.network import Network
    from mindlong.networks.streams import Streams


def build_network(config: TrainConfig) -> nn.Cell:
    """Network and text encoder, fresh from the seed or from the weights that the `latents` section
    names.
    """
    options, entry = config.latents, table.get(config.model.family)
    text = given_text(config)
    kept = kept_encoder(config) is not None
    network = _unfilled(config, entry, text, kept)
    initialise(network, config.train.seed)
    key, base = base_of(config)
    if base:
        part = read_part(open_named(base, key), "network", entry.family)
        if config.train.lora.wanted:  # what is fresh must follow from the base
            part = replace(part, arrays={**part.arrays, **inherited(part)})
        start_from(network.network, part)
    if options.motion:
        start_from(network.network, read_part(open_named(options.motion, "latents.motion"), ROLE))
    if kept:
        return network
    own_text = text_of(config)
    if own_text:
        start_from(network.text_encoder, own_text)
    if text:
        start_from(network.text_encoder, text)
        for parameter in network.text_encoder.get_parameters():
            parameter.requires_grad = options.train_text
    return network


def _unfilled(config: TrainConfig, entry: Network, text: Part | None, kept: bool) -> nn.Cell:
    """The network, beside its text encoder unless the states of captions are kept."""
    cell = entry.cell(config.model.spec())
    if kept:
        return OnStates(cell, entry.part)
    encoder, spec = text_encoder(config, text)
    return TextConditioned(cell, encoder.cell(spec), entry.part)


def given_text(config: TrainConfig) -> Part | None:
    """The text encoder of `latents.text_weights`, with the length of prompts that the network
    reads; None: it is one of a model file.
    """
    if not config.latents.text_weights:
        return None
    entry = table.get(config.model.family)
    given = read_text_encoder(config.latents.text_weights)
    return fitted_text(given, entry, config.model.spec())


def kept_encoder(config: TrainConfig) -> Part | None:
    """The text encoder whose states are made before the first step and kept: one that is larger
    than the networks beside it, and stays as it is. None: captions are encoded in each step.
    """
    text = given_text(config)
    return text if text and text.network.text.layered and not config.latents.train_text else None


def text_encoder(config: TrainConfig, given: Part | None) -> tuple[Network, Any]:
    """The text encoder's entry in the table and its spec: that of given weights, or of the model
    file.
    """
    if given:
        return given.network, given.spec
    section = load_model(config.latents.text_encoder)
    return table.get(section.family, "text_encoder"), section.spec()


def start_from(cell: nn.Cell, part: Part) -> None:
    """Give a network the tensors of `part`, and say how many of its own start fresh."""
    prefix = next(cell.get_parameters()).name.split(".")[0]
    fresh = {p.name for p in cell.get_parameters()} - {f"{prefix}.{name}" for name in part.arrays}
    load_into(
        cell,
        {f"{prefix}.{name}": lazy.read() for name, lazy in part.arrays.items()},
        allow=tuple(fresh),
    )
    if fresh:
        get_logger().info(
            "%d tensors of %s start fresh, for instance %s", len(fresh), prefix, sorted(fresh)[0]
        )


def build_tokenizer(config: TrainConfig) -> Any:
    """The tokenizer for the text encoder of the `latents` section: its length and padding are the
    encoder's.
    """
    options, given = config.latents, given_text(config)
    encoder, spec = text_encoder(config, given)
    return made(encoder.text.tokenizer)(options.tokenizer, spec)


def build_autoencoder(options: LatentOptions, key: str = "latents.vae") -> tuple[Streams, Any, str]:
    """The autoencoder of a `latents` section: its halves, its spec, a fingerprint of its weights.
    `key` is what the user wrote its place under.
    """
    part = read_part(open_named(options.vae, key), "vae")
    arrays = {name: np.asarray(lazy.read(), np.float32) for name, lazy in part.arrays.items()}
    vae = part.network.cell(part.spec)
    load_into(vae, arrays)
    for parameter in vae.get_parameters():
        parameter.requires_grad = False
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode() + arrays[name].tobytes())
    streams = made(part.network.codec.streams)(vae, "float32", options.chunk)
    return streams, part.spec, digest.hexdigest()

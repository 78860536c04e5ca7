"""The networks of the latent video families, to be run alone: the UNet, both halves of the
autoencoder, the text tower.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mindspore import nn

from mindlong.networks.clip import text_spec as clip_text
from mindlong.networks.clip.text_cell import TextEncoder
from mindlong.networks.names import Entry
from mindlong.networks.unet.cell import UNet
from mindlong.networks.unet.families import FAMILIES, family
from mindlong.networks.unet.names import names
from mindlong.networks.vae import spec as vae
from mindlong.networks.vae.cell import AutoencoderKL, Decode, Encode
from mindlong.pipelines.lone_network import Arrays, Input, Network
from mindlong.utils.errors import ConfigError, InputFileError

INPUTS = (
    Input(
        "x",
        "BCFHW",
        "float",
        "the noisy latents (batch, channels, frames, height, width)",
        needed=True,
    ),
    Input("t", "B", "float", "timesteps (batch)", needed=True),
    Input(
        "context",
        "BTD|BFTD",
        "float",
        "the prompt's vectors, (batch, tokens, width), or one prompt a frame",
        needed=True,
    ),
    Input("fps", "B", "float", "frames per second, for a network that is told them (batch)"),
)


def _check(model: Any, arrays: Arrays) -> dict[str, int]:
    spec = model.spec()
    try:
        spec.check_inputs(*(arrays[name].shape for name in ("x", "t", "context")), "fps" in arrays)
    except ConfigError as error:
        raise InputFileError(f"inputs: {error}") from None
    return {"C": spec.in_channels, "B": arrays["x"].shape[0], "D": spec.context_dim}


def _output(model: Any, arrays: Arrays) -> tuple[int, ...]:
    batch, _, *rest = arrays["x"].shape
    return batch, model.spec().out_channels, *rest


def _build(model: Any, arrays: Arrays) -> tuple[nn.Cell, Sequence[str]]:
    return UNet(model.spec()), [i.name for i in INPUTS if i.name in arrays]


def _entries(model: Any, layout: str) -> list[Entry]:
    return names(model.spec(), layout or family(model.family).layouts[0])


def _check_pictures(model: Any, arrays: Arrays) -> dict[str, int]:
    spec, (*_, height, width) = model.spec(), arrays["x"].shape
    if arrays["x"].ndim == 4 and min(height, width) < spec.factor:
        raise InputFileError(
            f"inputs: x holds pictures of {height}x{width}; each side must have {spec.factor} pixels or more"
        )
    return {"C": spec.channels}


def _output_moments(model: Any, arrays: Arrays) -> tuple[int, ...]:
    spec, (count, _, *sides) = model.spec(), arrays["x"].shape
    return count, 2 * spec.latent_channels, *(side // spec.factor for side in sides)


def _output_pictures(model: Any, arrays: Arrays) -> tuple[int, ...]:
    spec, (count, _, *sides) = model.spec(), arrays["x"].shape
    return count, spec.channels, *(side * spec.factor for side in sides)


def _build_encoder(model: Any, arrays: Arrays) -> tuple[nn.Cell, Sequence[str]]:
    return _half(Encode(AutoencoderKL(model.spec())), ("decoder", "post_quant_conv")), ("x",)


def _build_decoder(model: Any, arrays: Arrays) -> tuple[nn.Cell, Sequence[str]]:
    return _half(Decode(AutoencoderKL(model.spec())), ("encoder", "quant_conv")), ("x",)


def _half(cell: nn.Cell, other: tuple[str, ...]) -> nn.Cell:
    """The cell with the other half's parameters left out of the gradients."""
    for parameter in cell.get_parameters():
        parameter.requires_grad = parameter.name.split(".")[0] not in other
    return cell


def _check_ids(model: Any, arrays: Arrays) -> dict[str, int]:
    spec, ids = model.spec(), arrays["x"]
    if ids.size and not 0 <= ids.min() <= ids.max() < spec.vocabulary:
        raise InputFileError(
            f"inputs: x holds token ids from {ids.min()} to {ids.max()}; the network has {spec.vocabulary} tokens"
        )
    return {"S": spec.length}


def _output_states(model: Any, arrays: Arrays) -> tuple[int, ...]:
    return *arrays["x"].shape, model.spec().width


def _build_tower(model: Any, arrays: Arrays) -> tuple[nn.Cell, Sequence[str]]:
    return TextEncoder(model.spec()), ("x",)


PICTURES = (
    Input(
        "x", "NCHW", "float", "pictures in [-1, 1] (pictures, channels, height, width)", needed=True
    ),
)
LATENTS = (
    Input(
        "x", "NLhw", "float", "latents, not scaled (pictures, channels, height, width)", needed=True
    ),
)
IDS = (Input("x", "BS", "int", "token ids (prompts, tokens)", needed=True),)
HALVES = (
    ("vae_encode", PICTURES, _check_pictures, _output_moments, _build_encoder),
    (
        "vae_decode",
        LATENTS,
        lambda model, arrays: {"L": model.spec().latent_channels},
        _output_pictures,
        _build_decoder,
    ),
)


def all_networks() -> Iterator[Network]:
    """Every network of every family, the families' UNets first."""
    for name in FAMILIES:
        yield Network(name, "unet", INPUTS, _check, _output, _build, _entries)
    for name in (*FAMILIES, "autoencoder_kl"):
        for half, *rest in HALVES:
            yield Network(
                name,
                half,
                *rest,
                lambda model, layout: vae.names(model.spec(), layout or "diffusers"),
                "vae",
            )
    for name in (*FAMILIES, "clip_text"):
        yield Network(
            name,
            "text_encoder",
            IDS,
            _check_ids,
            _output_states,
            _build_tower,
            lambda model, layout: clip_text.names(model.spec(), layout or "transformers"),
            "text_encoder",
        )

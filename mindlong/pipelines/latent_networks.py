"""The UNets of the latent video families as networks that can be run alone; importing this registers them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mindspore import nn

from mindlong.models.unet import UNet
from mindlong.pipelines.networks import Arrays, Input, Network, register
from mindlong.spec.families import FAMILIES, family
from mindlong.spec.names import Entry
from mindlong.spec.unet_names import names
from mindlong.utils.errors import ConfigError, InputFileError

INPUTS = (
    Input("x", "BCFHW", "float", "the noisy latents (batch, channels, frames, height, width)", needed=True),
    Input("t", "B", "float", "timesteps (batch)", needed=True),
    Input("context", "BTD|BFTD", "float", "the prompt's vectors, (batch, tokens, width), or one prompt a frame", needed=True),
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


for _name in FAMILIES:
    register(Network(_name, "unet", INPUTS, _check, _output, _build, _entries))

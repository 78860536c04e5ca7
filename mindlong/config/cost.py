"""Parameters, operations and memory of a configured run, from the specs alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mindlong.config.load import load_model
from mindlong.networks.clip import text_spec as clip_text
from mindlong.networks.unet import cost as latent_cost
from mindlong.networks.unet.families import FAMILIES
from mindlong.networks.unet3d.cost import unet3d_cost

if TYPE_CHECKING:
    from mindlong.config.schema import TrainConfig


@dataclass(frozen=True)
class RunCost:
    """Parameters by group, operations of a step, peak memory in bytes."""

    groups: dict[str, int]
    flops: float
    memory: float


def training_cost(config: TrainConfig, factor: int = 8) -> RunCost:
    """What one training step takes. `factor`: pixels of a latent along an edge, for the latent
    families.
    """
    model, data = config.model, config.data
    part = max(config.train.batch_size // config.train.accumulate, 1)
    if model.family == "autoencoder_kl":
        own = latent_cost.autoencoder_cost(model.spec(), part * data.frames, *data.size)
        return RunCost(
            {"vae": own.parameters}, 3 * own.flops * config.train.accumulate, own.train_bytes
        )
    if model.family in FAMILIES:
        return _latent_cost(config, part, factor)
    cost = unet3d_cost(model.spec(), part, data.frames, *data.size)
    return RunCost(
        _groups(model, cost.parameters),
        cost.train_flops * config.train.accumulate,
        cost.train_bytes,
    )


def _latent_cost(config: TrainConfig, part: int, factor: int) -> RunCost:
    data, text = (
        config.data,
        load_model(config.latents.text_encoder).spec() if config.latents.text_encoder else None,
    )
    tokens = text.length if text else 77
    height, width = (side // factor for side in data.size)
    own = latent_cost.unet_cost(
        config.model.spec(), part, data.frames, height, width, tokens, config.train.recompute
    )
    groups = {"unet": own.parameters} | (
        {"text encoder": clip_text.parameter_count(text)} if text else {}
    )
    memory = own.train_bytes - _still(config, own.parameters)
    return RunCost(groups, 3 * own.flops * config.train.accumulate, memory)


def _still(config: TrainConfig, parameters: int) -> float:
    """Bytes of gradients, moments and averages that a tuning does not have, because most of the
    UNet stays as it is.
    """
    if not config.tune.wanted:
        return 0.0
    learning = config.tune.count(config.model.spec())
    return 16.0 * (parameters - learning) + (4.0 * learning if config.train.ema_decay == 0 else 0.0)


def sampling_cost(
    model: object, guidance: float, frames: int, size: list[int], batch: int
) -> RunCost:
    """What one denoising step of `batch` videos takes; guidance doubles the operations."""
    cost = unet3d_cost(model.spec(), batch, frames, *size)
    return RunCost(
        _groups(model, cost.parameters),
        (1 + (guidance != 1)) * cost.forward_flops,
        cost.forward_bytes,
    )


def _groups(model: object, unet: int) -> dict[str, int]:
    text = caption_parameters(model.text, model.cond_dim) if model.text.encoder == "caption" else 0
    return {"unet": unet, **({"text": text} if text else {})}


def caption_parameters(text: object, cond_dim: int) -> int:
    """Parameters of the caption encoder."""
    from mindlong.networks.caption.spec import parameter_count

    return parameter_count(text.width, text.layers, text.length, cond_dim)

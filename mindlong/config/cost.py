"""Parameters, operations and memory of a configured run, from the specs alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mindlong.config.load import load_model
from mindlong.networks import table
from mindlong.networks.cost import Cost, Load
from mindlong.utils.needed import needed

if TYPE_CHECKING:
    from mindlong.config.schema import TrainConfig

TOKENS = 77  # of a prompt, where the text encoder's sizes are not known yet
_NOTHING = Load(1, 1, 1, 1)  # where only the parameters are asked for


@dataclass(frozen=True)
class RunCost:
    """Parameters by group, operations of a step, peak memory in bytes."""

    groups: dict[str, int]
    flops: float
    memory: float


def training_cost(config: TrainConfig, factor: int = 8, latents: int = 0) -> RunCost:
    """What one training step takes. For the latent families `factor` is pixels of a latent along an
    edge, `latents` how many a clip has; 0: one a frame.
    """
    entry, train, data = table.get(config.model.family), config.train, config.data
    latent = entry.denoiser is not None and entry.denoiser.space == "latent"
    text = _text(config) if latent else None
    height, width = (side // factor if latent else side for side in data.size)
    tokens = _tokens(config, text) if latent else 0
    videos = max(train.batch_size // train.accumulate, 1)
    load = Load(videos, latents or data.frames, height, width, tokens, train.recompute)
    own = entry.cost(config.model.spec(), load)
    groups = {entry.part: own.parameters, **_beside(config.model)}
    if text:
        groups["text encoder"] = table.get(text.family).cost(text.spec(), _NOTHING).parameters
    still = _still(config, own.parameters) if latent else 0.0
    return RunCost(groups, 3 * own.flops * train.accumulate, own.train_bytes - still)


def sampling_cost(model: Any, guidance: float, frames: int, size: list[int], batch: int) -> RunCost:
    """What one denoising step of `batch` videos in pixels takes; guidance doubles the
    operations.
    """
    entry = table.get(model.family, "network")
    height, width = size
    cost: Cost = entry.cost(model.spec(), Load(batch, frames, height, width))
    groups = {entry.part: cost.parameters, **_beside(model)}
    return RunCost(groups, (1 + (guidance != 1)) * cost.flops, cost.bytes)


def _text(config: TrainConfig) -> Any:
    """The model section of the text encoder that is trained beside a latent network."""
    return load_model(config.latents.text_encoder) if config.latents.text_encoder else None


def _tokens(config: TrainConfig, text: Any) -> int:
    """Of a prompt."""
    denoiser = needed(table.get(config.model.family).denoiser, "denoiser")
    own = denoiser.tokens(config.model.spec())
    return text.spec().length if text else own or TOKENS


def _beside(model: Any) -> dict[str, int]:
    """What is trained with a network that is not of it: what its keys say."""
    return model.beside() if hasattr(model, "beside") else {}


def _still(config: TrainConfig, parameters: int) -> float:
    """Bytes of gradients, moments and averages that a tuning does not have, because most of the
    network stays as it is.
    """
    if not config.tune.wanted:
        return 0.0
    learning = config.tune.count(config.model.spec())
    return 16.0 * (parameters - learning) + (4.0 * learning if config.train.ema_decay == 0 else 0.0)

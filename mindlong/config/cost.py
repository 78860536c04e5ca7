"""Parameters, operations and memory of a configured run, from the specs alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mindlong.config.section import load_model
from mindlong.networks import table
from mindlong.networks.cost import Cost, Load
from mindlong.utils.needed import needed

if TYPE_CHECKING:
    from mindlong.config.schema import TrainConfig

SUMMING = 8.0  # bytes of a trained number that the sum over processes takes, measured on a CPU
# the same where parts are accumulated in shares, on N processes: WHOLE + PARTED / N, fitted to one
# training on two processes of a CPU, whose graphs keep what they gave until they run again
WHOLE, PARTED = 10.0, 12.0
TOKENS = 77  # of a prompt, where the text encoder's sizes are not known yet
_NOTHING = Load(1, 1, 1, 1)  # where only the parameters are asked for


@dataclass(frozen=True)
class RunCost:
    """Parameters by group, operations of a step, peak memory in bytes; `host`: bytes of moments and
    averages that stay in the memory of the host, which `memory` counts too where that is the
    device's.
    """

    groups: dict[str, int]
    flops: float
    memory: float
    host: float = 0.0


def training_cost(
    config: TrainConfig, factor: int = 8, latents: int = 0, processes: int = 1
) -> RunCost:
    """What one training step takes of each of so many processes, the sums of the gradients
    included where there are several. For the latent families `factor` is pixels of a latent along
    an edge, `latents` how many a clip has; 0: one a frame.
    """
    entry, train, data = table.get(config.model.family), config.train, config.data
    latent = entry.denoiser is not None and entry.denoiser.space == "latent"
    text = _text(config) if latent else None
    height, width = (side // factor if latent else side for side in data.size)
    tokens = _tokens(config, text) if latent else 0
    videos = max(-(-train.batch_size // processes) // train.accumulate, 1)
    load = Load(videos, latents or data.frames, height, width, tokens, train.recompute)
    own = entry.cost(config.model.spec(), load)
    groups = {entry.part: own.parameters, **_beside(config.model)}
    if text:
        groups["text encoder"] = table.get(text.family).cost(text.spec(), _NOTHING).parameters
    still = _still(config, own.parameters, latent)
    learning, averaged = _learning(config, own.parameters, latent), train.ema_decay > 0
    parts = train.accumulate > 1
    sums = shared_states(train.shard, averaged, processes, parts) * learning
    host = offloaded(train.offload, train.shard, processes) * learning
    apart = host if config.env.device_target == "Ascend" else 0.0
    flops = 3 * own.flops * train.accumulate * processes
    return RunCost(groups, flops, own.train_bytes - still + sums - apart, host)


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


def _still(config: TrainConfig, parameters: int, latent: bool) -> float:
    """Bytes of averages that are not kept, and of what a tuning does not have of gradients, moments
    and averages, because most of the network stays as it is.
    """
    learning = _learning(config, parameters, latent)
    averages = 4.0 * learning if config.train.ema_decay == 0 else 0.0
    return 16.0 * (parameters - learning) + averages


def shared_states(shard: str, averaged: bool, processes: int, parts: bool = False) -> float:
    """Bytes of a trained number that several processes add to what one keeps (sums of gradients),
    less what sharding takes off it.

    Args:
        averaged: averages are kept; of shares they come together on the first process when it
            saves.
        parts: the batch is accumulated.
    """
    if processes == 1:
        return 0.0
    if shard == "none":
        return SUMMING
    kept, together = (12.0, 4.0) if averaged else (8.0, 0.0)
    parted = shard == "gradients" and parts
    sums = WHOLE + PARTED / processes if parted else SUMMING
    return sums - kept * (1.0 - 1.0 / processes) + together


def offloaded(offload: str, shard: str, processes: int) -> float:
    """Bytes of a trained number that a process keeps in the memory of the host."""
    kept = {"none": 0.0, "moments": 8.0, "all": 12.0}[offload]
    return kept / processes if shard != "none" else kept


def _learning(config: TrainConfig, parameters: int, latent: bool) -> int:
    """How many of the network's numbers are trained."""
    tuned = latent and config.tune.wanted
    return config.tune.count(config.model.spec()) if tuned else parameters

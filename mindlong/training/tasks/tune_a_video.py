"""Tuning an image model on a single video: queries and temporal attention of the inflated UNet
learn, the rest stays.

Tune-A-Video, arXiv 2212.11565; the released code's choices with `tune.compat=tune_a_video`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from mindspore import Tensor, nn

from mindlong.checkpoints import changed
from mindlong.checkpoints.files import open_named
from mindlong.checkpoints.folders import SCHEDULER
from mindlong.checkpoints.load import arrays_of
from mindlong.checkpoints.start import base_of
from mindlong.data.one_shot import one_shot_of
from mindlong.diffusion.inversion import invert_ddim
from mindlong.diffusion.noising import Noising, of_options
from mindlong.diffusion.sample import flavour_of
from mindlong.diffusion.samplers import FLAVOURS
from mindlong.diffusion.scheduler_config import read_file
from mindlong.training.patterns import check_trainable, matches
from mindlong.training.tasks.latent import LatentTask
from mindlong.training.tasks.latent_networks import build_network
from mindlong.utils import rng
from mindlong.utils.errors import ConfigError
from mindlong.utils.log import get_logger

if TYPE_CHECKING:
    from mindlong.config.schema import TrainConfig
    from mindlong.config.tune_options import TuneOptions
    from mindlong.diffusion.guidance import Model

BIAS = "unet.*.attn_temp.to_out.bias"
FRESH = ("unet.*.attn_temp.*", "unet.*.norm_temp.*")  # what the image model has not


class TuneTask(LatentTask):
    """As LatentTask, on the clips that the section `tune` names.

    Attributes:
        noising: how previews are inverted and sampled: the scheduler_config.json beside the UNet's
            weights, else the `diffusion` section with Stable Diffusion's timesteps.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.options = config.tune
        own = replace(of_options(config.diffusion), flavour=FLAVOURS["diffusers"])
        self._process = check_noising(config, own)  # before large files are read
        clips = one_shot_of(config)
        super().__init__(replace(config, latents=replace(config.latents, clips=len(clips))), clips)
        for prompt in {clip.caption for clip in clips.clips}:
            warn_overlong(self.tokenizer, prompt)

    def base(self) -> np.ndarray:
        """uint8 (32,): a fingerprint of the tensors that the tuning leaves as they were."""
        arrays = {
            n.removeprefix(changed.PREFIX): a for n, a in arrays_of(self.network.unet).items()
        }
        return changed.fingerprint(
            arrays, set(arrays) - {n.removeprefix(changed.PREFIX) for n in self._changed()}
        )

    def process(self) -> Noising:
        """That of the section `diffusion`, with the file's timesteps."""
        return self._process

    def build(self) -> nn.Cell:
        """The image model's UNet with temporal attention, only the chosen parameters set to
        learn.
        """
        network = build_network(self.config)
        if self.options.compat:
            random_biases(network, self.config.train.seed)
        choose(network, self.options)
        return network

    def lora_targets(self) -> list[str]:
        """The layers whose weights would be tuned."""
        return list(self.options.trainable)

    def belongs(self) -> list[Any]:
        """The latents depend on the pixels alone."""
        return [self.source.digest()]

    def extra_files(self) -> dict[str, dict[str, np.ndarray]]:
        """Beside the whole network a checkpoint gets the tensors that are not the image model's, a
        few per cent of it.
        """
        chosen = self._changed()
        kept = {p.name: p.asnumpy() for p in self.network.get_parameters() if p.name in chosen}
        return {changed.FILE: {**kept, changed.BASE: self.base()}}

    def denoised(
        self, model: Model, null: Model | None, noise: np.ndarray, *more: Any, **named: Any
    ) -> np.ndarray:
        """Scaled latents drawn for the previews: from the inverted noise of the first clip, or from
        `noise`.
        """
        self.network.set_train(False)
        if self.options.inverted:
            noise, named = self._inverted(len(noise)), {**named, "pure_noise": False}
        return super().denoised(model, null, noise, *more, **named)

    def describe(self) -> list[str]:
        """Lines for the opening of a run."""
        chosen = self._learning()
        count = sum(p.size for p in self.network.get_parameters() if p.name in chosen)
        return [
            *super().describe(),
            f"tuning: {len(chosen)} tensors of {count:,} numbers learn"
            + (", the blocks on the way down stay (compat)" if self.options.compat else ""),
        ]

    def _learning(self) -> set[str]:
        return {p.name for p in self.network.get_parameters() if p.requires_grad}

    def _changed(self) -> set[str]:
        return self._learning() | {
            p.name for p in self.network.get_parameters() if matches(p.name, FRESH)
        }

    def _inverted(self, count: int) -> np.ndarray:
        z = self.cache.latent(0, np.zeros(self.cache.shape, np.float32))[None] * np.float32(
            self.scaling
        )
        path = invert_ddim(
            self._with([""]),
            z,
            self.schedule,
            self.options.inversion_steps,
            prediction=self.config.diffusion.prediction,
            flavour=flavour_of(self.config.preview.sample, self.noising),
            compat=bool(self.options.compat),
        )
        return path[-1].repeat(count, 0)


def choose(network: nn.Cell, options: TuneOptions) -> None:
    """Set `requires_grad` of exactly the parameters that learn. Raises ConfigError for a pattern
    that matches none.
    """
    check_trainable(options.trainable, [p.name for p in network.get_parameters()])
    for p in network.get_parameters():
        p.requires_grad = options.chooses(p.name)


def random_biases(network: nn.Cell, seed: int) -> None:
    """Start the biases behind the temporal attention as torch starts a Linear's; only the weights
    are zero in the released code, so that its first video is not the image model's. A network that
    was tuned before keeps its own.
    """
    found = {p.name: p for p in network.get_parameters()}
    for name, bias in found.items():
        if not matches(name, [BIAS]):
            continue
        weight = found[name.removesuffix("bias") + "weight"]
        if not weight.asnumpy().any():
            drawn = 2 * rng.uniform(bias.shape, seed, "init", name) - 1
            bias.set_data(Tensor((drawn * weight.shape[1] ** -0.5).astype(np.float32)))


def check_noising(config: TrainConfig, own: Noising) -> Noising:
    """The noising process beside the weights, if there is one, else `own`. Raises ConfigError where
    they contradict each other.
    """
    key, weights = base_of(config)
    file = open_named(weights, key).beside.get(SCHEDULER) if weights else None
    if file is None:
        return own
    found = read_file(file)
    if found.prediction != own.prediction:
        raise ConfigError(
            f"diffusion.prediction is {own.prediction}, but {file} says that the network predicts "
            f"{found.prediction}; give diffusion.prediction={found.prediction}"
        )
    same = found.schedule.timesteps == own.schedule.timesteps
    if not same or not np.allclose(found.schedule.betas, own.schedule.betas, rtol=1e-3):
        raise ConfigError(
            f"the diffusion section describes another noising process than {file}: timesteps, schedule, beta_start "
            "and beta_end must agree with it"
        )
    return replace(found.for_inversion(), schedule=own.schedule)


def warn_overlong(tokenizer: Any, prompt: str) -> None:
    """Say how much of a prompt is cut off."""
    cut = tokenizer.overlong(prompt)
    if cut:
        get_logger().warning(
            "the last %d tokens of the prompt %r are cut off; there is room for %d",
            cut,
            prompt,
            tokenizer.room,
        )

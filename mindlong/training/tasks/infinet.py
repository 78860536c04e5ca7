"""Training diffusion over diffusion: global and local levels of a hierarchy in one network
(NUWA-XL, arXiv 2303.12346).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from mindspore import Tensor, nn
from mindspore import dtype as mstype

from mindlong.checkpoints.branch import read_branch, start_from
from mindlong.checkpoints.files import open_named
from mindlong.checkpoints.locate import locate
from mindlong.checkpoints.part_places import read_text_encoder
from mindlong.checkpoints.parts import read_part
from mindlong.checkpoints.start import base_of, text_of
from mindlong.data.build import build_source
from mindlong.data.clip_identity import index_identity
from mindlong.data.nodes import build_nodes, known_frames
from mindlong.data.source import to_frames
from mindlong.diffusion.losses import DiffusionLoss, loss_of
from mindlong.diffusion.parameterise import add_noise, target
from mindlong.networks.init import initialise
from mindlong.networks.unet.control import ControlledUNet
from mindlong.networks.unet.control_spec import condition
from mindlong.networks.unet.controlled_text import ControlledTextUNet
from mindlong.training.tasks.latent import LatentTask
from mindlong.training.tasks.latent_networks import text_encoder
from mindlong.training.tasks.preview_files import write_preview
from mindlong.utils import rng

if TYPE_CHECKING:
    from mindlong.config.schema import TrainConfig


class FrameWeightedLoss(DiffusionLoss):
    """The diffusion loss with a weight for every frame: construct(x0, noise, t, weight (B, F),
    *conditions) -> scalar.

    Weights have the mean 1 over the frames of a row; for the squared distance the caller gives
    their roots.
    """

    def construct(self, x0, noise, t, weight, *conditions):
        axes = (-1,) + (1,) * (x0.ndim - 1)
        alpha, sigma = self.alpha[t].reshape(axes), self.sigma[t].reshape(axes)
        signal = x0 * self.scale[t].reshape(axes)
        prediction = self.network(add_noise(signal, noise, alpha, sigma), t, *conditions).astype(
            mstype.float32
        )
        goal = target(self.prediction, signal, noise, alpha, sigma)
        each = weight.reshape((weight.shape[0], 1, weight.shape[1], 1, 1)).broadcast_to(goal.shape)
        return (self.distance(prediction * each, goal * each) * self.weights[t]).mean()


class InfinetTask(LatentTask):
    """A latent UNet with a branch on the nodes of films.

    Attributes:
        network: `unet.*`, `unet.control.*` and `text_encoder.*`; `train.train_only` says which of
            them learn.
        nodes: samples with their levels.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.options, self.control = config.infinet, config.infinet.control()
        self.nodes = build_nodes(
            config.infinet,
            config.data,
            config.train.seed,
            lambda frames: build_source(replace(config.data, frames=frames), config.train.seed),
        )
        super().__init__(config, self.nodes)
        self.loss = loss_of(self.network, self.schedule, config.diffusion, FrameWeightedLoss)

    def build(self) -> nn.Cell:
        """UNet and text encoder from the weights that the `latents` section names, else fresh; the
        branch fresh or as `infinet.branch`.
        """
        options, config = self.config.latents, self.config
        text = (
            read_text_encoder(options.text_weights, "latents.text_weights")
            if options.text_weights
            else None
        )
        encoder, spec = text_encoder(config, text)
        branched = ControlledUNet(config.model.spec(), self.control)
        network = ControlledTextUNet(branched, encoder.cell(spec))
        initialise(network, config.train.seed)
        arrays = {}
        key, base = base_of(config)
        if base:
            part = read_part(open_named(base, key), "network", config.model.family)
            arrays |= {f"unet.{name}": lazy.read() for name, lazy in part.arrays.items()}
        if self.options.branch:
            arrays |= {
                f"unet.{name}": array
                for name, array in read_branch(locate(self.options.branch), self.control).items()
            }
        own_text = text_of(config)
        if own_text:
            arrays |= {f"text_encoder.{n}": lazy.read() for n, lazy in own_text.arrays.items()}
        if text:
            arrays |= {f"text_encoder.{name}": lazy.read() for name, lazy in text.arrays.items()}
            for parameter in network.text_encoder.get_parameters():
                parameter.requires_grad = False
        start_from(network, arrays)
        return network

    def belongs(self) -> list[Any]:
        """The nodes are part of what the latents depend on."""
        index = index_identity(self.options.index) if self.options.index else ""
        return [*super().belongs(), self._nodes(index), self.config.train.seed]

    def belonged(self) -> list[Any]:
        """As it was before films were known by their content."""
        nodes = self._nodes(self.options.index)
        return [*super().belonged(), nodes, self.config.train.seed]

    def _nodes(self, index: Any) -> dict[str, Any]:
        return {"lengths": self.options.lengths, "index": index, "shares": self.options.shares}

    def inputs(self, step: int, samples: Sequence[int]) -> tuple[np.ndarray, ...]:
        """Latents, noise, timesteps, weights of frames, token ids, condition, mask (, depth) (,
        frames per second).
        """
        x0, noise, t, ids, *fps = super().inputs(step, samples)
        levels = [self.nodes.level(self.cache.row(i, self.config.train.seed)) for i in samples]
        known_BF = np.stack(
            [self._known(level, i) for level, i in zip(levels, samples, strict=True)]
        )
        cond, mask = condition(self._keys(x0, samples), known_BF, self.control)
        depth = [np.array(levels, np.int32)] if self.control.depths else []
        return x0, noise, t, self._weights(known_BF), ids, cond, mask, *depth, *fps

    def preview(self, step: int, folder: Path) -> list[Path]:
        """For each prompt the key frames of level 0, and the run that fills the gap in their
        middle.
        """
        options = self.config.preview
        if not options.prompts:
            return []
        prompts, middle = list(options.prompts), self.cache.shape[1] // 2
        noise = [
            np.stack(
                [
                    rng.normal(self.cache.shape, options.seed, "sample", level, i)
                    for i in range(len(prompts))
                ]
            )
            for level in range(2)
        ]
        keys = self._run(prompts, noise[0], np.zeros_like(noise[0]), False)
        given = np.zeros_like(keys)
        given[:, :, 0], given[:, :, -1] = keys[:, :, middle - 1], keys[:, :, middle]
        local = self._run(prompts, noise[1], given, True)
        local[:, :, [0, -1]] = given[:, :, [0, -1]]
        videos = to_frames(self.decoded(np.concatenate([keys, local])))
        self.network.set_train(True)
        titles = [f"{p}, {w}" for w in ("keys", "between") for p in prompts]
        return write_preview(folder, step, videos, titles, options.fps, len(prompts))

    def describe(self) -> list[str]:
        """Lines for the opening of a run."""
        branch = {k: v for k, v in asdict(self.control).items() if k != "mode"}
        return [
            *super().describe(),
            f"branch: {branch}, starting from {self.options.branch or 'zero convolutions'}",
        ]

    def _run(
        self, prompts: list[str], noise: np.ndarray, given: np.ndarray, ends: bool
    ) -> np.ndarray:
        known_BF = np.zeros((len(prompts), noise.shape[2]), bool)
        known_BF[:, [0, -1]] = ends
        cond, mask = condition(given, known_BF, self.control)
        depth = [np.full(len(prompts), int(ends), np.int32)] if self.control.depths else []
        more = [Tensor(a) for a in (cond, mask, *depth, *self._fps(len(prompts)))]

        def model(captions: list[str]):
            ids = Tensor(self.tokenizer(captions))
            return lambda x, t: self.network(Tensor(x), Tensor(t), ids, *more).asnumpy()

        run = "between" if ends else "keys"
        titles = [f"{run}: {prompt}" for prompt in prompts]
        return self.denoised(model(prompts), model([""] * len(prompts)), noise, run, titles)

    def _known(self, level: int, sample: int) -> np.ndarray:
        draw = rng.generator(self.config.train.seed, "known", sample)
        return known_frames(level, self.cache.shape[1], self.options.given, draw)

    def _keys(self, x0: np.ndarray, samples: Sequence[int]) -> np.ndarray:
        """Clean latents, or with noise of a strength of their own for each sample."""
        if not self.options.key_noise:
            return x0
        seed = self.config.train.seed
        noise = rng.normal_rows(list(samples), x0.shape[1:], seed, "key-noise")
        strength = [
            rng.generator(seed, "key-strength", i).random() * self.options.key_noise
            for i in samples
        ]
        return x0 + noise * np.array(strength, np.float32).reshape(-1, 1, 1, 1, 1)

    def _weights(self, known_BF: np.ndarray) -> np.ndarray:
        """float32 (B, F) of mean 1 a row, their roots for the squared distance."""
        counted = ~known_BF if self.options.unknown_only else np.ones_like(known_BF)
        weights = counted / counted.mean(1, keepdims=True)
        return (np.sqrt(weights) if self.config.diffusion.loss == "l2" else weights).astype(
            np.float32
        )

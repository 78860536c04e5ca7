"""Training a network in latents, its text encoder beside it or as it is, on the latents of clips
(arXiv 2112.10752, 2308.06571).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from mindspore import Tensor, nn

from mindlong.checkpoints.join import module_of
from mindlong.checkpoints.part_places import read_text_encoder
from mindlong.config.data_options import DataOptions
from mindlong.data.clip_identity import clips_identity
from mindlong.data.latent_cache import LatentCache
from mindlong.data.source import Source, to_frames
from mindlong.diffusion.guidance import Model, guided
from mindlong.diffusion.losses import loss_of
from mindlong.diffusion.noising import Noising, of_options
from mindlong.diffusion.samplers.flavours import told_of
from mindlong.diffusion.timesteps import draw_timestep
from mindlong.networks import table
from mindlong.networks.network import Network
from mindlong.networks.streams import decode_frames, through
from mindlong.training.tasks.latent_networks import (
    build_autoencoder,
    build_network,
    build_tokenizer,
    kept_encoder,
    text_encoder,
)
from mindlong.training.tasks.preview_files import drawn, write_preview
from mindlong.training.text_table import TextTable
from mindlong.utils import rng

if TYPE_CHECKING:
    from mindlong.config.schema import TrainConfig

MOTION_FILE = "motion"  # of a checkpoint, before its suffix


class LatentTask:
    """What the trainer needs to know of a latent family: the network, its loss, the inputs of a
    step, previews.

    Attributes:
        network: `unet.*` (or what the family's part is called) and `text_encoder.*`.
        loss: cell with construct(x0, noise, t, ids[, fps]) -> scalar.
        scaling: what latents are multiplied by before the network sees them.
    """

    def __init__(self, config: TrainConfig, source: Source) -> None:
        self.config, self.source = config, source
        self.noising = self.process()
        self.schedule = self.noising.schedule
        self.spec = config.model.spec()
        self.takes = table.get(config.model.family).denoiser.takes(self.spec)
        self.network = self.build()
        self.tokenizer = build_tokenizer(config)
        self.streams, self.vae_spec, vae_key = build_autoencoder(config.latents)
        self.cache = self._cache(vae_key)
        self.texts = self._texts()
        self.scaling = config.latents.scaling or self.vae_spec.scaling
        self.loss = loss_of(self.network, self.schedule, config.diffusion)

    def process(self) -> Noising:
        """The noising process, that of the section `diffusion`."""
        return of_options(self.config.diffusion)

    def build(self) -> nn.Cell:
        """The network that is trained."""
        return build_network(self.config)

    def lora_parts(self) -> dict[str, tuple[Network, Any]]:
        """The networks of which a LoRA can change layers, by the first word of their names."""
        given = self.config.latents.text_weights
        entry = table.get(self.config.model.family)
        text = text_encoder(self.config, read_text_encoder(given) if given else None)
        return {entry.part: (entry, self.spec), "text_encoder": text}

    def belongs(self) -> list[Any]:
        """What the kept latents depend on beside the autoencoder. Clips count by their content,
        wherever they lie.
        """
        data = self.config.data
        if data.kind != "clips" or not data.folder:
            return self.belonged()[:1]
        return [_said({**asdict(data), "folder": clips_identity(data.folder)})]

    def belonged(self) -> list[Any]:
        """What `belongs` was before clips were known by their content (0.1)."""
        return [_said(asdict(self.config.data))]

    def inputs(self, step: int, samples: Sequence[int]) -> tuple[np.ndarray, ...]:
        """Latents, noise, timesteps, token ids (and frames per second) of `samples` (global
        numbers).
        """
        seed, rows = (
            self.config.train.seed,
            [self.cache.row(i, self.config.train.seed) for i in samples],
        )
        x0 = self._drawn(samples, rows)
        noise = rng.normal_rows(list(samples), x0.shape[1:], seed, "noise")
        x0, at_end = self._averaged(x0, samples, rows)
        count, shift = self.schedule.timesteps, self.config.diffusion.shift
        t = np.array(
            [draw_timestep(rng.generator(seed, "timestep", i), count, shift) for i in samples],
            np.int32,
        )
        t = np.where(at_end, np.int32(count - 1), t)
        dropped = [
            rng.generator(seed, "cond-drop", i).random() < self.config.diffusion.cond_drop
            for i in samples
        ]
        captions = [
            "" if drop else self.cache.captions[row]
            for drop, row in zip(dropped, rows, strict=True)
        ]
        return (
            x0 * np.float32(self.scaling),
            noise,
            t,
            self.conditions(captions),
            *self._fps(len(samples)),
        )

    def _drawn(self, samples: Sequence[int], rows: Sequence[int]) -> np.ndarray:
        """The clips' latents (B, L, F, h, w), not yet scaled: drawn, or the means."""
        shape, seed = self.cache.shape, self.config.train.seed
        if self.config.latents.posterior == "mean":
            noise = np.zeros((len(rows), *shape), np.float32)
        else:
            noise = rng.normal_rows(list(samples), shape, seed, "posterior")
        return np.stack(
            [self.cache.latent(row, drawn) for row, drawn in zip(rows, noise, strict=True)]
        )

    def _averaged(
        self, x0: np.ndarray, samples: Sequence[int], rows: Sequence[int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """`x0` with the mean over clips of the same caption for some samples, and which ones these
        are.

        At the last timestep x_t is noise, and what minimises the loss is the mean of x0 given the
        caption. Taking that mean as the target changes no optimum and leaves out most of the noise
        of the gradient (arXiv 2302.00670, with the whole cache as the reference batch). It is what
        teaches a network to ask the caption about what is seen in every frame.
        """
        share, seed = self.config.diffusion.terminal_mean, self.config.train.seed
        chosen = np.array(
            [share > 0 and rng.generator(seed, "terminal", i).random() < share for i in samples]
        )
        for place in np.flatnonzero(chosen):
            x0[place] = self.cache.mean_of_caption(self.cache.captions[rows[place]])
        return x0, chosen

    def preview(self, step: int, folder: Path) -> list[Path]:
        """Draw the preview prompts from their fixed noise; returns the GIF and the contact
        sheet.
        """
        options = self.config.preview
        if not options.prompts:
            return []
        noise = np.stack(
            [
                rng.normal(self.cache.shape, options.seed, "sample", 0, i)
                for i in range(len(options.prompts))
            ]
        )
        models = self._with(options.prompts), self._with([""] * len(options.prompts))
        videos = to_frames(self.decoded(self.denoised(*models, noise)))
        self.network.set_train(True)
        return write_preview(folder, step, videos, options.prompts, options.fps)

    def describe(self) -> list[str]:
        """Lines for the opening of a run."""
        channels, frames, height, width = self.cache.shape
        return [
            self.source.describe(),
            f"latents: {self.cache.count} clips of {channels} x {frames} x {height} x {width}, deviation "
            f"{self.cache.deviation() * self.scaling:.3f} after the scaling by {self.scaling:g} (1 is right)",
        ]

    def extra_files(self) -> dict[str, dict[str, np.ndarray]]:
        """Beside the whole network a checkpoint gets its motion modules alone, under the names of
        other programs, where it has some.
        """
        entry = module_of(self.config.model.family)
        if entry is None:
            return {}
        held = {p.name: p for p in self.network.get_parameters()}
        part, form = table.get(self.config.model.family).part, entry.formats[0]
        alone = {
            e.source: held[f"{part}.{e.ours}"].asnumpy().reshape(e.source_shape)
            for e in form.entries(self.spec)
        }
        return {MOTION_FILE: {**alone, **form.tables(self.spec)}}

    def denoised(
        self,
        model: Model,
        null: Model | None,
        noise: np.ndarray,
        run: str = "",
        titles: Sequence[str] = (),
        pure_noise: bool = True,
    ) -> np.ndarray:
        """Scaled latents (B, C, F, h, w) drawn from `noise` as the preview section says; arguments
        as for `mindlong.training.tasks.preview_files.drawn`.
        """
        self.network.set_train(False)
        options = self.config.preview
        null = None if "guidance" in self.takes else null  # told it, and asked once
        return drawn(
            options,
            guided(model, null, options.sample.guidance, options.sample.rescale),
            noise,
            self.noising,
            titles=titles or options.prompts,
            run=run,
            pure_noise=pure_noise,
        )

    def decoded(self, z: np.ndarray) -> np.ndarray:
        """Scaled latents (B, C, F, h, w) -> videos (B, 3, F, H, W) about -1 to 1."""
        made = [
            np.concatenate(list(decode_frames(self.streams, video, self.scaling)))
            for video in z.transpose(0, 2, 1, 3, 4)
        ]
        return np.stack(made).transpose(0, 2, 1, 3, 4)

    def _with(self, prompts: Sequence[str]):
        text = Tensor(self.conditions(prompts))
        more = [Tensor(a) for a in self._told(len(prompts))]
        return lambda x, t: self.network(Tensor(x), Tensor(t), text, *more).asnumpy()

    def _told(self, count: int) -> tuple[np.ndarray, ...]:
        """What a preview's network takes beside the prompts."""
        if "guidance" not in self.takes:
            return self._fps(count)
        options = self.config.preview.sample
        scale = told_of(options.flavour, options.guidance)
        return *self._fps(count), np.full(count, scale, np.float32)

    def conditions(self, captions: Sequence[str]) -> np.ndarray:
        """What the network is given of captions: token ids int32 (B, S), or, of an encoder whose
        states are kept, these, float32 (B, S, D).
        """
        return self.texts(captions) if self.texts else self.tokenizer(captions)

    def _texts(self) -> TextTable | None:
        part = kept_encoder(self.config)
        if part is None:
            return None
        table = TextTable(self.config.latents.text_weights, part, self.tokenizer)
        table.prepare([*self.cache.captions, *self.config.preview.prompts])
        return table

    def _fps(self, count: int) -> tuple[np.ndarray, ...]:
        return (np.full(count, self.config.latents.fps, np.float32),) if "fps" in self.takes else ()

    def _cache(self, vae_key: str) -> LatentCache:
        options = self.config.latents

        def moments(x_NCHW: np.ndarray) -> np.ndarray:
            stream = self.streams.encoding(len(x_NCHW))
            return np.concatenate(list(through(stream, [x_NCHW])))

        folder = Path(options.cache or Path(self.config.run_dir) / "latents")
        key, older = (
            json.dumps([*said, vae_key], sort_keys=True)
            for said in (self.belongs(), self.belonged())
        )
        return LatentCache(folder, self.source, options.clips, moments, key, [older])


# what every folder of latents says; keys that came later are said where they differ
FIRST = {
    *("kind", "folder", "frames", "size", "stride", "short", "crop", "flip", "max_bad"),
    *("shapes", "colours", "motions", "background", "bounce", "grow", "world_seed"),
}


def _said(data: dict[str, Any]) -> dict[str, Any]:
    """The section without later keys at their usual values: latents from before these stay good."""
    usual = asdict(DataOptions())
    return {key: value for key, value in data.items() if key in FIRST or value != usual[key]}

"""Training a latent network that is conditioned on images (DynamiCrafter, arXiv 2310.12190): the
frames of a clip from one of them, or from its first and its last.

Legend: B samples, C channels of a latent, F frames of a run, h w latent pixels, N tokens of the
image encoder, D their width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from mindspore import Tensor

from mindlong.checkpoints.files import open_named
from mindlong.checkpoints.load import load_into
from mindlong.checkpoints.part_places import read_projector
from mindlong.checkpoints.parts import read_part
from mindlong.data.source import Source, to_frames
from mindlong.networks import table
from mindlong.networks.image_conditioned import ImageConditioned
from mindlong.networks.network import made
from mindlong.training.tasks.latent import LatentTask
from mindlong.training.tasks.preview_files import write_preview
from mindlong.utils import rng

if TYPE_CHECKING:
    from mindlong.config.schema import TrainConfig
    from mindlong.diffusion.guidance import Model
    from mindlong.diffusion.noising import Noising

PREVIEWS = 4
GREY = 127.5  # 0 in [-1, 1]: what an image that is dropped becomes


class ImageTask(LatentTask):
    """As LatentTask, with given latents beside the noisy ones and an image's tokens behind the
    caption's.

    Attributes:
        network: `unet.*`, `text_encoder.*` and `projector.*`; the image encoder is not trained.
        loss: cell with construct(x0, noise, t, beside, ids, image[, fps]) -> scalar.
    """

    def __init__(self, config: TrainConfig, source: Source) -> None:
        self.images = table.get(config.model.family).denoiser.images
        super().__init__(config, source)
        encoder = read_part(
            open_named(config.latents.image_encoder, "latents.image_encoder"), "image_encoder"
        )
        self.image_entry, self.image_spec = encoder.network, encoder.spec
        cell = encoder.network.cell(encoder.spec)
        load_into(cell, {name: lazy.read() for name, lazy in encoder.arrays.items()})
        self.image_tokens = made(encoder.network.image.tokens)(cell).set_train(False)
        for parameter in self.image_tokens.get_parameters():
            parameter.requires_grad = False
        self._kept: dict[tuple[int, int], np.ndarray] = {}

    def process(self) -> Noising:
        """The noising process of the section `diffusion`, with the family's own factor on the clean
        sample.
        """
        found, entry = super().process(), table.get(self.config.model.family)
        scale = entry.denoiser.signal_scale(self.config.model.spec(), {})
        if scale is None:
            return found
        return replace(found, schedule=found.schedule.with_signal_scale(scale))

    def build(self) -> ImageConditioned:
        """The network that is trained; the projector starts from latents.projector."""
        part = read_projector(self.config.latents.projector)
        projector = part.network.cell(part.spec)
        load_into(projector, {name: lazy.read() for name, lazy in part.arrays.items()})
        images = self.images
        return ImageConditioned(super().build(), projector, not images.frames, images.beside)

    def inputs(self, step: int, samples: Sequence[int]) -> tuple[np.ndarray, ...]:
        """Latents, noise, timesteps, given latents, token ids, which images (and frames per second)
        of `samples`; `finish` puts the images' tokens in their place.

        A third of the share `diffusion.cond_drop` of the samples loses its caption, a third its
        image, a third both; the latents beside stay, as they do in guidance.
        """
        x0, noise, t, _, *fps = super().inputs(step, samples)
        seed, share = self.config.train.seed, self.config.diffusion.cond_drop
        rows = [self.cache.row(i, seed) for i in samples]
        lots = [rng.generator(seed, "image-drop", i).random() for i in samples]
        captions = [
            "" if lot < share / 3 or 2 * share / 3 <= lot < share else self.cache.captions[row]
            for lot, row in zip(lots, rows, strict=True)
        ]
        places = [self._place(i, x0.shape[2]) for i in samples]
        image = np.array(
            [
                (row, -1 if share / 3 <= lot < share else place)
                for lot, row, place in zip(lots, rows, places, strict=True)
            ]
        )
        beside = self.beside(x0, places)
        return x0, noise, t, beside, self.tokenizer(captions), image, *fps

    def finish(self, arrays: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        """The same with the tokens (B, N, D) of the images: encoders run in the steps' thread,
        since graphs of two threads get in each other's way.
        """
        *before, image, last = arrays if self._fps(1) else (*arrays, None)
        tokens = np.stack([self._tokens(int(row), int(place)) for row, place in image])
        return (*before, tokens) if last is None else (*before, tokens, last)

    def beside(self, x0_BCFhw: np.ndarray, places: Sequence[int]) -> np.ndarray:
        """The given latents: those of one frame on all, or of both ends and zeros between."""
        if self.images.given != "ends":
            chosen = np.stack([x[:, [place]] for x, place in zip(x0_BCFhw, places, strict=True)])
            return np.ascontiguousarray(np.broadcast_to(chosen, x0_BCFhw.shape))
        found = np.zeros_like(x0_BCFhw)
        found[:, :, [0, -1]] = x0_BCFhw[:, :, [0, -1]]
        return found

    def preview(self, step: int, folder: Path) -> list[Path]:
        """The first clips beside what is made of their given frames."""
        options, rows = self.config.preview, list(range(min(PREVIEWS, self.cache.count)))
        zeros = np.zeros(self.cache.shape, np.float32)
        x0 = np.stack([self.cache.latent(row, zeros) for row in rows]) * np.float32(self.scaling)
        noise = np.stack([rng.normal(x0.shape[1:], options.seed, "sample", 0, row) for row in rows])
        captions = [self.cache.captions[row] for row in rows]
        beside = self.beside(x0, [0] * len(rows))
        model = self._model(beside, captions, [self._tokens(row, 0) for row in rows])
        null = self._model(beside, [""] * len(rows), [self._tokens(row, -1) for row in rows])
        videos = to_frames(
            self.decoded(np.concatenate([x0, self.denoised(model, null, noise, titles=captions)]))
        )
        self.network.set_train(True)
        titles = [*captions, *(f"made: {caption}" for caption in captions)]
        return write_preview(folder, step, videos, titles, options.fps, len(rows))

    def describe(self) -> list[str]:
        """Lines for the opening of a run."""
        what = {
            "first": "any frame of a clip is given",
            "ends": "its ends are given",
            "tokens": "any frame of a clip is given by its tokens",
        }
        return [*super().describe(), f"conditioned on images: {what[self.images.given]}"]

    def _model(
        self, beside: np.ndarray, captions: Sequence[str], image: Sequence[np.ndarray]
    ) -> Model:
        rest = [beside, self.tokenizer(captions), np.stack(image), *self._fps(len(captions))]
        tensors = [Tensor(array) for array in rest]
        return lambda x, t: self.network(Tensor(x), Tensor(t), *tensors).asnumpy()

    def _place(self, sample: int, frames: int) -> int:
        """The frame that is given and embedded: any, or the first of two ends."""
        if self.images.given == "ends":
            return 0
        return int(rng.generator(self.config.train.seed, "given-frame", sample).integers(frames))

    def _tokens(self, row: int, place: int) -> np.ndarray:
        """The image encoder's tokens (N, D) of a clip's frame, decoded from its latents; of a grey
        image for -1.
        """
        key = (row, place) if place >= 0 else (-1, -1)
        if key not in self._kept:
            image = self._frame(*key) if place >= 0 else self._grey()
            ready = made(self.image_entry.image.squash)(image[None], self.image_spec)
            self._kept[key] = self.image_tokens(Tensor(ready)).asnumpy()[0]
        return self._kept[key]

    def _frame(self, row: int, place: int) -> np.ndarray:
        latent = self.cache.latent(row, np.zeros(self.cache.shape, np.float32))[:, [place]]
        return to_frames(self.decoded(latent[None] * np.float32(self.scaling)))[0, 0]

    def _grey(self) -> np.ndarray:
        side = self.image_spec.size
        return np.full((side, side, 3), GREY, np.float32)

"""video-diffusion-pytorch's Trainer, with its arguments and its files: `results/model-N.pt`, which
either program reads, and `results/N.gif`.

`python train.py` trains the same network and is safe against kills, resumes to the last bit and
runs over several processes; this class is for programs written for the original.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import Tensor

from mindlong.checkpoints.files import open_weights
from mindlong.checkpoints.load import load_into
from mindlong.checkpoints.our_weights import our_weights
from mindlong.checkpoints.torch_writer import write_torch
from mindlong.config.train_options import TrainOptions
from mindlong.data.clips import ClipFolder
from mindlong.face.diffusion import GaussianDiffusion
from mindlong.media.write import write_video
from mindlong.networks import table
from mindlong.networks.names import by_source, source_array
from mindlong.networks.unet3d.files import FORMAT
from mindlong.networks.unet3d.keys import FAMILY
from mindlong.training.ema import Ema
from mindlong.training.prepare import prepare
from mindlong.training.step import Stepper
from mindlong.utils.errors import ConfigError, InputFileError

GREY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow's mode L


def _silent(_: dict[str, Any]) -> None:
    return None


class Trainer:
    """Trains a GaussianDiffusion on a folder of GIFs (or any videos).

    Args:
        diffusion_model: what is trained.
        folder: of the videos, searched recursively; frames are resized to cover `image_size` and
            cut out of the middle, longer videos give their first frames, shorter ones repeat their
            last.
        train_batch_size: videos of one part of a step; a step has `gradient_accumulate_every`.
        train_lr: of Adam. train_num_steps: updates of the weights.
        ema_decay, step_start_ema, update_ema_every: of the averaged weights.
        save_and_sample_every: steps between `model-N.pt` with `N.gif`, of num_sample_rows squared
            videos.
        amp: half precision with loss scaling.
        results_folder: gets the files. max_grad_norm: gradients are clipped to it.
        num_frames: not read, as in the original: the diffusion model says how many.

    Raises:
        ConfigError, InputFileError: no video that can be used in the folder.
    """

    def __init__(
        self,
        diffusion_model: GaussianDiffusion,
        folder: str | Path,
        *,
        ema_decay: float = 0.995,
        num_frames: int = 16,
        train_batch_size: int = 32,
        train_lr: float = 1e-4,
        train_num_steps: int = 100000,
        gradient_accumulate_every: int = 2,
        amp: bool = False,
        step_start_ema: int = 2000,
        update_ema_every: int = 10,
        save_and_sample_every: int = 1000,
        results_folder: str | Path = "./results",
        num_sample_rows: int = 4,
        max_grad_norm: float | None = None,
    ) -> None:
        self.model, self.step = diffusion_model, 0
        self.batch_size, self.accumulate = train_batch_size, gradient_accumulate_every
        self.train_num_steps, self.save_and_sample_every = train_num_steps, save_and_sample_every
        self.update_ema_every, self.num_sample_rows = update_ema_every, num_sample_rows
        self.results_folder = Path(results_folder)
        self.options = TrainOptions(
            steps=train_num_steps,
            batch_size=train_batch_size * gradient_accumulate_every,
            accumulate=gradient_accumulate_every,
            lr=train_lr,
            clip_norm=max_grad_norm or 0.0,
            precision="fp16" if amp else "fp32",
            ema_decay=ema_decay,
            ema_start=step_start_ema - 1,
        )
        size = diffusion_model.image_size
        self.clips = ClipFolder(folder, diffusion_model.num_frames, (size, size))
        print(f"found {len(self.clips.paths)} videos at {folder}")
        prepare(diffusion_model.denoise_fn, self.options)
        self.ema = Ema(diffusion_model.trainable_params(), self.options)
        self._steppers: dict[tuple[bool, bool], Stepper] = {}
        self.results_folder.mkdir(exist_ok=True, parents=True)

    def train(
        self,
        prob_focus_present: float = 0.0,
        focus_present_mask: Any = None,
        log_fn: Callable[[dict[str, Any]], object] = _silent,
    ) -> None:
        """Train until `train_num_steps`; `log_fn` gets {"loss": ...} of every step.

        Raises:
            UserError: a loss that is not finite.
        """
        while self.step < self.train_num_steps:
            key, arrays = self.model.step_inputs(
                self._batch(),
                prob_focus_present=prob_focus_present,
                focus_present_mask=focus_present_mask,
            )
            update = self._stepper(key)(self.step + 1, arrays)
            if not (math.isfinite(update.loss) or update.skipped):
                raise ConfigError(f"the loss of step {self.step} is {update.loss}; lower train_lr")
            print(f"{self.step}: {update.loss}")
            if self.step % self.update_ema_every == 0:
                self.ema.update(self.step)
            log = {"loss": update.loss} | self._milestone()
            log_fn(log)
            self.step += 1
        print("training completed")

    def save(self, milestone: int | str) -> Path:
        """Write `model-N.pt` as the original does: step, weights, averages."""
        path = self.results_folder / f"model-{milestone}.pt"
        own = {p.name: p.asnumpy() for p in self.model.trainable_params()}
        fixed = {p.name: p.asnumpy() for p in self.model.denoise_fn.get_parameters()}
        whole = self._packed({**fixed, **own})
        averaged = self._packed({**fixed, **self.ema.state()})
        tree = {**whole, "step": self.step, "ema": averaged["ema"]}
        write_torch(path, tree)
        return path

    def load(self, milestone: int, **kwargs: Any) -> None:
        """Take up `model-N.pt`, of this class or of the original; -1: the newest.

        Raises:
            InputFileError: no such file, or weights of another network.
        """
        if kwargs.get("strict") is False:
            raise ConfigError("strict=False is not offered: weights that do not fit are an error")
        path = self.results_folder / f"model-{self._newest() if milestone == -1 else milestone}.pt"
        entries = FORMAT.entries(self.model.denoise_fn.settings)
        held = open_weights(path)
        for which in ("ema", "model"):  # the weights last: they stay in the network
            arrays = our_weights(held, (FAMILY, table.get(FAMILY).role), entries, which)
            load_into(self.model.denoise_fn, {n: lazy.read() for n, lazy in arrays.items()})
            if which == "ema":
                self._take_averages()
        self.step = int(held.metadata.get("step", 0))

    def _newest(self) -> int:
        found = [
            int(p.stem.split("-")[-1])
            for p in self.results_folder.glob("model-*.pt")
            if p.stem.split("-")[-1].isdigit()
        ]
        if not found:
            raise InputFileError(f"{self.results_folder} holds no model-N.pt to load")
        return max(found)

    def _take_averages(self) -> None:
        for weight, average in zip(self.ema.weights, self.ema.averages, strict=True):
            average.set_data(Tensor(weight.asnumpy()))

    def _stepper(self, key: tuple[bool, bool]) -> Stepper:
        if key not in self._steppers:
            self._steppers[key] = Stepper(
                self.model.loss_cell(*key), self.model.trainable_params(), self.options
            )
        return self._steppers[key]

    def _batch(self) -> np.ndarray:
        """(B, C, F, H, W) float32 in [0, 1]: the videos of this step."""
        count = self.options.batch_size
        first = self.step * count
        clips = [self.clips.sample(first + i).frames_FHWC for i in range(count)]
        video = np.stack(clips).transpose(0, 4, 1, 2, 3).astype(np.float32) / 255
        if self.model.channels == 1:
            return np.tensordot(GREY, video, (0, 1))[:, None]
        if self.model.channels != 3:
            raise ConfigError(f"videos of {self.model.channels} channels are not read: 1 or 3")
        return np.ascontiguousarray(video)

    def _milestone(self) -> dict[str, Any]:
        if self.step == 0 or self.step % self.save_and_sample_every:
            return {}
        milestone = self.step // self.save_and_sample_every
        self.save(milestone)
        if self.model.denoise_fn.settings.cond_dim is not None:
            return {}
        with self.ema.swapped_in():
            parts = [self.model.sample(batch_size=n).asnumpy() for n in self._groups()]
        path = self.results_folder / f"{milestone}.gif"
        video_tensor_to_gif(_tiled(np.concatenate(parts), self.num_sample_rows), path)
        return {"sample": str(path)}

    def _groups(self) -> list[int]:
        whole, rest = divmod(self.num_sample_rows**2, self.batch_size)
        return [self.batch_size] * whole + [rest] * bool(rest)

    def _packed(self, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
        settings = self.model.denoise_fn.settings
        tree: dict[str, np.ndarray] = {}
        for source, group in by_source(FORMAT.entries(settings)).items():
            tree |= dict.fromkeys((source, *group[0].ties), source_array(group, arrays))
        return FORMAT.pack(
            tree, {"form": "trainer", "timesteps": str(self.model.num_timesteps), "step": "0"}
        )


def video_tensor_to_gif(tensor: Any, path: str | Path, duration: int = 120) -> None:
    """Write one video (C, F, H, W) in [0, 1] as a GIF; `duration`: milliseconds of a frame."""
    video = tensor.asnumpy() if isinstance(tensor, Tensor) else np.asarray(tensor)
    frames = np.rint(np.clip(video, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 3, 0)
    if frames.shape[-1] == 1:
        frames = frames.repeat(3, -1)
    write_video(path, frames, 1000 / duration)


def _tiled(videos_BCFHW: np.ndarray, rows: int) -> np.ndarray:
    """rows x rows videos with a border of two pixels, as one (C, F, H', W')."""
    framed = np.pad(videos_BCFHW, ((0, 0),) * 3 + ((2, 2),) * 2)
    batch, channels, frames, height, width = framed.shape
    grid = framed.reshape(rows, batch // rows, channels, frames, height, width)
    grid = grid.transpose(2, 3, 0, 4, 1, 5)
    return grid.reshape(channels, frames, rows * height, batch // rows * width)

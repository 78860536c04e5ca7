"""A video as Python programs get it: frames in memory, saved when asked for.

Legend: F frames, H W pixels, C channels of a latent, h w latent pixels.
"""

from __future__ import annotations

import base64
import html
import io
import math
import numbers
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mindlong.media.gif import GifWriter
from mindlong.media.sheet import sampled, write_contact_sheet
from mindlong.media.write import FrameFolder, VideoFile, open_writer
from mindlong.plans.prompt_syntax import PLAIN
from mindlong.utils import arrays
from mindlong.utils.errors import ConfigError, UserError

SHOWN_SIDE, SHOWN_PIXELS = 192, 2**24  # of a video in a notebook: its usual side, its most pixels


def checked_rate(value: Any, what: str) -> float:
    """Frames per second. Raises ConfigError for what is none; `what` names it in the sentence."""
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value <= 0:
        raise ConfigError(f"{what} is {value!r}; it must be a number of frames a second, above 0")
    return float(value)


def checked_scale(value: Any) -> int:
    """A factor of `Video.save`. Raises ConfigError for what is none."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < 1:
        raise ConfigError(f"scale is {value!r}; it must be a whole number, at least 1")
    return int(value)


def coloured(frames: np.ndarray) -> np.ndarray:
    """uint8 (..., 3) of frames that may be grey (..., 1)."""
    return frames.repeat(3, axis=-1) if frames.shape[-1] == 1 else frames


@dataclass(frozen=True, eq=False)
class Video:
    """A video that was made.

    Attributes:
        frames: uint8 (F, H, W, 3), RGB.
        fps: frames per second.
        latents: float32 (C, F, h, w), what the frames were decoded from; None for a network that
            works in pixels, and for frames made without a network.
        prompt: what it shows.
        seed, number: its noise is the `number`-th of `seed`.
        recipe: how it was made, as files keep it (docs/recipes.md); "" where frames in memory went
            into it.
        prompt_syntax: how `prompt` is read, as the key of infer.py.
        titled: `prompt` is a title made of several prompts (scenes), which nothing continues.

    Raises:
        ConfigError: `fps` is no rate.
    """

    frames: np.ndarray
    fps: float = 8.0
    latents: np.ndarray | None = field(default=None, repr=False)
    prompt: str = ""
    seed: int = 0
    number: int = 0
    recipe: str = field(default="", repr=False)
    prompt_syntax: str = PLAIN
    titled: bool = False

    def __post_init__(self) -> None:
        checked_rate(self.fps, "fps of a Video")

    def __len__(self) -> int:
        return len(self.frames)

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter(self.frames)

    def __repr__(self) -> str:
        count, height, width = self.frames.shape[:3]
        return (
            f"Video({count} frames of {height}x{width} at {self.fps:g} a second, "
            f"prompt={self.prompt!r}, seed={self.seed})"
        )

    def save(
        self, path: str | Path, *, scale: int = 1, overwrite: bool = False, recipe: bool = True
    ) -> Path:
        """Write the video; the suffix says how: .mp4 (H.264), .gif, .webm, .webp, none (a folder of
        PNG files), .png (a contact sheet), .npz (the latents, as the commands leave them).

        Args:
            scale: enlarge the frames by this whole number; latents have none.
            overwrite: what is there already is replaced.
            recipe: keep in the file how the video was made, for `infer.py --from FILE`.

        Returns:
            The path.

        Raises:
            UserError: something is there already, or it cannot be written. ConfigError: an unknown
                suffix, .npz of a video without latents, or a scale that is none.
        """
        path, comment, scale = Path(path), self.recipe if recipe else "", checked_scale(scale)
        if path.suffix and path.exists() and not overwrite:
            raise UserError(f"{path} is there already; give overwrite=True to replace it")
        if path.suffix == ".npz":
            return self._save_latents(path, scale)
        if path.suffix == ".png":
            large = [self._large(self.frames, scale)]
            return write_contact_sheet(path, large, [self.prompt], comment=comment)
        with self._writer(path, overwrite, comment) as writer:
            for frame in self.frames:
                writer.append(self._large(frame[None], scale)[0])
        return path

    def _writer(self, path: Path, overwrite: bool, comment: str) -> VideoFile | FrameFolder:
        if path.suffix:
            return open_writer(path, self.fps, comment)
        return FrameFolder(path, self.fps, overwrite, comment=comment)

    def _save_latents(self, path: Path, scale: int) -> Path:
        if scale != 1:
            raise ConfigError(
                f"scale is {scale}; {path} holds latents, which are not enlarged: leave scale out"
            )
        if self.latents is None:
            raise ConfigError(f"{path} cannot be written: the video was not made from latents")
        arrays.write_npz(path, latents=self.latents)
        return path

    @staticmethod
    def _large(frames: np.ndarray, scale: int) -> np.ndarray:
        return frames.repeat(scale, axis=1).repeat(scale, axis=2)

    def _repr_html_(self) -> str:
        """The video as it plays in a notebook: a GIF in the page; of very long ones some frames."""
        height, width = self.frames.shape[1:3]
        count = max(min(len(self), SHOWN_PIXELS // (height * width)), 1)
        chosen, fps = self.frames[sampled(len(self), count)], self.fps * count / len(self)
        held = io.BytesIO()
        writer = GifWriter(held, (height, width), fps)
        for frame in chosen:
            writer.append(frame)
        writer.close()
        data = base64.b64encode(held.getvalue()).decode()
        large = max(1, SHOWN_SIDE // max(height, width))
        said = html.escape(f"{self.prompt} ({len(self)} frames, seed {self.seed})", quote=True)
        return (
            f'<figure><img src="data:image/gif;base64,{data}" width="{width * large}" '
            f'height="{height * large}" style="image-rendering: pixelated" alt="{said}">'
            f"<figcaption>{said}</figcaption></figure>"
        )

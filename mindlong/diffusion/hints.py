"""What the network of an interpolation or extension reads of the frames that are given, and how
these may be held fixed.

The network of make-a-stable-diffusion-video (the pseudo-3D inpainting UNet) reads nine channels:
the noisy latents, a mask, and hints, which are latents of given frames spread over the run. The
published stage gives every frame the given frame *before* it, leaves the mask at zero and makes the
given frames again; the other choices here are what its author asked for and did not have.

Places are frame numbers, of the run and of the given frames alike; given frames may lie outside the
run (the first-frame model makes the frames after the one it is given).

Legend: B videos, C channels, K given frames, F frames of the run, h w latent pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mindlong.diffusion.parameterise import add_noise
from mindlong.utils.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from mindlong.diffusion.guidance import Model
    from mindlong.diffusion.schedules import Schedule

FILLS = ("previous", "nearest", "linear")
MASKS = ("zero", "between")
PINS = ("none", "final", "each_step")


@dataclass(frozen=True)
class Rule:
    """How a stage uses what it is given; the defaults are the published ones.

    Attributes:
        hint: of FILLS. mask: of MASKS.
        pin: "none": given frames are made again; "final": they stay, bit for bit; "each_step": they
            stay, and the network sees them at the right noise level while the others are made.
        hint_noise: deviation of noise mixed into the hints, 0 to 1.
        shared_noise: the noise of stochastic samplers is one image for all frames (the published
            DDIM, with eta).
    """

    hint: str = "previous"
    mask: str = "zero"
    pin: str = "none"
    hint_noise: float = 0.0
    shared_noise: bool = False

    def __post_init__(self) -> None:
        for name, value, valid in (
            ("hint", self.hint, FILLS),
            ("mask", self.mask, MASKS),
            ("pin", self.pin, PINS),
        ):
            if value not in valid:
                raise ConfigError(
                    f"{name} is {value!r}; it must be one of {', '.join(valid)}.{did_you_mean(value, valid)}"
                )


@dataclass(frozen=True)
class Fill:
    """For each frame of a run: `share` of the given frame number `after`, the rest of number
    `before`. All (F,).
    """

    before: np.ndarray
    after: np.ndarray
    share: np.ndarray

    def spread(self, given_BCKhw: np.ndarray) -> np.ndarray:
        """(B, C, K, h, w) -> (B, C, F, h, w); where the share is 0 the given frame itself, bit for
        bit.
        """
        before = given_BCKhw[:, :, self.before]
        if not self.share.any():
            return before
        share = self.share[:, None, None].astype(given_BCKhw.dtype)
        return np.where(
            share > 0, before * (1 - share) + given_BCKhw[:, :, self.after] * share, before
        )


def fill(given: Sequence[int], frames: Sequence[int], how: str = "previous") -> Fill:
    """Which given frames serve as the hints of a run's frames.

    Args:
        given: places of the given frames, ascending.
        frames: places of the run's frames.
        how: "previous": the last given frame that is not later (the published rule); "nearest": of
            two as near the earlier; "linear": both neighbours by their distance. Outside all given
            frames: the outermost one.

    Raises:
        ConfigError: no given frames, given frames out of order, an unknown `how`.
    """
    if how not in FILLS:
        raise ConfigError(
            f"hint is {how!r}; it must be one of {', '.join(FILLS)}.{did_you_mean(how, FILLS)}"
        )
    places, at = np.asarray(given), np.asarray(frames)
    if not len(places) or (np.diff(places) <= 0).any():
        raise ConfigError(
            f"Hints need given frames in ascending order; they are at {list(given)[:8]}."
        )
    before = np.clip(np.searchsorted(places, at, side="right") - 1, 0, len(places) - 1)
    after = np.minimum(before + 1, len(places) - 1)
    gap = np.maximum(places[after] - places[before], 1)
    share = np.where(after > before, np.clip((at - places[before]) / gap, 0, 1), 0.0)
    if how == "linear":
        return Fill(before, after, share.astype(np.float32))
    chosen = np.where(share > 0.5, after, before) if how == "nearest" else before
    return Fill(chosen, chosen, np.zeros(len(at), np.float32))


def stage_fill(frames: int, factor: int, how: str = "previous") -> Fill:
    """The fill of a run of `frames` frames whose frames 0, factor, 2 factor, ... are given; any
    length.
    """
    return fill(range(0, frames, factor), range(frames), how)


def mask(
    given: Sequence[int], frames: Sequence[int], size: tuple[int, int], how: str = "zero"
) -> np.ndarray:
    """float32 (1, 1, F, h, w), 1 where the network is to paint: "zero" nowhere (as published: the
    mask says nothing), "between" in every frame that is not given.
    """
    if how not in MASKS:
        raise ConfigError(
            f"mask is {how!r}; it must be one of {', '.join(MASKS)}.{did_you_mean(how, MASKS)}"
        )
    known = np.isin(np.asarray(frames), np.asarray(given))
    painted = np.zeros(len(known)) if how == "zero" else 1.0 - known
    return np.broadcast_to(
        painted.astype(np.float32)[None, None, :, None, None], (1, 1, len(known), *size)
    ).copy()


def prepare_mask(
    picture_HWC: np.ndarray, mask_HW: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, ...]:
    """An image and what of it is to be repainted, as the inpainting network wants them.

    Args:
        picture_HWC: uint8 (H, W, 3). mask_HW: uint8 0..255 or float 0..1, (H, W); from a half on it
            is repainted.
        size: height and width of a latent.

    Returns:
        mask float32 (1, 1, H, W) of 0 and 1, the image in [-1, 1] with zeros there (1, 3, H, W),
        and the mask at the size of a latent (1, 1, h, w), by the nearest pixel above and left.

    Raises:
        ConfigError: image and mask of different sizes.
    """
    if picture_HWC.shape[:2] != mask_HW.shape:
        raise ConfigError(
            f"The image is {picture_HWC.shape[:2]} and its mask {mask_HW.shape}; they need one size."
        )
    share = (
        mask_HW.astype(np.float32) / 255
        if mask_HW.dtype == np.uint8
        else mask_HW.astype(np.float32)
    )
    ready = (share >= 0.5).astype(np.float32)[None, None]
    picture = picture_HWC.transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1
    rows, columns = (
        np.arange(small) * full // small for small, full in zip(size, mask_HW.shape, strict=True)
    )
    return ready, picture * (ready < 0.5), ready[:, :, rows][:, :, :, columns]


def augment(hints: np.ndarray, noise: np.ndarray, level: float) -> np.ndarray:
    """Hints with noise of deviation `level` mixed in so that the variance stays: the
    signal-to-noise ratio is (1 - level^2) / level^2, so 0.87 and 0.78 are the ratios 0.33 and 0.66
    of the published extension.

    Raises:
        ConfigError: a level outside 0 to 1.
    """
    if not 0 <= level <= 1:
        raise ConfigError(
            f"hint_noise is {level:g}; it must be between 0 (none) and 1 (nothing but noise)"
        )
    return (
        hints
        if level == 0
        else (hints * np.float32((1 - level**2) ** 0.5) + noise * np.float32(level))
    )


def with_hints(model: Model, mask_BFhw: np.ndarray, hints: np.ndarray) -> Model:
    """A model of latents alone: puts mask and hints behind their channels and calls the network.

    Args:
        mask_BFhw: (B or 1, 1, F, h, w). hints: (B or 1, C, F, h, w).
    """

    def hinted(x: np.ndarray, t: np.ndarray) -> np.ndarray:
        beside = [np.broadcast_to(part, (len(x), *part.shape[1:])) for part in (mask_BFhw, hints)]
        return model(np.concatenate([x, *beside], axis=1).astype(np.float32), t)

    return hinted


def pinned_start(
    noise: np.ndarray, given: np.ndarray, where: Sequence[int], schedule: Schedule
) -> np.ndarray:
    """`noise` (B, C, F, h, w), with the frames `where` at the noise level of the last timestep
    instead of at pure noise: where sampling starts that holds them (`samplers.loop.Held`).
    """
    level, x = schedule.level(schedule.timesteps - 1), noise.copy()
    places = np.asarray(where, int)
    x[:, :, places] = add_noise(
        given, noise[:, :, places], np.float32(level.signal), np.float32(level.sigma)
    )
    return x

"""What a network reads that is given some images of a video and makes the others, where an
autoencoder makes one latent of several images (CogVideoX-Fun-InP).

Behind the noisy latents stand a mask and the latents of the video with black where nothing is
given.

Legend: n images, F latents of them, L channels of a latent, h w latent pixels, H W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

BLACK = -1.0


def with_black(
    given: Mapping[int, np.ndarray], frames: int, noise: Mapping[int, np.ndarray] | None = None
) -> np.ndarray:
    """The video that is encoded: float32 (n, 3, H, W).

    Args:
        given: place -> image (3, H, W) in [-1, 1].
        frames: n.
        noise: place -> what is added to a given image, but where it is exactly black; None: zeros.
    """
    size = next(iter(given.values())).shape
    video = np.full((frames, *size), BLACK, np.float32)
    for place, image in given.items():
        added = 0.0 if noise is None else noise[place]
        video[place] = np.where(image == BLACK, image, image + added)
    return video


def known_share(given: Mapping[int, np.ndarray], frames: int, latents: int) -> np.ndarray:
    """How far the images of each latent are given, float32 (F,), as published: the first image
    alone, the others resized by straight lines, corners not aligned. Of a single image at the end
    the lines see nothing.
    """
    known = np.isin(np.arange(frames), list(given)).astype(np.float64)
    if latents == 1:
        return known[:1].astype(np.float32)
    rest, count = known[1:], latents - 1
    at = np.clip((np.arange(count) + 0.5) * len(rest) / count - 0.5, 0, len(rest) - 1)
    low = np.floor(at).astype(int)
    high, share = np.minimum(low + 1, len(rest) - 1), at - low
    return np.append(known[0], rest[low] * (1 - share) + rest[high] * share).astype(np.float32)


def hint(
    given: Mapping[int, np.ndarray], frames: int, latents_LFhw: np.ndarray, scaling: float
) -> np.ndarray:
    """Mask and known latents, float32 (1 + L, F, h, w).

    Args:
        latents_LFhw: of `with_black`, scaled.
        scaling: of the autoencoder; the mask is multiplied by it too, as published.
    """
    _, latents, height, width = latents_LFhw.shape
    share = known_share(given, frames, latents)[None, :, None, None] * np.float32(scaling)
    mask = np.broadcast_to(share, (1, latents, height, width))
    return np.concatenate([mask, latents_LFhw]).astype(np.float32)

"""What a run of the interpolation pipeline would do, without MindSpore: where key frames come from,
the chain, the rates.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from mindlong.checkpoints.latent_parts import LatentParts, find_latent_parts
from mindlong.config.infer_options.interpolate import InterpolateOptions
from mindlong.config.load import Loaded
from mindlong.pipelines.interpolate.key_frames import KeyFrames, from_images, from_video
from mindlong.plans.chain import Chain, plan_chain
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.lines import count


@dataclass(frozen=True)
class Work:
    """A configuration worked out.

    Attributes:
        source: key frames from a file, or None.
        latents: key frames as latents (C, K, h, w), or None; with neither they are made from
            prompts.
        chain: of the whole; `redo` as pin says.
        rate: frames per second of the result.
        natural: the rate at which the result lasts as long as its source; 0: it has none.
    """

    source: KeyFrames | None
    latents: np.ndarray | None
    chain: Chain
    rate: float
    natural: float

    @property
    def frames(self) -> int:
        """Of the finished video."""
        return self.chain.frames or self.chain.total


def work_of(config: Any) -> Work:
    """Read what key frames there are and lay out the chain. Raises ConfigError, InputFileError."""
    o: InterpolateOptions = config.interpolate
    source = _source(o)
    latents = read_key_latents(o.key_latents) if o.key_latents else None
    keys = source.count if source else latents.shape[1] if latents is not None else o.keys
    natural = source.fps * prod(o.stages()) if source else 0.0
    pieces = o.chunk if source else 0
    redo = o.pin == "none" and o.method == "diffusion"
    chain = Chain(keys, o.stages(), config.frames, o.window, redo, pieces)
    return Work(source, latents, chain, o.rate or natural or float(config.fps), natural)


def _source(o: InterpolateOptions) -> KeyFrames | None:
    if o.video:
        return from_video(o.video, o.max_frames, o.uneven)
    return from_images(o.images) if o.images else None


def read_key_latents(path: str) -> np.ndarray:
    """(C, K, h, w) float32 from an npz with `latents`, as other pipelines leave them. Raises
    InputFileError.
    """
    if not Path(path).is_file():
        raise InputFileError(f"interpolate.key_latents: {path} does not exist")
    try:
        with np.load(path, allow_pickle=False) as held:
            latents = np.asarray(held["latents"], np.float32)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise InputFileError(
            f"interpolate.key_latents: {path} is no npz with the array latents ({error})"
        ) from None
    latents = latents[0] if latents.ndim == 5 and len(latents) == 1 else latents
    if latents.ndim != 4 or latents.shape[1] < 2:
        raise InputFileError(
            f"interpolate.key_latents: {path} holds latents of shape {latents.shape}; (channels, key frames, "
            "height, width) with at least 2 key frames is needed"
        )
    return latents


def is_hinted(parts: Any, vae_channels: int) -> bool:
    """Whether a UNet reads mask and hints behind the latents. Raises ConfigError where it reads
    something else.
    """
    if parts.in_channels == 2 * vae_channels + 1:
        return True
    if parts.in_channels == vae_channels:
        return False
    raise ConfigError(
        f"the UNet reads {parts.in_channels} channels; interpolation needs {2 * vae_channels + 1} (latents, mask, "
        f"hint) or {vae_channels} (latents alone, with interpolate.pin=each_step)"
    )


def plan(loaded: Loaded) -> dict[str, str]:
    """Rows of the dry run."""
    config = loaded.values
    o, work = config.interpolate, work_of(config)
    rows = {
        "key frames": _said(work, o),
        "result": f"{work.frames} frames at {work.rate:g} frames a second",
    }
    if o.method != "diffusion":
        return rows | {"method": f"{o.method}, no network"}
    parts: LatentParts = find_latent_parts(config.weights, config.latent)
    told = (
        "reads hints"
        if is_hinted(parts.network.spec, parts.vae.spec.latent_channels)
        else "reads no hints"
    )
    chained = plan_chain(work.chain)
    return rows | {
        "parameters": ", ".join(f"{name} {count(n)}" for name, n in parts.parameters().items()),
        "network": f"{parts.network.family}, {told}",
        "plan": "\n".join(chained.describe()),
    }


def _said(work: Work, o: InterpolateOptions) -> str:
    if work.source:
        height, width = work.source.size
        rate = f" at {work.source.fps:g} frames a second" if work.source.fps else ""
        return f"{work.source.count} of {height}x{width}{rate} from {work.source.where}"
    return (
        f"{work.chain.keys} from {o.key_latents}"
        if o.key_latents
        else f"{work.chain.keys}, made from the prompts"
    )

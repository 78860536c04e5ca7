"""What plans say of a network that is conditioned on images; without MindSpore."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mindlong.utils.errors import ConfigError

if TYPE_CHECKING:
    from mindlong.checkpoints.latent_parts import LatentParts
    from mindlong.networks.network import Images


def images_of(parts: LatentParts) -> Images | None:
    """How the network is conditioned on images; None: it is not."""
    return parts.network.network.denoiser.images


def calls(sample: Any, image_guidance: float) -> int:
    """How often a step calls the network."""
    return 3 if image_guidance else 1 if sample.guidance == 1 else 2


def taken(images: Images, rates: Sequence[int], fps: float, depth: int = 0) -> int:
    """What a network takes as its frame rate: the rate given for the level, or the nearest that it
    was trained on.
    """
    return rates[min(depth, len(rates) - 1)] if rates else images.taken(fps)


def rates_row(images: Images, rates: Sequence[int], usual: int) -> str:
    """The rate that is taken, in a row of the dry run."""
    low, high = images.rates
    unit = "frames of a film apart" if images.stride else "frames a second"
    return (
        f"the network takes {rates[0] if rates else usual} ({unit}; it is used at {low} to {high})"
    )


def check_rates(rates: Sequence[int], levels: int) -> None:
    """Raise ConfigError where more frame rates are given than there are levels to take them."""
    if len(rates) > levels:
        where = f"there are {levels} levels" if levels > 1 else "all runs take the first"
        raise ConfigError(
            f"conditioning.fs names {len(rates)} rates, {list(rates)}, and {where}; leave out the rest"
        )


def unusual_rates(images: Images | None, rates: Sequence[int]) -> Iterator[str]:
    """A sentence where a network is to take a frame rate that it is not used at."""
    if images is None:
        return
    low, high = images.rates
    for rate in dict.fromkeys(rates):
        if not low <= rate <= high:
            yield (
                f"conditioning.fs is {rate}, and the network is used at {low} to {high}; what it makes at "
                "another may be bad"
            )


def check_room(images: Images, frames: int) -> None:
    """Raise ConfigError where a run has no frame between the two that are given."""
    if images.given == "ends" and frames < 3:
        raise ConfigError(
            f"frames is {frames}; the network makes what lies between the first frame and the last, so a run has "
            f"at least 3 ({images.frames} is what it was trained on)"
        )


def unusual_run(images: Images | None, frames: int) -> Iterator[str]:
    """A sentence where runs are not as long as the network was trained on."""
    if images and images.frames and frames != images.frames:
        yield (
            f"the network is trained on runs of {images.frames} frames, each with image tokens of its own; in runs "
            f"of {frames} every frame reads all of them, and what it makes may be bad"
        )


def check_same_latents(key: LatentParts, parts: LatentParts, name: str) -> None:
    """Raise ConfigError where latents of one autoencoder are not those of the other."""
    ours, theirs = parts.vae.spec, key.vae.spec
    for field in ("factor", "latent_channels", "scaling"):
        if not math.isclose(getattr(ours, field), getattr(theirs, field), rel_tol=1e-5):
            raise ConfigError(
                f"the autoencoder of {name} has {field} {getattr(theirs, field)} and that of weights "
                f"{getattr(ours, field)}; latents go from one to the other, so they must be of one kind"
            )

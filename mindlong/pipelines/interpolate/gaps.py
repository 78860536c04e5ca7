"""Which factors a network can serve that makes runs of one length between two frames; without
MindSpore.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mindlong.pipelines.image_parts import images_of
from mindlong.utils.errors import ConfigError

if TYPE_CHECKING:
    from mindlong.checkpoints.latent_parts import LatentParts
    from mindlong.plans.chain import Chain

IDLE = ("hint", "mask", "hint_noise", "shared_noise")


def stretch_of(factor: int, length: int) -> int:
    """Every how manieth frame of a run a stage keeps. Raises ConfigError where none fits."""
    if (length - 1) % factor:
        fitting = [n for n in range(length - 1, 1, -1) if (length - 1) % n == 0]
        raise ConfigError(
            f"the factor is {factor}; the network makes runs of {length} frames between two, of which all or "
            f"every few are kept, so that a factor must be one of {', '.join(map(str, fitting))} (factor=15, or "
            "factors=[3,5])"
        )
    return (length - 1) // factor


def one_by_one(chain: Chain) -> Chain:
    """The chain with windows of few gaps, where none are asked for."""
    return replace(chain, window=chain.window or max(chain.factors) + 1)


def check_stages(stages: Sequence[LatentParts], options: Any) -> None:
    """Raise ConfigError where a stage's network cannot make what is asked for.

    Args:
        stages: the networks of the stages, the last for all behind it.
        options: the section `interpolate`.
    """
    for number, factor in enumerate(options.stages()):
        parts = stages[min(number, len(stages) - 1)]
        images, about = images_of(parts), parts.network.network.about
        if images is None:
            raise ConfigError(
                f"{parts.where} is {about}, and another stage's network is conditioned on images; both must be"
            )
        if images.given != "ends":
            raise ConfigError(
                f"{about} makes video from one image; interpolation needs a network that makes frames between two"
            )
        stretch_of(factor, images.frames)
    if options.pin == "none":
        raise ConfigError(
            "interpolate.pin is none, but the network is conditioned on given frames, which stay: each_step or final"
        )


def unread_by_images(section: str) -> Iterator[tuple[str, str]]:
    """(key, reason) of the keys of a section that a network conditioned on images leaves idle."""
    for key in IDLE:
        yield (
            f"{section}.{key}",
            "is not read: the network is conditioned on given frames themselves",
        )

"""A hierarchy whose networks are conditioned on images: which runs they can make, at which rates;
without MindSpore.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from mindlong.checkpoints.latent_parts import LatentParts, find_latent_parts
from mindlong.config.infer_options.latent import LatentModelOptions
from mindlong.networks import table
from mindlong.pipelines.checks import fit
from mindlong.pipelines.image_parts import (
    check_same_latents,
    images_of,
    taken,
    unusual_rates,
)
from mindlong.utils.errors import ConfigError

if TYPE_CHECKING:
    from mindlong.config.pipelines import HierarchicalConfig
    from mindlong.networks.network import Images
    from mindlong.pipelines.hierarchical.plan import Work
    from mindlong.plans.hierarchy import Job

KEY = "hierarchical.key_weights"


def without_branch(images: Images | None) -> str:
    """How a network without a control branch learns of known frames."""
    how = "the network is conditioned on given images"
    return f"none: {how if images else 'known frames are held to, the network is conditioned on nothing'}"


def key_options(options: LatentModelOptions) -> LatentModelOptions:
    """How the networks of level 0 are read: the words on families and parts are for `weights`."""
    usual = LatentModelOptions()
    own = ("family", "vae", "text_encoder", "image_encoder", "projector", "reads", "prediction")
    return replace(options, **{name: getattr(usual, name) for name in own})


def key_parts(config: HierarchicalConfig, parts: LatentParts) -> LatentParts | None:
    """The networks that make level 0, where they are others. Raises ConfigError where their latents
    are of another kind.
    """
    named = config.hierarchical.key_weights
    if not named:
        return None
    found = find_latent_parts(named, key_options(config.latent))
    fit(found, images=True)
    check_same_latents(found, parts, KEY)
    return found


def check_images(work: Work, parts: LatentParts, key: LatentParts | None) -> None:
    """Raise ConfigError where a run does not know what its network is conditioned on."""
    for job in work.plan.jobs:
        by = key if key is not None and job.level == 0 else parts
        images = images_of(by)
        if images:
            _check(job, by, images.given)


def _check(job: Job, parts: LatentParts, given: str) -> None:
    known, about = job.known_mask, parts.network.network.about
    if given == "tokens":
        raise ConfigError(
            f"{about}: its frames are not the image itself, so no frames can be made around given ones; take one "
            f"of {', '.join(table.of_images('first', 'ends'))} (it serves pipeline=animate)"
        )
    if given == "first" and (not known[0] or any(known[1:])):
        what = "knows frames behind its first" if known[0] else "knows no first frame"
        raise ConfigError(
            f"{about} makes video from one image, and {job.name} {what}; levels below the first need a network "
            f"that makes frames between two (as weights; this one can be {KEY}, with hierarchical.first)"
        )
    if given == "ends" and not (known[0] and known[-1]):
        raise ConfigError(
            f"{about} makes what lies between two given frames, and {job.name} does not know both; give key "
            f"frames by hierarchical.images, hierarchical.key_video or first and last, or networks that make them "
            f"by {KEY}"
        )


def unusual_level_rates(
    work: Work, config: HierarchicalConfig, parts: LatentParts, key: LatentParts | None
) -> Iterator[str]:
    """Sentences on rates given for levels whose networks are not used at them."""
    rates, levels = config.conditioning.fs, len(work.lengths)
    top = rates[:1] if key is not None else []
    yield from unusual_rates(images_of(key) if key else None, top)
    yield from unusual_rates(images_of(parts), rates[1:] if top and levels > 1 else rates)


def level_rates(
    work: Work, config: HierarchicalConfig, parts: LatentParts, key: LatentParts | None
) -> Iterator[str]:
    """For each level the rate of its runs and what its network takes, as far as one is conditioned
    on images; and how much slower than life it then is.
    """
    for level, jobs in work.plan.levels():
        by = key if key is not None and level == 0 else parts
        images = images_of(by)
        if not jobs or images is None:
            continue
        rate = config.fps / (jobs[0].frames[1] - jobs[0].frames[0])
        rated = taken(images, config.conditioning.fs, rate, level)
        row = f"  level {level}: {rate:g} frames a second, the network takes {rated}"
        if not images.within(rate):
            low, high = images.rates
            row += f" (used at {low} to {high}: what it makes moves as at that rate"
            row += f", so it is {rated / rate:.1f} times slow motion)" if not images.stride else ")"
        yield row

"""Which UNets can be run on one clip of a longer video."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mindlong.networks.unet import stage_spec as words
from mindlong.utils.errors import ConfigError

if TYPE_CHECKING:
    from mindlong.networks.unet.spec import UNetSpec


def check_shardable(spec: UNetSpec) -> None:
    """Raise ConfigError where the network has layers over frames other than temporal convolutions
    and transformers.
    """
    transformers = [s for s in (*spec.stages, spec.entry) if isinstance(s, words.Transformer)]
    single = [b for s in transformers if not s.joint for b in s.branches]
    across = [b for b in single if b.kind == "time" or (b.kind == "space" and b.reads != "frame")]
    joint = [s for s in transformers if s.joint and not any(b.kind == "time" for b in s.branches)]
    if any(s.places and s.views is None for s in transformers):
        raise ConfigError(
            "Motion modules add each frame's place in a window, which a clip of a long video has not; "
            "clip_parallel.strategy=views reads the video in windows, windows and free_noise ask the network for single ones."
        )
    viewed = [s for s in transformers if s.views is not None]
    if viewed:
        _check_views(spec, viewed)
        return
    if spec.joint or spec.pseudo3d or across or joint:
        raise ConfigError(
            "Clip-parallel runs need a UNet of the modelscope or videocrafter2 family: only its temporal "
            "convolutions and temporal transformers see other frames."
        )


def _check_views(spec: UNetSpec, viewed: list[words.Transformer]) -> None:
    """Raise ConfigError where a network with views has norms over all frames, or other layers over
    frames.
    """
    others = [s for s in spec.transformers if s not in viewed]
    across = [
        b
        for s in others
        for b in s.branches
        if b.kind == "time" or (b.kind == "space" and b.reads != "frame")
    ]
    convs = [s for s in spec.stages if isinstance(s, words.TemporalConv)]
    if spec.joint or any(s.joint for s in viewed):
        raise ConfigError(
            "clip_parallel.strategy=views needs norms frame by frame; those of AnimateDiff v1, and those that compat "
            "takes over all frames, would need the whole video in every layer."
        )
    if (
        across
        or convs
        or spec.pseudo3d
        or any(s.views is None or s.views.around != "block" for s in viewed)
    ):
        raise ConfigError(
            "clip_parallel.strategy=views is for networks in which only motion modules see other frames; strategy=exact is "
            "for those with other layers over frames."
        )

"""The keys of the interpolation pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mindlong.config.infer_options.scenes import SceneOptions
from mindlong.config.option import option

NETWORKS = (  # keys that only networks read
    "weights",
    "lora",
    "lora_strict",
    "prompt",
    "prompts",
    "prompt_syntax",
    "long_prompts",
    "count",
    "batch",
    "preview_every",
    "seed",
    "sample",
    "latent",
    "attention",
    "conditioning",
    *(
        f"interpolate.{key}"
        for key in (
            "encode",
            "key_weights",
            "keys",
            "key_stride",
            "stage_weights",
            "window",
            "hint",
            "mask",
            "pin",
            "hint_noise",
            "shared_noise",
            "chunk",
            "detail",
            "negative",
            "scenes",
        )
    ),
)
METHODS = ("diffusion", "flow", "blend", "repeat")
DETAILS = ("network", "flow")
HINTS, MASKS, PINS = (
    ("previous", "nearest", "linear"),
    ("zero", "between"),
    ("none", "final", "each_step"),
)


@dataclass
class InterpolateOptions(SceneOptions):
    """Frames between key frames: of a video whose frame rate is raised, of images, or of key
    frames made from prompts.
    """

    method: str = option(
        "diffusion",
        "diffusion: the networks in weights; flow: optical flow (OpenCV DIS), blend, repeat: no "
        "network at all",
        choices=METHODS,
    )
    video: str = option("", "raise the frame rate of this video (a file or a folder of frames)")
    images: list[str] = option([], "key frames as images, in order; all of one size")
    alpha_background: str = option(
        "white",
        "the colour seen where what is given is transparent: a name, or '#rrggbb'",
        when="video|images",
    )
    key_latents: str = option(
        "",
        "key frames as latents: an npz with latents (channels, key frames, height, width), such as "
        "other pipelines leave in latents/",
    )
    encode: str = option(
        "mean",
        "key frames from files: the autoencoder's mean, or a sample (as published)",
        choices=("mean", "sample"),
        when="video|images",
    )
    key_weights: str = option(
        "",
        "no video, images or latents: networks that make key frames from the prompts; empty: weights",
        when="!video !images !key_latents",
    )
    keys: int = option(
        5,
        "no video, images or latents: number of key frames",
        minimum=0,
        when="!video !images !key_latents",
    )
    key_stride: int = option(
        1,
        "no video, images or latents: key frames are every n-th frame of the clip that is made for "
        "them, so that key_weights makes clips of the length and the speed that it knows",
        minimum=1,
        when="!video !images !key_latents",
    )
    factor: int = option(0, "a single stage with this factor; 0: as factors say", minimum=0)
    factors: list[int] = option(
        [4, 4],
        "every gap of stage k becomes factors[k] gaps: 5 key frames and [4, 4] give 17, then 65",
        minimum=1,
        when="!factor",
    )
    stage_weights: list[str] = option(
        [], "networks of each stage; empty: weights serves all of them"
    )
    window: int = option(
        0, "longest run of a stage in frames, for videos of any length; 0: no limit", minimum=0
    )
    hint: str = option(
        "",
        "given frame that a frame has as its hint: previous (as published), nearest, linear; empty: as trained",
        choices=("", *HINTS),
    )
    mask: str = option(
        "",
        "zero: the mask says nothing (as published); between: it marks the frames to make; empty: as trained",
        choices=("", *MASKS),
    )
    pin: str = option(
        "each_step",
        "given frames are made again (none, as published), stay (final), or stay and are seen at the "
        "right noise level (each_step)",
        choices=PINS,
    )
    hint_noise: float = option(0.0, "deviation of noise mixed into the hints, 0 to 1", minimum=0)
    shared_noise: bool = option(
        False, "noise of eta above 0 is one image for all frames, as published"
    )
    max_frames: int = option(
        0,
        "video: read only so many frames; 0: all",
        minimum=0,
        when="video",
    )
    rate: float = option(
        0.0,
        "frames per second of the result; 0: video: the factor times its own, else fps",
        minimum=0,
        maximum=1000,
    )
    uneven: str = option(
        "refuse",
        "video whose frames are not evenly spaced in time: refuse it, or take them as even",
        choices=("refuse", "even"),
        when="video",
    )
    chunk: int = option(
        32,
        "key frames encoded and kept as one job",
        minimum=1,
        when="video|images",
    )
    detail: str = option(
        "network",
        "whose pixels are taken where the network and optical flow between the given frames show the "
        "same: the network's, or flow's, which no autoencoder has softened; the given frames are "
        "then as they were given",
        choices=DETAILS,
        when="video|images",
    )
    negative: str = option(
        "",
        "what the video should not show; guidance leads away from it",
        text=True,
    )

    def stages(self) -> tuple[int, ...]:
        """The factors of the stages."""
        return (self.factor,) if self.factor else tuple(self.factors)

    def idle(self, config: Any) -> Iterator[tuple[str, str]]:
        """(key, reason) of what these settings leave unread."""
        yield from self.unread_prompts("interpolate")
        for key in NETWORKS if self.method != "diffusion" else ():
            yield (
                key,
                f"is not read where interpolate.method is {self.method}, which uses no network; it "
                "belongs to interpolate.method=diffusion",
            )
        if self.video:
            yield (
                "fps",
                "is not read, because interpolate.video has a rate of its own; interpolate.rate "
                "changes that of the result",
            )
        elif self.rate:
            yield "fps", "is not read, because interpolate.rate is given"
        if self.key_latents:
            yield "size", "is not read, because interpolate.key_latents have a size of their own"
        if self.stage_weights and (self._given() or self.key_weights):
            for key in ("weights", "lora", "lora_strict"):
                yield key, "is not read, because interpolate.stage_weights names the networks"

    def _given(self) -> bool:
        return bool(self.video or self.images or self.key_latents)

    def problems(self, config: Any) -> Iterator[str]:
        """Sentences on fields that do not fit together."""
        yield from self.scene_problems("interpolate")
        given = [name for name in ("video", "images", "key_latents") if getattr(self, name)]
        if len(given) > 1:
            yield f"interpolate.{given[0]} and interpolate.{given[1]} are both given; key frames come from one of them"
        if not self.stages() or min(self.stages()) < 2:
            yield (
                f"interpolate.{'factor' if self.factor else 'factors'} is {self.factor or list(self.factors)}; a factor is at "
                "least 2, 1 would add nothing"
            )
        if not given and self.keys < 2:
            yield f"interpolate.keys is {self.keys}; interpolation needs at least 2 key frames"
        if self.images and len(self.images) < 2:
            yield "interpolate.images names 1 image; interpolation needs at least 2 key frames"
        if self.method != "diffusion" and not self.video and not self.images:
            yield f"interpolate.method is {self.method}; it needs interpolate.video or interpolate.images"
        if self.stage_weights and len(self.stage_weights) != len(self.stages()):
            yield f"interpolate.stage_weights names {len(self.stage_weights)} networks for {len(self.stages())} stages"
        if self.hint_noise > 1:
            yield f"interpolate.hint_noise is {self.hint_noise:g}; it is at most 1"

"""The keys of the hierarchical pipeline: diffusion over diffusion."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mindlong.config.option import option
from mindlong.plans.frame_prompts import check
from mindlong.utils.errors import ConfigError

ORDERS = ("hierarchy", "autoregressive", "independent")


@dataclass
class HierarchicalOptions:
    """A long video from coarse to fine: key frames first, then every gap between two neighbours
    filled, level by level.
    """

    lengths: list[int] = option(
        [],
        "frames of a run at each level: [16, 16, 16] makes 1 + 15*15*15 = 3376; empty: the fewest "
        "runs that reach frames, or two levels",
        minimum=2,
    )
    longest: int = option(
        0,
        "where lengths is empty: longest run in frames; 0: 16, as the networks are trained",
        minimum=0,
        when="!lengths order=hierarchy",
    )
    branch: str = option(
        "",
        "weights of the control branch; empty: branch.safetensors in weights. Without any, known frames are "
        "held to at every step and the network is conditioned on nothing",
    )
    pin: str = option(
        "each_step",
        "known frames stay and are seen at the right noise level at every step, or are put in their "
        "places at the end (final)",
        choices=("each_step", "final"),
        when="order!=independent",
    )
    level_guidance: list[float] = option(
        [],
        "guidance of each level, for example [3, 1]; the last counts for all below it, and "
        "at 1 a step costs half; empty: sample.guidance everywhere",
        minimum=0,
    )
    level_steps: list[int] = option(
        [], "denoising steps of each level, likewise; empty: sample.steps everywhere", minimum=1
    )
    level_strength: list[float] = option(
        [],
        "at 1 a level's runs begin from nothing but noise, as in the paper; below 1 those "
        "that know frames begin from a blend of these, noised to that share of the timesteps; "
        "likewise",
        minimum=0.01,
        when="order!=independent",
    )
    level_seams: list[str] = option(
        [],
        "against steps where runs join, of each level likewise. tone: the means of the latents' channels lie on "
        "a line through those of the known frames, for light that does not jump; fade: what known frames have "
        "and their neighbours lack is faded out over the run, for levels that hardly move; empty: free everywhere",
        choices=("free", "tone", "fade"),
        when="order!=independent",
    )
    level_prompts: dict[str, str] = option(
        {},
        "prompt of a level: {0: a street, 1: a car on a street}",
        when="!scenes",
        text=True,
    )
    node_prompts: dict[str, str] = option(
        {},
        "prompt of one run and of what is made from it: {0/0: dawn, 1/3: a dog runs}, level/number",
        text=True,
    )
    scenes: dict[str, str] = option(
        {},
        "prompt of a range of frames of the finished video: {0-99: a red circle, 100-225: ...}; with single frames as "
        "keys one prompt turns into the next: {0: spring, 225: autumn}",
        text=True,
    )
    negative: str = option(
        "",
        "what the video should not show; guidance leads away from it",
        text=True,
    )
    images: list[str] = option(
        [],
        "a storyboard: images as key frames, in order, all of level 0's (lengths[0]; empty lengths "
        "follow their number)",
        when="!video !first !last !key_video order=hierarchy",
    )
    key_video: str = option(
        "",
        "a video whose every key_every-th frame is a key frame, all of level 0's",
        when="!video !first !last order=hierarchy",
    )
    key_every: int = option(
        15, "which frames of key_video are key frames: every n-th", minimum=1, when="key_video"
    )
    key_weights: str = option(
        "",
        "other networks that make level 0, such as text to video, or video from hierarchical.first; "
        "weights serves the levels below",
        when="!images !key_video order=hierarchy",
    )
    first: str = option("", "an image that the video starts with")
    last: str = option("", "an image that the video ends with")
    video: str = option("", "a video that is continued; its last frames are the first key frames")
    alpha_background: str = option(
        "white",
        "the colour seen where what is given is transparent: a name, or '#rrggbb'",
        when="video|first|last|images|key_video",
    )
    extend: str = option(
        "after",
        "the new frames come after the video or before it",
        choices=("after", "before"),
        when="video",
    )
    overlap: int = option(
        2,
        "key frames taken from the video, as far as it is long enough; of autoregressive runs, the frames "
        "each takes from the one before",
        minimum=1,
    )
    order: str = option(
        "hierarchy",
        "to compare with: runs of lengths[0] frames one after another, each conditioned on the end of the one "
        "before (autoregressive), or on nothing (independent), until frames are there",
        choices=ORDERS,
    )
    part: list[int] = option(
        [],
        "make only the frames from one number to another, [100, 150], and what they need",
        minimum=0,
    )
    level_videos: bool = option(
        True,
        "write levels/...-level-0.mp4 and so on when a level is finished",
    )
    work: str = option(
        "", "folder for the runs' latents and the journal; empty: in the folder of the results"
    )

    def idle(self, config: Any) -> Iterator[tuple[str, str]]:
        """(key, reason) of what these settings leave unread."""
        said = "is not read, because hierarchical.{} says it for every level"
        if self.level_steps:
            yield "sample.steps", said.format("level_steps")
        if self.level_guidance:
            yield "sample.guidance", said.format("level_guidance")
        apart = config.conditioning.image_guidance
        if set(self.level_guidance or [config.sample.guidance]) == {1} and not apart:
            yield "sample.rescale", "is not read where guidance is 1"
        for key in ("prompt", "prompts") if self.scenes else ():
            yield key, "is not read, because hierarchical.scenes says what every frame shows"
        if not self.video and self.order != "autoregressive":
            yield (
                "hierarchical.overlap",
                "is read with hierarchical.video or hierarchical.order=autoregressive",
            )

    def problems(self, config: Any) -> Iterator[str]:
        """Sentences on fields that do not fit together."""
        if self.video and (self.first or self.last):
            yield "hierarchical.video is given besides first or last; a video is continued from its own frames"
        if len(self.images) == 1:
            yield (
                "hierarchical.images names one image; a storyboard has at least 2 (hierarchical.first is "
                "an image that a video starts with)"
            )
        if self.images and self.lengths and self.lengths[0] != len(self.images):
            yield (
                f"hierarchical.images names {len(self.images)} images, and level 0 has {self.lengths[0]} key "
                f"frames: lengths={[len(self.images), *self.lengths[1:]]}"
            )
        if max(self.level_strength, default=1) > 1:
            yield f"hierarchical.level_strength is {list(self.level_strength)}; a share is at most 1"
        if self.order != "hierarchy":
            yield from self._order_problems(config)
        if self.part and (len(self.part) != 2 or self.part[0] > self.part[1]):
            yield f"hierarchical.part is {list(self.part)}; it is [first, last], both included"
        for key in self.level_prompts:
            if not str(key).isdigit():
                yield f"hierarchical.level_prompts has {key!r}; its keys are levels: 0, 1, ..."
        for key in self.node_prompts:
            level, _, node = str(key).partition("/")
            if not (level.isdigit() and node.isdigit()):
                yield f"hierarchical.node_prompts has {key!r}; its keys are level/number: 0/0, 1/3, ..."
        if self.scenes:
            try:
                check(self.scenes)
            except ConfigError as error:
                yield f"hierarchical.scenes: {error}"

    def _order_problems(self, config: Any) -> Iterator[str]:
        if len(self.lengths) != 1 or not config.frames:
            yield f"hierarchical.order {self.order} needs one length, for example lengths=[16], and frames"
        elif self.order == "autoregressive" and self.overlap >= self.lengths[0]:
            yield f"hierarchical.overlap is {self.overlap}; runs of {self.lengths[0]} frames would add nothing"
        if self.video or self.first or self.last or self.part or self.images or self.key_video:
            yield (
                f"hierarchical.order {self.order} begins from nothing; leave out video, first, last, images, "
                "key_video and part"
            )

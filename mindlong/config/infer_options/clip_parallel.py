"""The keys of the clip-parallel pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mindlong.config.infer_options.shared_low import shared_low
from mindlong.config.option import option
from mindlong.plans import kv_policy
from mindlong.plans.frame_prompts import check
from mindlong.plans.joint_reads import PLACES
from mindlong.utils.errors import ConfigError

STRATEGIES = ("exact", "video_infinity", "views", "windows", "free_noise", "queue", "independent")


@dataclass
class ClipParallelOptions:
    """A long video from clips that are denoised side by side, over one process or several."""

    strategy: str = option(
        "exact",
        "exact: any number of processes gives the video of one; video_infinity: as the original's "
        "released code; views: the motion modules of AnimateDiff read overlapping windows, on noise that "
        "repeats, and any number of processes gives the video of one; windows: overlapping windows of the "
        "prediction, weighted; free_noise: the same on noise that repeats in a new order; queue: blocks "
        "of stride frames of which each is a step noisier than the one before, in windows of both; independent: clips "
        "that know nothing of each other",
        choices=STRATEGIES,
    )
    clips: int = option(
        2,
        "clips that the video is made of; frames is the whole video's, 0: clips times as trained",
        minimum=1,
        when="!lengths",
    )
    lengths: list[int] = option(
        [],
        "exact, views: frames of each clip, where they differ",
        minimum=1,
        when="strategy=exact|views",
    )
    local: str = option(
        "window:17",
        "exact: the near frames that a frame reads, a key/value policy; all: the whole video",
        when="strategy=exact",
    )
    spread: str = option(
        "spread:16",
        "exact: the far frames that all frames read, a key/value policy; '': none",
        when="strategy=exact",
    )
    text_reads: str = option(
        "all",
        "exact, for a network whose text and video are one sequence: the frames that text reads, a key/value "
        "policy that is the same for all frames",
        when="strategy=exact",
    )
    text_balance: bool = option(
        True,
        "exact, the same networks: text reads more frames than in training as if they were as many as there",
        when="strategy=exact",
    )
    places: str = option(
        "plain",
        "exact, the same networks: places of frames beyond those of training: plain goes on, stretch draws all "
        "together, fold goes forth and back",
        choices=PLACES,
        when="strategy=exact",
    )
    padding: int = option(
        8,
        "video_infinity: near frames on each side",
        minimum=1,
        when="strategy=video_infinity",
    )
    top_k: int = option(
        16,
        "video_infinity: far frames that all frames read",
        when="strategy=video_infinity",
    )
    conv_padding: int = option(
        4,
        "video_infinity: frames on each side of a clip for its convolutions",
        minimum=1,
        when="strategy=video_infinity",
    )
    attn_scale: float = option(
        1.0,
        "factor on the scores of the attention over frames",
        when="strategy=exact|video_infinity",
    )
    token_scale: bool = option(
        False,
        "scores are multiplied by log(keys read) / log(16)",
        when="strategy=exact|video_infinity",
    )
    early: list[float] = option(
        [],
        "[t, near, far]: biases on the scores at timesteps from t on; empty: none",
        when="strategy=exact|video_infinity",
    )
    late: list[float] = option(
        [],
        "[t, near, far]: biases on the scores at timesteps below t; empty: none",
        when="strategy=exact|video_infinity",
    )
    window: int = option(
        0,
        "views, windows, free_noise, queue: frames of a window; 0: as trained",
        minimum=0,
        when="strategy=views|windows|free_noise|queue",
    )
    stride: int = option(
        4,
        "views, windows, free_noise, queue: frames from one window to the next",
        minimum=1,
        when="strategy=views|windows|free_noise|queue",
    )
    scenes: dict[str, str] = option(
        {},
        "frame range to prompt, for example {0-31: a red circle, 32-63: a blue circle}, or single frames, between which "
        "one prompt turns into the next; "
        "without, prompts are spread over the clips",
        text=True,
    )
    blend: int = option(
        0, "frames over which one prompt turns into the next, where prompts have ranges", minimum=0
    )
    negative: str = option(
        "",
        "what the video should not show; guidance leads away from it",
        text=True,
    )
    two_passes: bool = option(
        False,
        "guidance asks the network twice a step: slower, about half the memory",
        when="sample.guidance!=1",
    )
    shared_low: float = shared_low("strategy!=independent")
    fps_condition: int = option(
        0,
        "frame rate that the network is conditioned on, where it is (VideoCrafter2); 0: as fps",
        minimum=0,
    )
    save_every: int = option(
        5,
        "steps after which the latents are saved, for a run that is stopped to go on from; 0: never",
        minimum=0,
    )
    name: str = option(
        "video", "name of the files, never a path", names=("latents", "log", "config", "run")
    )
    swaps: str = option(
        "auto",
        "how frames travel between processes; auto: shared (memory) on one machine",
        choices=("auto", "shared", "gather", "pairs"),
        when="strategy=exact|views|video_infinity",
    )

    def problems(self, config: Any) -> Iterator[str]:
        """Sentences on fields that do not fit together."""
        for name in ("early", "late"):
            if len(getattr(self, name)) not in (0, 3):
                yield f"clip_parallel.{name} is {getattr(self, name)}; it must be [t, near, far] or empty"
        if self.lengths and self.strategy not in ("exact", "views"):
            yield f"clip_parallel.lengths is given, but strategy {self.strategy} needs clips of one length"
        for name in ("local", "spread"):
            try:
                if getattr(self, name):
                    kv_policy.check(getattr(self, name))
            except ConfigError as error:
                yield f"clip_parallel.{name}: {error}"
        try:
            if self.scenes:
                check(self.scenes)
        except ConfigError as error:
            yield f"clip_parallel.scenes: {error}"
        if len(config.wanted_prompts()) > 1 and self.scenes:
            yield "prompts and clip_parallel.scenes are both given; one of them says what the frames show"
        if not config.wanted_prompts() and not self.scenes:
            yield "there is nothing to make: give prompt=TEXT, prompts=[...] or clip_parallel.scenes"

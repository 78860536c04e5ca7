"""A hierarchical configuration worked out, without MindSpore: lengths, what is given, which runs,
which prompts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from mindlong.checkpoints.locate import find_branch
from mindlong.checkpoints.lora.latent import lora_row, parts_of
from mindlong.config.infer_options.conditioning import unread
from mindlong.pipelines.checks import (
    far_size,
    fit,
    idle,
    longest_run,
    not_told,
    one_prompt,
    one_to_one,
    step_cost,
    unled,
    worded,
)
from mindlong.pipelines.hierarchical.images import (
    check_images,
    key_parts,
    level_rates,
    unusual_level_rates,
    without_branch,
)
from mindlong.pipelines.image_parts import check_rates, images_of, unusual_run
from mindlong.pipelines.interpolate.key_frames import KeyFrames, from_video, read_image
from mindlong.pipelines.jobs import count_batches
from mindlong.pipelines.planned import Planned
from mindlong.pipelines.prompts import Prompts
from mindlong.pipelines.room import room_of
from mindlong.pipelines.unlike_sizes import unlike, unlike_sizes
from mindlong.plans.compared import plan_autoregressive, plan_independent
from mindlong.plans.frame_prompts import parse, shares_of, title, travels
from mindlong.plans.hierarchy import (
    LongPlan,
    hierarchy_frames,
    jobs_for,
    lengths_for,
    plan_given,
)
from mindlong.utils.errors import ConfigError
from mindlong.utils.lines import count
from mindlong.utils.sizes import divisible

if TYPE_CHECKING:
    from mindlong.config.infer_options.hierarchical import HierarchicalOptions
    from mindlong.config.load import Loaded
    from mindlong.config.pipelines import HierarchicalConfig

LONGEST = 16
BY_LEVEL = ("level_guidance", "level_steps", "level_strength", "level_seams")


@dataclass(frozen=True)
class Work:
    """A configuration worked out.

    Attributes:
        lengths: frames of a run at every level.
        plan: of the frames that the hierarchy covers; some of them may exist already.
        source: the video that is continued, or None.
        before: the video's frames come first, then the plan's new ones; else the other way round.
        only: names of the runs wanted, None for all.
        first, last: frames of the plan that are written, both included.
        keys: the video whose frames are the key frames, or None.
    """

    lengths: tuple[int, ...]
    plan: LongPlan
    source: KeyFrames | None
    before: bool
    only: set[str] | None
    first: int
    last: int
    keys: KeyFrames | None = None

    def prompts(self, config: HierarchicalConfig, prompt: str) -> Prompts:
        """The prompts of a video."""
        o: HierarchicalOptions = config.hierarchical
        return Prompts(self.plan, prompt, o.level_prompts, o.node_prompts, o.scenes)

    def source_frames(self) -> list[int]:
        """Which frames of the video continued, or of that of the key frames, the plan's given ones
        are, in the order of `plan.given`.
        """
        given = len(self.plan.given)
        start = self.source.count - given if self.before else 0
        return list(range(start, start + given))

    @property
    def frames(self) -> int:
        """Of what is written: the new frames, and the video that they continue."""
        return self.last - self.first + 1 + (self.source.count if self.source else 0)


def work_of(config: HierarchicalConfig) -> Work:
    """Lay out the runs of a configuration. Raises ConfigError, InputFileError."""
    work = _laid_out(config)
    if (
        config.hierarchical.lengths
    ):  # else `frames` says how many levels there are, and lists serve more than one
        _refuse_deeper(config.hierarchical, len(work.lengths))
    return work


def _refuse_deeper(o: HierarchicalOptions, levels: int) -> None:
    """Raises ConfigError where a list says something of a level that there is not. A shorter one is
    right: its last entry is of all levels below.
    """
    for name in BY_LEVEL:
        given = list(getattr(o, name))
        if len(given) > levels:
            raise ConfigError(
                f"hierarchical.{name} is {given}, of {len(given)} levels; the plan has {levels}, so it takes "
                f"at most {levels} {'entry' if levels == 1 else 'entries'}"
            )


def _laid_out(config: HierarchicalConfig) -> Work:
    o: HierarchicalOptions = config.hierarchical
    if o.order != "hierarchy":
        return _compared(o, config.frames)
    keys = from_video(o.key_video, uneven="even") if o.key_video else None
    lengths = lengths_of(config, keys)
    whole = hierarchy_frames(lengths)
    frames = config.frames or whole
    if not o.video:
        plan = plan_given(lengths, _pictured(o, lengths, keys), frames)
        if not plan.jobs:
            raise ConfigError(
                "all frames are given, so there is nothing to make; add a level to lengths"
            )
        first, last = o.part or (0, plan.frames - 1)
        only = jobs_for(plan, first, last) if o.part else None
        return Work(lengths, plan, None, True, only, first, last, keys)
    if o.part or config.frames:
        raise ConfigError(
            "hierarchical.video is continued by all frames of lengths; leave out frames and hierarchical.part"
        )
    return _continued(o, lengths)


def _compared(o: HierarchicalOptions, frames: int) -> Work:
    one_by_one = o.order == "autoregressive"
    plan = (
        plan_autoregressive(o.lengths[0], frames, o.overlap)
        if one_by_one
        else plan_independent(o.lengths[0], frames)
    )
    return Work(tuple(o.lengths), plan, None, True, None, 0, frames - 1)


def lengths_of(config: HierarchicalConfig, keys: KeyFrames | None = None) -> tuple[int, ...]:
    """The lengths given, or the cheapest that reach `frames`; where key frames are given, level 0
    is as long as they are many.

    Args:
        keys: the video whose frames are the key frames.

    Raises:
        ConfigError: more key frames are asked for than the video has.
    """
    o: HierarchicalOptions = config.hierarchical
    longest = o.longest or LONGEST
    there = len(o.images) or (1 + (keys.count - 1) // o.key_every if keys else 0)
    if o.lengths:
        if keys and o.lengths[0] > there:
            raise ConfigError(
                f"{keys.where} has {keys.count} frames, of which every {o.key_every}th gives {there} key frames; "
                f"lengths begins with {o.lengths[0]}"
            )
        return tuple(o.lengths)
    if keys and there < 2:
        raise ConfigError(
            f"{keys.where} has {keys.count} frames, of which every {o.key_every}th gives one key frame; at least 2 are "
            f"needed, so hierarchical.key_every can be at most {keys.count - 1}"
        )
    if there:
        lengths = [there, longest]
        while hierarchy_frames(lengths) < config.frames:
            lengths.append(longest)
        return tuple(lengths)
    return lengths_for(config.frames, longest) if config.frames else (longest, longest)


def _pictured(
    o: HierarchicalOptions, lengths: tuple[int, ...], keys: KeyFrames | None
) -> list[int]:
    """The frames that are given."""
    for place in filter(None, (*o.images, o.first, o.last)):
        read_image(place)
    whole = hierarchy_frames(lengths)
    if o.images or keys:
        return list(range(0, whole, prod(length - 1 for length in lengths[1:])))
    return [0] * bool(o.first) + [whole - 1] * bool(o.last)


def _continued(o: HierarchicalOptions, lengths: tuple[int, ...]) -> Work:
    """The plan's timeline reaches back into the video by as many key frames as are asked for and
    there.
    """
    source = from_video(o.video, uneven="even")
    stride, whole = prod(length - 1 for length in lengths[1:]), hierarchy_frames(lengths)
    keys = min(o.overlap, lengths[0] - 1, 1 + (source.count - 1) // stride)
    shared = (keys - 1) * stride + 1
    if o.extend == "after":
        return Work(
            lengths, plan_given(lengths, range(shared)), source, True, None, shared, whole - 1
        )
    return Work(
        lengths,
        plan_given(lengths, range(whole - shared, whole)),
        source,
        False,
        None,
        0,
        whole - shared - 1,
    )


def plan(loaded: Loaded) -> Planned:
    """What a run would make. Raises ConfigError, InputFileError as it would."""
    config: HierarchicalConfig = loaded.values
    work = work_of(config)
    work.plan.check()
    _check_scenes(config.hierarchical.scenes, work.plan.frames)
    videos = max(len(config.wanted_prompts()), 1) * config.count
    rows = {
        "videos": f"{videos} of {work.frames} frames, {work.frames / config.fps:.1f} s at {config.fps} frames a second",
        "lengths": _lengths(config, work),
        "given": _given(work),
        "plan": "\n".join(_runs(work, config.batch)),
        "prompts": "\n".join(_said(work, config)),
    }
    return _with_networks(loaded, work, rows)


def _check_scenes(scenes: Mapping[str, str], frames: int) -> None:
    if travels(scenes):
        try:
            shares_of(scenes, frames)
        except ConfigError as error:
            raise ConfigError(f"hierarchical.scenes: {error}") from None
        return
    for (first, last), _ in parse(scenes) if scenes else ():
        if last >= frames:
            raise ConfigError(
                f"hierarchical.scenes has the range {first}-{last}; the video has frames 0 to {frames - 1}"
            )


def shown(config: HierarchicalConfig, prompt: str) -> str:
    """What a video shows, in a line: its scenes, its prompt, or the prompts of its levels."""
    o = config.hierarchical
    return title(o.scenes) if o.scenes else prompt or " / ".join(dict.fromkeys(_closer(o)))


def _closer(o: HierarchicalOptions) -> list[str]:
    return [*o.level_prompts.values(), *o.node_prompts.values()]


def _with_networks(loaded: Loaded, work: Work, rows: dict[str, str]) -> Planned:
    config: HierarchicalConfig = loaded.values
    o, parts = config.hierarchical, parts_of(config)
    place, images = find_branch(config.weights, o.branch), images_of(parts)
    not_told(parts, "hierarchical")
    fit(parts, images=True)
    one_to_one(parts, "hierarchical")
    key = key_parts(config, parts)
    for each in filter(None, (parts, key)):
        one_prompt(each, "hierarchical.scenes", o.scenes)
    check_images(work, parts, key)
    imaged = [p for p in (key, parts) if p is not None and images_of(p)]
    idle(loaded, () if imaged else unread())
    check_rates(config.conditioning.fs, len(work.lengths))
    size = divisible(config.size or parts.size[1:], parts.vae.spec.factor)
    guidances = list(o.level_guidance) or [config.sample.guidance]
    batch = min(config.batch, len(work.plan.jobs))
    step = step_cost(parts, batch, longest_run(work.plan), size)
    room = room_of(config, parts, step, work.plan.frames, size, [key] if key else ())
    numbers = parts.vae.spec.latent_channels * prod(size) // parts.vae.spec.factor**2
    texts = [config.hierarchical.negative] * (set(guidances) != {1})
    texts += [*config.wanted_prompts(), *o.scenes.values(), *_closer(o)]
    return Planned(
        rows
        | {
            "weights": f"{parts.where}, {', '.join(f'{name} {count(n)}' for name, n in parts.parameters().items())}",
            "branch": str(Path(place)) if place else without_branch(images),
            **({"key frames by": f"{key.where} ({key.network.family})"} if key else {}),
            **({"frame rates": "\n".join(level_rates(work, config, parts, key))} if imaged else {}),
            "a step": f"{count(step.flops)}FLOP for {batch} runs, twice where guided",
            **lora_row(parts),
            "peak memory": room.row(),
            "on disk": f"{count(4 * numbers * work.plan.frames)}B of latents",
        },
        (
            *worded(parts, config, texts),
            *unled(o.negative, "hierarchical.negative", guidances),
            *far_size(size, parts.size[1:]),
            *unusual_run(images, longest_run(work.plan)),
            *unusual_level_rates(work, config, parts, key),
            *unlike_sizes(filter(None, (*o.images, o.first, o.last)), size),
            *_cut_off(work, size),
        ),
        room.peak,
        "size, batch or hierarchical.lengths",
    )


def _cut_off(work: Work, size: Sequence[int]) -> Iterator[str]:
    """What is lost of videos that are continued or filled, whose proportions are others."""
    for video in filter(None, (work.source, work.keys)):
        yield from unlike(video.where, video.size, size)


def _lengths(config: HierarchicalConfig, work: Work) -> str:
    if config.hierarchical.order != "hierarchy":
        return f"runs of {work.lengths[0]} frames, {config.hierarchical.order}"
    return f"{list(work.lengths)}, 1 + {' * '.join(str(n - 1) for n in work.lengths)} = {hierarchy_frames(work.lengths)}"


def _given(work: Work) -> str:
    given = work.plan.given
    if not given:
        return "nothing; all frames are made"
    if work.source:
        return (
            f"{work.source.count} frames of {work.source.where}, {len(given)} of them in the plan"
        )
    if work.keys:
        return f"{len(given)} key frames of {work.keys.where}, of {work.keys.count} frames"
    return ", ".join(f"frame {f}" for f in given)


def _runs(work: Work, rows: int) -> Iterator[str]:
    lines = work.plan.describe()
    wanted = f"; {len(work.only)} of them wanted" if work.only is not None else ""
    yield f"{lines[0]}, {count_batches(work.plan, rows, work.only)} batches of up to {rows}{wanted}"
    yield from lines[1:]


def _said(work: Work, config: HierarchicalConfig) -> Iterator[str]:
    """The prompts of the first video: for each level those of its runs, as far as they are
    not the same for all.
    """
    prompts = work.prompts(config, next(iter(config.wanted_prompts()), ""))
    for level, jobs in work.plan.levels():
        if not jobs:
            continue
        counted: dict[str, int] = {}
        for job in jobs:
            text = " / ".join(dict.fromkeys(prompts.of(job)))
            counted[text] = counted.get(text, 0) + 1
        listed = "; ".join(f"{text!r} ({number})" for text, number in list(counted.items())[:4])
        yield f"  level {level}: {listed}{'; ...' if len(counted) > 4 else ''}"

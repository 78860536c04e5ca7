"""What a run of the extension pipeline would do, without MindSpore."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mindlong.checkpoints.lora.latent import lora_row, parts_of
from mindlong.config.infer_options.conditioning import unread
from mindlong.data.flow import check_alike
from mindlong.diffusion.sample import count_steps, sampler_of
from mindlong.networks import table
from mindlong.pipelines.checks import (
    far_size,
    fit,
    idle,
    idle_where_told,
    is_told,
    longest_run,
    one_prompt,
    one_to_one,
    several,
    step_cost,
    unled,
    worded,
)
from mindlong.pipelines.image_parts import check_rates, images_of, unusual_rates, unusual_run
from mindlong.pipelines.interpolate.gaps import unread_by_images
from mindlong.pipelines.interpolate.hinted import is_hinted, unhinted
from mindlong.pipelines.interpolate.key_frames import KeyFrames, from_video, read_image
from mindlong.pipelines.interpolate.trained_rule import training_of
from mindlong.pipelines.one_prompt import Shown, shown_of
from mindlong.pipelines.planned import Planned
from mindlong.pipelines.room import room_of
from mindlong.pipelines.unlike_sizes import unlike
from mindlong.plans.chain import plan_extension
from mindlong.utils.errors import ConfigError
from mindlong.utils.lines import count
from mindlong.utils.sizes import divisible

if TYPE_CHECKING:
    from mindlong.config.infer_options.extend import ExtendOptions
    from mindlong.config.load import Loaded
    from mindlong.config.pipelines import ExtendConfig
    from mindlong.config.schema import TrainConfig
    from mindlong.networks.network import Images
    from mindlong.plans.hierarchy import LongPlan

USUAL_RUN = 16


@dataclass(frozen=True)
class Work:
    """A configuration worked out.

    Attributes:
        given: the frames that the first run is conditioned on, (overlap, H, W, 3) uint8.
        video: what is continued, if it is a video; its frames before the given ones are passed on
            as they are.
        inside: given frames are part of a run.
        plan: of the given frames and those added.
    """

    given: np.ndarray
    video: KeyFrames | None
    inside: bool
    plan: LongPlan
    fps: float


def work_of(config: ExtendConfig) -> Work:
    """Read the given frames and lay out the runs. Raises ConfigError, InputFileError."""
    o: ExtendOptions = config.extend
    trained = training_of(config.weights)
    inside = o.given == "inside" or (
        o.given == "auto" and not (trained and trained.interpolation.first_frame)
    )
    video = from_video(o.video, uneven="even") if o.video else None
    given = _last(video, o.overlap) if video else _pictures(o)
    plan = plan_extension(
        len(given), o.run or _run(trained, inside), o.overlap, len(given) + config.frames, inside
    )
    return Work(given, video, inside, plan, video.fps if video else float(config.fps))


def _run(trained: TrainConfig | None, inside: bool) -> int:
    if trained is None:
        return USUAL_RUN
    frames = trained.interpolation.run_frames(trained)
    return frames if inside else frames - 1


def _last(video: KeyFrames, count: int) -> np.ndarray:
    if video.count < count:
        raise ConfigError(f"extend.overlap is {count}; {video.where} has {video.count} frames")
    return video.take(video.count - count, video.count)


def _pictures(o: ExtendOptions) -> np.ndarray:
    frames = [read_image(path) for path in o.images]
    for number, (a, b) in enumerate(zip(frames, frames[1:], strict=False), 1):
        check_alike(a, b, number)
    return np.stack(frames)


def check_hints(work: Work, hinted: bool) -> None:
    """Raise ConfigError where the network could not know what it is to continue."""
    if not hinted and not work.inside:
        raise ConfigError(
            "the UNet reads no hints, so given frames must be part of a run: extend.given=inside"
        )


def check_first(images: Images | None, about: str) -> None:
    """Raise ConfigError where a network of images cannot go on from the last frame there is."""
    if images and not images.beside:
        raise ConfigError(
            f"{about}: it does not begin with the image itself, so nothing goes on from a last frame; take a network "
            f"that makes video from one image: {', '.join(table.of_images('first'))}"
        )
    if images and images.given != "first":
        raise ConfigError(
            f"{about} makes what lies between two given frames, and of what comes next none is given; take a network "
            "that makes video from one image, or pipeline=hierarchical with first and last"
        )


def size_of(config: ExtendConfig, given: np.ndarray) -> tuple[int, int]:
    """Height and width of what is made: as the configuration says, else those of the given frames
    (F, H, W, 3).
    """
    return tuple(config.size or given.shape[1:3])


def _before(work: Work) -> int:
    """Frames of the video before those that the plan knows."""
    return work.video.count - len(work.given) if work.video else 0


def frames_of(work: Work) -> int:
    """Frames of the whole: the video's own and those added."""
    return _before(work) + work.plan.frames


def _texts(config: ExtendConfig) -> list[str]:
    own = config.extend
    return [*own.scenes.values(), *config.wanted_prompts() * (not own.scenes), own.negative]


def shown_by(config: ExtendConfig, work: Work, prompt: str) -> Shown:
    """What the runs of a video show. Raises ConfigError where scenes do not fit its frames."""
    scenes, start = config.extend.scenes, _before(work)
    return shown_of(scenes, prompt, frames_of(work), "extend.scenes", start)


def plan(loaded: Loaded) -> Planned:
    """What a run would make. Raises ConfigError, InputFileError as it would."""
    config: ExtendConfig = loaded.values
    work, parts = work_of(config), parts_of(config)
    fit(parts, images=True)
    one_to_one(parts, "extend")
    one_prompt(parts, "extend.scenes", config.extend.scenes)
    images = images_of(parts)
    hinted = not images and is_hinted(parts.network.spec, parts.vae.spec.latent_channels)
    check_hints(work, hinted)
    check_first(images, parts.network.network.about)
    check_rates(config.conditioning.fs, 1)
    idle(loaded, unhinted("extend") if not hinted else ())
    idle(loaded, unread_by_images("extend") if images else unread())
    height, width = divisible(size_of(config, work.given), parts.vae.spec.factor)
    jobs, s = work.plan.jobs, config.sample
    shown_by(config, work, "")
    idle(loaded, idle_where_told(parts, "extend.negative"))
    rows = 1 if s.guidance == 1 or is_told(parts) else 2
    step = step_cost(parts, rows, longest_run(work.plan), (height, width))
    room = room_of(config, parts, step, work.plan.frames, (height, width))
    return Planned(
        {
            "weights": f"{parts.where} ({parts.network.family})",
            "given": f"{len(work.given)} frames of {work.given.shape[1]}x{work.given.shape[2]}",
            "prompts": several(config.extend.told(config.wanted_prompts()), config.count),
            "plan": f"{config.frames} frames of {height}x{width} added in {len(jobs)} runs of "
            f"{len(jobs[0].makes)} new frames, {count_steps(s, parts.noising)} steps of {sampler_of(s, parts.noising).name}, "
            f"guidance {s.guidance:g}",
            "a step": f"{count(step.flops)}FLOP",
            **lora_row(parts),
            "peak memory": room.row(),
        },
        (
            *worded(parts, config, _texts(config)),
            *unled(config.extend.negative, "extend.negative", [s.guidance]),
            *far_size((height, width), parts.size[1:]),
            *unusual_run(images, longest_run(work.plan)),
            *unusual_rates(images, config.conditioning.fs),
            *unlike("what is given", work.given.shape[1:3], (height, width)),
        ),
        room.peak,
        "size or extend.run",
    )

"""The trainings that train.py starts: for each the keys that it reads, and where the code stands.

To add one: its keys as a section of `mindlong.config.schema.TrainConfig`, a class in
mindlong/training/tasks, an entry here, and the keys that ask for it in `ASKED_BY`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mindlong.config.leaves import value_at
from mindlong.config.reads import Reader
from mindlong.networks import table

if TYPE_CHECKING:
    from mindlong.config.schema import TrainConfig
    from mindlong.networks.network import Network

DRAWN_FROM_DATA = ("autoencoder", "images", "interpolation")  # tasks whose previews need no prompts
ASKED_BY = {  # tasks of latents -> their keys of which one asks for it; the first task counts
    "interpolation": ("interpolation.factor", "interpolation.first_frame"),
    "infinet": ("infinet.lengths",),
    "distil": ("distil.teacher",),
    "tune": ("tune.video", "tune.videos"),
}
ALL = ("run_dir", "data", "train", "resume", "env")
IMAGED = (
    *ALL,
    "attention",
    "latents",
    "diffusion",
    "-diffusion.focus_present",
    "-diffusion.terminal_clips",
    "preview",
    "-preview.sample.dynamic_threshold",
)
LATENT = (*IMAGED, "-latents.image_encoder", "-latents.projector")


@dataclass(frozen=True)
class Training:
    """One kind of training.

    Attributes:
        about: what it trains, in a few words.
        place: "module:class" of the task.
        reads: the keys and sections that it reads, as `mindlong.config.reads.Reader` takes them.
        source: the class is given the clips of the section `data`; else it finds its own.
    """

    about: str
    place: str
    reads: tuple[str, ...]
    source: bool = True


TASKS: dict[str, Training] = {
    "pixel": Training(
        "Unet3D in pixels",
        "mindlong.training.tasks.pixel:PixelTask",
        (*ALL, "diffusion", "preview"),
    ),
    "autoencoder": Training(
        "an autoencoder",
        "mindlong.training.tasks.autoencoder:AutoencoderTask",
        (*ALL, "-train.lora", "attention", "autoencoder"),
    ),
    "latent": Training(
        "a UNet in latents",
        "mindlong.training.tasks.latent:LatentTask",
        LATENT,
    ),
    "images": Training(
        "a UNet in latents that is conditioned on images",
        "mindlong.training.tasks.images:ImageTask",
        (*IMAGED, "-diffusion.terminal_mean", "-preview.prompts"),
    ),
    "infinet": Training(
        "a hierarchy in latents (infinet.lengths)",
        "mindlong.training.tasks.infinet:InfinetTask",
        (*LATENT, "-train.lora", "infinet", "-latents.train_text"),
        source=False,
    ),
    "interpolation": Training(
        "frames between given ones (interpolation.factor)",
        "mindlong.training.tasks.interpolation:InterpolationTask",
        (*LATENT, "-preview.prompts", "interpolation"),
    ),
    "tune": Training(
        "an image model on a video (tune.video)",
        "mindlong.training.tasks.tune_a_video:TuneTask",
        (
            *LATENT,
            "-latents.clips",
            "tune",
            "-data",
            *(f"data.{key}!" for key in ("frames", "size", "stride", "alpha_background")),
        ),
        source=False,
    ),
    "distil": Training(
        "a few-step network from a teacher (distil.teacher)",
        "mindlong.training.tasks.distil:DistilTask",
        (
            *LATENT,
            "distil",
            "-latents.train_text",
            "-latents.text_encoder",
            *(f"-diffusion.{key}" for key in ("loss", "cond_drop", "terminal_mean", "min_snr")),
        ),
    ),
}


KINDS = ("pixel", "autoencoder", "images")  # tasks that follow from the family alone


def kind_of(entry: Network) -> str:
    """The task of `KINDS` that trains a family, "latent" for a network whose configuration says
    which one does, "" for what is no network to be trained.
    """
    if entry.role == "vae":
        return "autoencoder"
    if entry.denoiser is None:
        return ""
    if entry.denoiser.space == "pixel":
        return "pixel"
    return "images" if entry.denoiser.images else "latent"


def task_of(config: TrainConfig) -> str:
    """Which of `TASKS` a configuration asks for."""
    kind = kind_of(table.get(config.model.family))
    if kind in KINDS:
        return kind
    return next((task for task in ASKED_BY if is_asked(config, task)), "latent")


def is_asked(config: TrainConfig, task: str) -> bool:
    """Whether a configuration asks for a task of latents by one of its own keys."""
    return any(value_at(config, key) for key in ASKED_BY[task])


def reader(name: str) -> Reader:
    """The task called `name` as a reader of keys."""
    every = {task: Reader(f"task {task}", entry.reads) for task, entry in TASKS.items()}
    mine = every.pop(name)
    return Reader(mine.name, mine.reads, tuple(every.values()))

"""Every key of a training and of an inference configuration, with its type, default and one line of help."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from mindlong.config.option import option
from mindlong.config.train_options import TrainOptions


def _section(kind: type) -> Any:
    return field(default_factory=kind, metadata={"help": ""})


@dataclass
class EnvOptions:
    """Where and how the program runs."""

    device_target: str = option("auto", "auto takes an Ascend NPU if there is one", choices=("auto", "CPU", "Ascend"))
    mode: str = option(
        "graph",
        "graph compiles the step; pynative runs operator by operator, for debugging",
        choices=("graph", "pynative"),
    )
    native: str = option(
        "auto", "C++ operators on the CPU: auto uses them where a compiler is found", choices=("auto", "on", "off")
    )
    threads: int = option(0, "CPU threads; 0: all cores the process may use", minimum=0)
    jit_level: str = option(
        "auto",
        "Ascend: MindSpore's jit level (O0, O1, O2); auto leaves it to the chip",
        choices=("auto", "O0", "O1", "O2"),
    )


@dataclass
class DataOptions:
    """What is trained on."""

    kind: str = option("shapes", "shapes: the synthetic world; clips: a folder of videos", choices=("shapes", "clips"))
    folder: str = option("", "clips: folder of GIF, MP4, AVI, WebM files or frame folders, searched recursively")
    frames: int = option(8, "frames of a clip", minimum=1)
    size: list[int] = option([32, 32], "height and width in pixels", minimum=2)
    stride: int = option(1, "clips: take every stride-th frame", minimum=1)
    short: str = option(
        "repeat_last", "clips: what to do with a clip shorter than wanted", choices=("repeat_last", "loop", "refuse")
    )
    crop: str = option("center", "clips: which part of the resized frame is taken", choices=("center", "random"))
    flip: bool = option(False, "clips: mirror half of the clips, whole clips at a time")
    max_bad: int = option(10, "clips: how many unreadable files are skipped before it is an error", minimum=0)
    shapes: list[str] = option(["circle", "square", "triangle"], "shapes world: which shapes")
    colours: list[str] = option(["red", "green", "blue", "yellow"], "shapes world: which colours")
    motions: list[str] = option(["left", "right", "up", "down"], "shapes world: which directions")
    background: str = option("plain", "shapes world: background", choices=("plain", "texture"))
    bounce: bool = option(False, "shapes world: shapes turn back at the edges")
    grow: bool = option(False, "shapes world: shapes change their size")
    world_seed: int = option(0, "shapes world: which world")


@dataclass
class DiffusionOptions:
    """The noising process and the loss."""

    timesteps: int = option(1000, "steps of the noising process", minimum=1)
    prediction: str = option("eps", "what the network predicts", choices=("eps", "v", "x0"))
    loss: str = option("l1", "distance between prediction and target", choices=("l1", "l2"))
    cond_drop: float = option(
        0.0, "share of training samples whose condition is dropped; guidance needs some, 0.1 is usual", minimum=0
    )
    focus_present: float = option(0.0, "share of training samples whose frames see only themselves", minimum=0)


@dataclass
class SampleOptions:
    """How noise becomes a video."""

    sampler: str = option("ddim", "ddim takes any number of steps; ddpm takes all of them", choices=("ddim", "ddpm"))
    steps: int = option(50, "denoising steps (ddim)", minimum=1)
    eta: float = option(0.0, "ddim: noise added at each step, 0 none, 1 as ddpm", minimum=0)
    guidance: float = option(1.0, "classifier-free guidance scale; 1 is none", minimum=0)
    dynamic_threshold: float = option(0.0, "quantile for dynamic thresholding, 0 is off; 0.9 is usual", minimum=0)


@dataclass
class PreviewOptions:
    """The videos drawn while training."""

    prompts: list[str] = option([], "one video a prompt; without text, give as many empty strings as videos wanted")
    seed: int = option(1000, "noise of the previews; the same at every step")
    fps: int = option(8, "frames per second of the preview GIF", minimum=1)
    sample: SampleOptions = _section(SampleOptions)


@dataclass
class TrainConfig:
    """A training run."""

    run_dir: str = option("runs/train", "folder of the run: configuration, checkpoints, metrics, previews")
    model: Any = option(None, "path of a model file, or its keys")
    data: DataOptions = _section(DataOptions)
    diffusion: DiffusionOptions = _section(DiffusionOptions)
    train: TrainOptions = _section(TrainOptions)
    preview: PreviewOptions = _section(PreviewOptions)
    env: EnvOptions = _section(EnvOptions)

    def problems(self) -> Iterator[str]:
        """Sentences on fields that do not fit together."""
        if self.model is None:
            yield "model is missing; give the path of a file in configs/model"
            return
        yield from self.model.problems()
        yield from self.train.problems()
        yield from _size_problems(self.data.size, self.model)
        if self.data.kind == "clips" and not self.data.folder:
            yield "data.folder is empty; data.kind=clips needs a folder of videos"
        if self.diffusion.cond_drop and not self.model.cond_dim:
            yield f"diffusion.cond_drop is {self.diffusion.cond_drop:g} but model.cond_dim is empty; there is no condition to drop"
        if self.diffusion.cond_drop > 1:
            yield f"diffusion.cond_drop is {self.diffusion.cond_drop:g}; a share is at most 1"


def _size_problems(size: list[int], model: Any) -> Iterator[str]:
    if len(size) != 2:
        yield f"data.size is {size}; it must be [height, width]"
        return
    step = 2 ** (len(model.dim_mults) - 1)
    if size[0] % step or size[1] % step:
        yield f"data.size is {size}; both must be multiples of {step}, because model.dim_mults has {len(model.dim_mults)} levels"


@dataclass
class InferConfig:
    """A sampling run."""

    pipeline: str = option("pixel", "pixel: text to video with Unet3D", choices=("pixel",))
    weights: str = option("shipped:vdm_shapes", "a run folder, a checkpoint folder, a weights file, or shipped:NAME")
    model: Any = option(None, "path of a model file; empty: the one saved with the weights")
    prompts: list[str] = option([], "one video a prompt")
    prompt: str = option("", "a single prompt, put before prompts")
    count: int = option(1, "videos for each prompt", minimum=1)
    batch: int = option(4, "videos made at the same time; fewer need less memory", minimum=1)
    seed: int = option(0, "noise; video i of the run starts from the i-th noise of this seed")
    frames: int = option(0, "frames; 0: as trained", minimum=0)
    size: list[int] = option([], "height and width in pixels; empty: as trained", minimum=2)
    fps: int = option(8, "frames per second of the files written", minimum=1)
    formats: list[str] = option(
        ["mp4", "gif", "png"],
        "files to write: mp4 (H.264), gif, png (contact sheet)",
        choices=("mp4", "gif", "png", "webm", "frames"),
    )
    output: str = option("outputs", "folder for the results; a new numbered folder is made in it for every run")
    scale: int = option(1, "enlarge the written frames by this whole number, for looking at small videos", minimum=1)
    sample: SampleOptions = _section(SampleOptions)
    env: EnvOptions = _section(EnvOptions)

    def problems(self) -> Iterator[str]:
        """Sentences on fields that do not fit together."""
        if self.size and len(self.size) != 2:
            yield f"size is {self.size}; it must be [height, width]"
        if self.sample.dynamic_threshold > 1:
            yield f"sample.dynamic_threshold is {self.sample.dynamic_threshold:g}; a quantile is at most 1"

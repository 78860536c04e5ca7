"""Every key of a training configuration, with its type, default and one line of help."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from mindlong.config.infinet_options import InfinetOptions
from mindlong.config.interpolation_options import InterpolationOptions
from mindlong.config.option import option
from mindlong.config.sample import SampleOptions
from mindlong.config.train_options import TrainOptions
from mindlong.config.tune_options import TuneOptions
from mindlong.media.colours import parse_colour
from mindlong.utils.errors import ConfigError


def _section(kind: type) -> Any:
    return field(default_factory=kind, metadata={"help": ""})


@dataclass
class EnvOptions:
    """Where and how the program runs."""

    device_target: str = option(
        "auto", "auto takes an Ascend NPU if there is one", choices=("auto", "CPU", "Ascend")
    )
    mode: str = option(
        "graph",
        "graph compiles the step; pynative runs operator by operator, for debugging",
        choices=("graph", "pynative"),
    )
    native: str = option(
        "auto",
        "C++ operators on the CPU: auto uses them where a compiler is found",
        choices=("auto", "on", "off"),
    )
    threads: int = option(0, "CPU threads; 0: all cores the process may use", minimum=0)
    jit_level: str = option(
        "auto",
        "Ascend: MindSpore's jit level (O0, O1, O2); auto leaves it to the chip",
        choices=("auto", "O0", "O1", "O2"),
    )


@dataclass
class AttentionOptions:
    """How attentions are computed."""

    backend: str = option(
        "auto",
        "auto chooses by chip, type, width and mask; one that is named and cannot serve is refused (docs/ascend.md)",
        choices=("auto", "native", "flash_910b", "flash_910a", "chunked", "math"),
    )


@dataclass
class DataOptions:
    """What is trained on."""

    kind: str = option(
        "shapes",
        "shapes: the synthetic world; clips: a folder of videos",
        choices=("shapes", "clips"),
    )
    folder: str = option(
        "", "clips: folder of videos (every usual format, GIF too) or frame folders, at any depth"
    )
    frames: int = option(8, "frames of a clip", minimum=1)
    size: list[int] = option([32, 32], "height and width in pixels", minimum=2)
    stride: int = option(1, "clips: take every stride-th frame", minimum=1)
    short: str = option(
        "repeat_last",
        "clips: what to do with a clip shorter than wanted",
        choices=("repeat_last", "loop", "refuse"),
    )
    crop: str = option(
        "center", "clips: which part of the resized frame is taken", choices=("center", "random")
    )
    flip: bool = option(False, "clips: mirror half of the clips, whole clips at a time")
    max_bad: int = option(
        10, "clips: how many unreadable files are skipped before it is an error", minimum=0
    )
    alpha_background: str = option(
        "white", "clips: the colour seen where a clip is transparent: a name, or '#rrggbb'"
    )
    shapes: list[str] = option(["circle", "square", "triangle"], "shapes world: which shapes")
    colours: list[str] = option(["red", "green", "blue", "yellow"], "shapes world: which colours")
    motions: list[str] = option(["left", "right", "up", "down"], "shapes world: which directions")
    background: str = option("plain", "shapes world: background", choices=("plain", "texture"))
    bounce: bool = option(False, "shapes world: shapes turn back at the edges")
    grow: bool = option(False, "shapes world: shapes change their size")
    speed: list[float] = option(
        [],
        "shapes world: slowest and fastest speed, shares of the shorter side a frame; empty: its usual",
        minimum=0,
    )
    world_seed: int = option(0, "shapes world: which world")


@dataclass
class DiffusionOptions:
    """The noising process and the loss."""

    timesteps: int = option(1000, "steps of the noising process", minimum=1)
    schedule: str = option(
        "cosine",
        "noise of the steps; scaled_linear is that of the latent families",
        choices=("cosine", "linear", "scaled_linear"),
    )
    beta_start: float = option(0.00085, "linear, scaled_linear: noise of the first step", minimum=0)
    beta_end: float = option(0.012, "linear, scaled_linear: noise of the last step", minimum=0)
    zero_terminal_snr: bool = option(
        False, "stretch the schedule so that the last step is pure noise (v and x0 only)"
    )
    shift: float = option(
        1.0,
        "training draws noisier timesteps more often; a time u in (0, 1) becomes "
        "shift u / (1 + (shift - 1) u); videos, whose frames repeat each other, want 2 to 4",
        minimum=0.01,
    )
    terminal_mean: float = option(
        0.0,
        "latents: share of samples put at the last timestep, where nothing of the clip is left and "
        "the answer is the mean of all clips with its caption; needs zero_terminal_snr",
        minimum=0,
    )
    prediction: str = option("eps", "what the network predicts", choices=("eps", "v", "x0"))
    loss: str = option("l1", "distance between prediction and target", choices=("l1", "l2"))
    cond_drop: float = option(
        0.0,
        "share of training samples whose condition is dropped; guidance needs some, 0.1 is usual",
        minimum=0,
    )
    focus_present: float = option(
        0.0, "share of training samples whose frames see only themselves", minimum=0
    )


@dataclass
class LatentOptions:
    """What the latent families train in and with; the pixel families leave it alone."""

    vae: str = option(
        "", "the autoencoder: a run folder, a checkpoint folder, a weights file, or shipped:NAME"
    )
    scaling: float = option(
        0.0, "latents are multiplied by it; 0: as the autoencoder's model file says", minimum=0
    )
    text_encoder: str = option(
        "", "model file of the text encoder; trained jointly unless text_weights is given"
    )
    text_weights: str = option("", "weights of a text encoder to take")
    train_text: bool = option(
        False, "a text encoder taken from text_weights is trained too, rather than left as it is"
    )
    unet_weights: str = option("", "weights of the UNet to start from; empty: fresh ones")
    tokenizer: str = option("", "folder with vocab.json and merges.txt")
    cache: str = option(
        "", "folder for the latents of the clips, made once; empty: latents in the run folder"
    )
    clips: int = option(
        2048, "clips whose latents are kept; samples are drawn from them again and again", minimum=1
    )
    chunk: int = option(16, "frames encoded at a time", minimum=1)
    fps: int = option(8, "frames per second told to a network that wants to know", minimum=1)


@dataclass
class AutoencoderOptions:
    """The loss of an autoencoder's training."""

    kl: float = option(
        1e-6,
        "weight of the divergence of the latents from N(0, 1), against the mean squared error",
        minimum=0,
    )


@dataclass
class PreviewOptions:
    """The videos drawn while training."""

    prompts: list[str] = option(
        [], "one video a prompt; without text, give as many empty strings as videos wanted"
    )
    seed: int = option(1000, "noise of the previews; the same at every step")
    fps: int = option(8, "frames per second of the preview GIF", minimum=1)
    sample: SampleOptions = _section(SampleOptions)


@dataclass
class TrainConfig:
    """A training run."""

    run_dir: str = option(
        "runs/train", "folder of the run: configuration, checkpoints, metrics, previews"
    )
    model: Any = option(None, "path of a model file, or its keys")
    data: DataOptions = _section(DataOptions)
    latents: LatentOptions = _section(LatentOptions)
    autoencoder: AutoencoderOptions = _section(AutoencoderOptions)
    infinet: InfinetOptions = _section(InfinetOptions)
    interpolation: InterpolationOptions = _section(InterpolationOptions)
    tune: TuneOptions = _section(TuneOptions)
    diffusion: DiffusionOptions = _section(DiffusionOptions)
    train: TrainOptions = _section(TrainOptions)
    preview: PreviewOptions = _section(PreviewOptions)
    attention: AttentionOptions = _section(AttentionOptions)
    env: EnvOptions = _section(EnvOptions)

    def problems(self) -> Iterator[str]:
        """Sentences on fields that do not fit together."""
        if self.model is None:
            yield "model is missing; give the path of a file in configs/model"
            return
        yield from self.model.problems()
        yield from self.train.problems()
        if len(self.data.size) != 2:
            yield f"data.size is {self.data.size}; it must be [height, width]"
            return
        if self.data.speed and (
            len(self.data.speed) != 2 or self.data.speed[0] > self.data.speed[1]
        ):
            yield f"data.speed is {list(self.data.speed)}; it must be [slowest, fastest], or empty"
        yield from self.model.training_problems(self)
        yield from self.infinet.problems(self)
        yield from self.interpolation.problems(self)
        yield from self.tune.problems(self)
        try:
            parse_colour(self.data.alpha_background, "data.alpha_background")
        except ConfigError as error:
            yield str(error)
        if self.data.kind == "clips" and not self.data.folder:
            yield "data.folder is empty; data.kind=clips needs a folder of videos"
        if self.diffusion.terminal_mean and not self.diffusion.zero_terminal_snr:
            yield "diffusion.terminal_mean needs diffusion.zero_terminal_snr=true: only pure noise tells nothing of the clip"
        if self.diffusion.cond_drop > 1:
            yield f"diffusion.cond_drop is {self.diffusion.cond_drop:g}; a share is at most 1"

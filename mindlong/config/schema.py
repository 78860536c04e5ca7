"""Every key of a training configuration, with its type, default and one line of help."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mindlong.config import replaced, tasks
from mindlong.config.belongs import unknown_key
from mindlong.config.given import Setting
from mindlong.config.infinet_options import InfinetOptions
from mindlong.config.interpolation_options import InterpolationOptions
from mindlong.config.leaves import Leaf
from mindlong.config.option import option, section
from mindlong.config.reads import Reader
from mindlong.config.resume_options import ResumeOptions
from mindlong.config.sample import SampleOptions
from mindlong.config.train_options import TrainOptions
from mindlong.config.tune_options import TuneOptions
from mindlong.diffusion.noising import of_options
from mindlong.diffusion.parameterise import PREDICTIONS
from mindlong.diffusion.sample import count_steps
from mindlong.diffusion.schedules import SCHEDULES
from mindlong.media.colours import parse_colour
from mindlong.networks import table
from mindlong.utils.errors import ConfigError

NO_MODEL = "model is missing; give the path of a file in configs/model before keys of it"


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
    hf32: bool = option(
        False, "910B: float32 products round their inputs to 10 bits of mantissa, which is faster"
    )
    jit_level: str = option(
        "auto",
        "Ascend: MindSpore's jit level (O0, O1, O2); auto leaves it to the chip",
        choices=("auto", "O0", "O1", "O2"),
    )
    memory: str = option(
        "check",
        "a run that needs more memory than this machine has, by the estimate of the dry run, is "
        "refused; ignore starts it all the same",
        choices=("check", "ignore"),
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
        "",
        "clips: folder of videos (every usual format, GIF too) or frame folders, at any depth",
        when="kind=clips",
    )
    frames: int = option(8, "frames of a clip", minimum=1)
    size: list[int] = option([32, 32], "height and width in pixels", minimum=2)
    stride: int = option(
        1,
        "clips: take every stride-th frame",
        minimum=1,
        when="kind=clips",
    )
    short: str = option(
        "repeat_last",
        "clips: what to do with a clip shorter than wanted",
        choices=("repeat_last", "loop", "refuse"),
        when="kind=clips",
    )
    crop: str = option(
        "center",
        "clips: which part of the resized frame is taken",
        choices=("center", "random"),
        when="kind=clips",
    )
    flip: bool = option(
        False,
        "clips: mirror half of the clips, whole clips at a time",
        when="kind=clips",
    )
    max_bad: int = option(
        10,
        "clips: how many unreadable files are skipped before it is an error",
        minimum=0,
        when="kind=clips",
    )
    alpha_background: str = option(
        "white",
        "clips: the colour seen where a clip is transparent: a name, or '#rrggbb'",
        when="kind=clips",
    )
    shapes: list[str] = option(
        ["circle", "square", "triangle"],
        "shapes world: which shapes",
        when="kind=shapes",
    )
    colours: list[str] = option(
        ["red", "green", "blue", "yellow"],
        "shapes world: which colours",
        when="kind=shapes",
    )
    motions: list[str] = option(
        ["left", "right", "up", "down"],
        "shapes world: which directions",
        when="kind=shapes",
    )
    background: str = option(
        "plain",
        "shapes world: background",
        choices=("plain", "texture"),
        when="kind=shapes",
    )
    bounce: bool = option(
        False,
        "shapes world: shapes turn back at the edges",
        when="kind=shapes",
    )
    grow: bool = option(
        False,
        "shapes world: shapes change their size",
        when="kind=shapes",
    )
    speed: list[float] = option(
        [],
        "shapes world: slowest and fastest speed, shares of the shorter side a frame; empty: its usual",
        minimum=0,
        when="kind=shapes",
    )
    world_seed: int = option(
        0,
        "shapes world: which world",
        when="kind=shapes",
    )


@dataclass
class DiffusionOptions:
    """The noising process and the loss."""

    timesteps: int = option(1000, "steps of the noising process", minimum=1)
    schedule: str = option(
        "cosine",
        "noise of the steps; scaled_linear is that of the latent families",
        choices=tuple(SCHEDULES),
    )
    beta_start: float = option(
        0.00085,
        "linear, scaled_linear: noise of the first step",
        minimum=0,
        when="schedule=linear|scaled_linear",
    )
    beta_end: float = option(
        0.012,
        "linear, scaled_linear: noise of the last step",
        minimum=0,
        when="schedule=linear|scaled_linear",
    )
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
    prediction: str = option("eps", "what the network predicts", choices=PREDICTIONS)
    loss: str = option("l1", "distance between prediction and target", choices=("l1", "l2"))
    cond_drop: float = option(
        0.0,
        "share of training samples whose condition is dropped; guidance needs some, 0.1 is usual",
        minimum=0,
    )
    focus_present: float = option(
        0.0,
        "in pixels: share of training samples whose frames see only themselves, as if they were images",
        minimum=0,
    )
    min_snr: float = option(
        0.0,
        "Min-SNR gamma (arXiv 2303.09556): nearly clean timesteps, whose SNR is above it, weigh less; "
        "0: all alike, 5 is usual",
        minimum=0,
    )

    def problems(self, family: str) -> Iterator[str]:
        """Sentences on fields out of their range or without meaning for the model's family."""
        for name in ("terminal_mean", "cond_drop", "focus_present"):
            if getattr(self, name) > 1:
                yield f"diffusion.{name} is {getattr(self, name):g}; a share is at most 1"
        if self.beta_end > 1 or self.beta_start > 1:
            yield f"diffusion.beta_start is {self.beta_start:g} and beta_end {self.beta_end:g}; betas are at most 1"
        if self.terminal_mean and not self.zero_terminal_snr:
            yield "diffusion.terminal_mean needs diffusion.zero_terminal_snr=true: only pure noise tells nothing of the clip"
        if self.zero_terminal_snr and self.prediction == "eps":
            yield "diffusion.zero_terminal_snr needs diffusion.prediction=v or x0: eps says nothing where only noise is left"
        if self.focus_present and not table.has_feature(family, "focus"):
            yield (
                f"diffusion.focus_present is {self.focus_present:g}; the family {family} takes no mask that lets the frames "
                f"of a sample see only themselves, {' and '.join(table.with_feature('focus'))} does"
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
        "",
        "model file of the text encoder; trained jointly unless text_weights is given",
        when="!text_weights",
    )
    text_weights: str = option("", "weights of a text encoder to take")
    train_text: bool = option(
        False,
        "a text encoder taken from text_weights is trained too, rather than left as it is",
        when="text_weights",
    )
    unet_weights: str = option("", "weights of the UNet to start from; empty: fresh ones")
    tokenizer: str = option("", "folder with tokenizer.json, or with vocab.json and merges.txt")
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
        [],
        "one video a prompt; without text, give as many empty strings as videos wanted",
        text=True,
    )
    seed: int = option(1000, "noise of the previews; the same at every step")
    fps: int = option(8, "frames per second of the preview GIF", minimum=1)
    sample: SampleOptions = section(SampleOptions)


@dataclass
class TrainConfig:
    """A training run."""

    run_dir: str = option(
        "runs/train", "folder of the run: configuration, checkpoints, metrics, previews"
    )
    model: Any = option(None, "path of a model file, or its keys")
    data: DataOptions = section(DataOptions)
    latents: LatentOptions = section(LatentOptions)
    autoencoder: AutoencoderOptions = section(AutoencoderOptions)
    infinet: InfinetOptions = section(InfinetOptions)
    interpolation: InterpolationOptions = section(InterpolationOptions)
    tune: TuneOptions = section(TuneOptions)
    diffusion: DiffusionOptions = section(DiffusionOptions)
    train: TrainOptions = section(TrainOptions)
    preview: PreviewOptions = section(PreviewOptions)
    resume: ResumeOptions = section(ResumeOptions)
    attention: AttentionOptions = section(AttentionOptions)
    env: EnvOptions = section(EnvOptions)

    @classmethod
    def unknown(cls, key: str, known: Mapping[str, Leaf]) -> str:
        """What to say of a key that there is not."""
        from mindlong.config.infer_schema import InferConfig

        strangers = InferConfig.everywhere("train.py")
        models = {} if any(k.startswith("model.") for k in known) else {"model.": NO_MODEL}
        return unknown_key(key, known, strangers | models)

    @classmethod
    def replaced(
        cls, typed: Collection[str], settings: Mapping[str, Setting]
    ) -> Iterator[tuple[str, str]]:
        """(key, sentence) of the file's keys whose place one of the command line takes."""
        return replaced.replaced(replaced.TRAIN, typed, settings)

    def followed(self, settings: Mapping[str, Setting]) -> Iterator[tuple[str, Any, str]]:
        """(key, value, sentence) of keys that follow what others were set to: the warm-up of a file
        follows a shorter run asked for on the command line.
        """
        steps, warmup = settings.get("train.steps"), settings.get("train.warmup")
        if not steps or not warmup or warmup.value <= steps.value:
            return
        if steps.typed_by_hand and not warmup.typed_by_hand:
            tenth = steps.value // 10
            yield (
                "train.warmup",
                tenth,
                f"{warmup.place}: train.warmup is {warmup.value}, longer than the {steps.value} steps "
                f"of this run; {tenth} are taken",
            )

    def reader(self) -> Reader:
        """What reads the keys: the task."""
        return tasks.reader(tasks.task_of(self))

    def idle(self) -> Iterator[tuple[str, str]]:
        """(key or section, reason) of what these settings leave unread."""
        if "fps" not in getattr(self._spec(), "conditions", ("fps",)):
            yield "latents.fps", "is not read: the network is not conditioned on a frame rate"
        if not self.preview.prompts and tasks.task_of(self) not in tasks.DRAWN_FROM_DATA:
            for key in ("seed", "fps", "sample"):
                yield (
                    f"preview.{key}",
                    "is not read: preview.prompts is empty, and nothing is drawn",
                )
        if self.preview.sample.guidance == 1:
            yield "preview.sample.rescale", "is not read where preview.sample.guidance is 1"
        if self.infinet.lengths and self.data.kind == "clips":
            for key in ("folder", "stride", "short", "crop", "flip", "max_bad"):
                yield (
                    f"data.{key}",
                    "is not read, because infinet.index says which frames are taken",
                )

    def _spec(self) -> Any:
        entry = table.get(self.model.family)
        return self.model.spec() if entry.denoiser and entry.denoiser.space == "latent" else None

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
        if self.train.start and self.latents.unet_weights:
            yield "train.start and latents.unet_weights both say what the network starts from; give one"
        yield from self.infinet.problems(self)
        yield from self.interpolation.problems(self)
        yield from self.tune.problems(self)
        try:
            parse_colour(self.data.alpha_background, "data.alpha_background")
        except ConfigError as error:
            yield str(error)
        if self.data.kind == "clips" and not self.data.folder and not self.infinet.lengths:
            yield "data.folder is empty; data.kind=clips needs a folder of videos"
        yield from self.diffusion.problems(self.model.family)
        yield from (f"preview.{line}" for line in self.preview.sample.problems())
        yield from self._preview_problems()

    def _preview_problems(self) -> Iterator[str]:
        """What would end the run at its first preview."""
        task = tasks.task_of(self)
        drawn = task == "interpolation" or self.preview.prompts
        if task == "autoencoder" or not drawn or not self.train.preview_every:
            return
        try:
            bound = 1.0 if task == "pixel" else None
            count_steps(self.preview.sample, of_options(self.diffusion, bound))
        except ConfigError as error:
            yield f"preview.sample: {error}"

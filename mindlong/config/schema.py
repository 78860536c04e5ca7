"""Every key of a training configuration, with its type, default and one line of help."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from mindlong.config import replaced, tasks
from mindlong.config.belongs import unknown_key
from mindlong.config.command_line import Pair
from mindlong.config.data_options import DataOptions
from mindlong.config.diffusion_options import DiffusionOptions
from mindlong.config.distil_options import DistilOptions
from mindlong.config.env_options import AttentionOptions, EnvOptions
from mindlong.config.given import Setting
from mindlong.config.infinet_options import InfinetOptions
from mindlong.config.interpolation_options import InterpolationOptions
from mindlong.config.latent_options import AutoencoderOptions, LatentOptions
from mindlong.config.leaves import Leaf, leaves
from mindlong.config.option import option, section
from mindlong.config.preview_options import PreviewOptions
from mindlong.config.reads import Reader
from mindlong.config.resume_options import ResumeOptions
from mindlong.config.train_options import TrainOptions
from mindlong.config.tune_a_video_words import TRAINING
from mindlong.config.tune_a_video_yaml import training_words
from mindlong.config.tune_options import TuneOptions
from mindlong.diffusion.noising import of_options
from mindlong.diffusion.sample import count_steps
from mindlong.networks import table
from mindlong.utils.errors import ConfigError

NO_MODEL = "model is missing; give the path of a file in configs/model before keys of it"


@dataclass
class TrainConfig:
    """A training run.

    Attributes:
        KIND: the folder of configs/ that holds such runs.
    """

    KIND: ClassVar[str] = "train"
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
    distil: DistilOptions = section(DistilOptions)
    diffusion: DiffusionOptions = section(DiffusionOptions)
    train: TrainOptions = section(TrainOptions)
    preview: PreviewOptions = section(PreviewOptions)
    resume: ResumeOptions = section(ResumeOptions)
    attention: AttentionOptions = section(AttentionOptions)
    env: EnvOptions = section(EnvOptions)

    @classmethod
    def chosen(cls, name: str | None, where: str) -> type[TrainConfig]:
        """The schema of a training: there is one, whatever pipeline is named."""
        return cls

    @classmethod
    def names(cls) -> set[str]:
        """The keys, as they may be typed."""
        return set(leaves(cls))

    @classmethod
    def words(cls, typed: Sequence[Pair]) -> tuple[str, list[Pair]]:
        """The file that other programs' words on the command line name, "" for none, and the
        pairs with our keys.
        """
        theirs = TRAINING.intersection(pair.key for pair in typed)
        return training_words(typed) if theirs else ("", list(typed))

    @classmethod
    def placed(cls, typed: Sequence[Pair]) -> list[Pair]:
        """The pairs of the command line: keys stand as typed."""
        return list(typed)

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
        if not self.run_dir:
            yield "run_dir is empty; it is the folder of the run"
        yield from self.model.problems()
        yield from self.train.problems()
        if self.train.lora.rank:
            yield from self.train.lora.problems(self, tasks.task_of(self))
        if len(self.data.size) != 2:
            yield f"data.size is {self.data.size}; it must be [height, width]"
            return
        yield from self.data.problems(bool(self.infinet.lengths))
        yield from self.model.training_problems(self)
        if self.train.start and self.latents.unet_weights:
            yield "train.start and latents.unet_weights both say what the network starts from; give one"
        for task in ("infinet", "interpolation", "tune", "distil"):
            if tasks.is_asked(self, task):
                yield from getattr(self, task).problems(self)
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

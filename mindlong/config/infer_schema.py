"""Every key of an inference configuration that all pipelines share; each pipeline's own class adds
its section (`mindlong.config.pipelines`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from mindlong.config import few_steps, lora_words, replaced
from mindlong.config.belongs import unknown_key
from mindlong.config.command_line import Pair
from mindlong.config.env_options import AttentionOptions, InferEnvOptions
from mindlong.config.given import Setting
from mindlong.config.infer_options.latent import LatentModelOptions
from mindlong.config.leaves import Leaf, leaves
from mindlong.config.option import option, section
from mindlong.config.prompt_file import expanded
from mindlong.config.reads import Reader
from mindlong.config.sample import SampleOptions
from mindlong.config.schema import TrainConfig
from mindlong.config.tune_a_video_words import CHECKPOINT
from mindlong.config.tune_a_video_yaml import inference_words
from mindlong.plans.prompt_syntax import SYNTAXES

MOST_FRAMES = 10_000_000
MOST_VIDEOS = 100_000

LARGEST = 16384  # pixels a side of a file written, as H.264 has them


@dataclass
class InferConfig:
    """A sampling run.

    Attributes:
        KIND: the folder of configs/ that holds such runs.
        absent: keys that a pipeline cannot have -> a sentence.
    """

    KIND: ClassVar[str] = "infer"
    absent: ClassVar[Mapping[str, str]] = {}
    pipeline: str = option("pixel", "what makes the videos; --help lists them")
    weights: str = option(
        "",
        "a run folder, a checkpoint folder, a weights file, a whole pipeline's folder, or shipped:NAME; "
        "empty: the pipeline's shipped ones",
    )
    lora: list[str] = option(
        [],
        "LoRA files added to weights (not to key_weights and stage_weights), each FILE, FILE:STRENGTH or "
        "FILE:STRENGTH:STRENGTH_OF_TEXT; a training's run is a FILE too (docs/lora.md)",
    )
    lora_strict: bool = option(
        True,
        "refuse a LoRA file with layers that the weights have not; false: leave these out, and say so",
        when="lora",
    )
    prompts: list[str] = option(
        [],
        "one video a prompt; on the command line they replace the file's; @FILE.txt, .csv or .jsonl "
        "stands for the prompts of a file",
        text=True,
    )
    prompt: str = option("", "a single prompt, put before prompts", text=True)
    prompt_syntax: str = option(
        "plain",
        "plain: prompts are taken as they are typed; weighted: (word:1.3) and ((word)) weigh more, [word] less, "
        "\\( is a bracket, a AND b:0.5 blends (docs/prompts.md)",
        choices=SYNTAXES,
    )
    long_prompts: str = option(
        "cut",
        "prompts longer than the text encoder takes: cut, or read in chunks, each with a start and an end of its own",
        choices=("cut", "chunks"),
    )
    steps: int = option(
        0,
        "denoising steps, in place of sample.steps; text_to_video takes weights distilled to so many where there "
        "are some (shipped:latent_shapes: 4), with the guidance that they need; 0: sample.steps",
        minimum=0,
    )
    count: int = option(1, "videos for each prompt", minimum=1, maximum=MOST_VIDEOS)
    batch: int = option(4, "videos made at the same time; fewer need less memory", minimum=1)
    seed: int = option(0, "noise; video i of the run starts from the i-th noise of this seed")
    frames: int = option(0, "frames; 0: as trained", minimum=0, maximum=MOST_FRAMES)
    size: list[int] = option(
        [], "height and width in pixels; empty: as trained", minimum=2, maximum=MOST_VIDEOS
    )
    fps: int = option(8, "frames per second of the files written", minimum=1, maximum=1000)
    formats: list[str] = option(
        ["mp4", "gif", "png"],
        "files to write: mp4 (H.264), gif, png (contact sheet), webm, webp (an animation), frames (a folder of images)",
        choices=("mp4", "gif", "png", "webm", "webp", "frames"),
    )
    gif_max_mb: float = option(
        0.0,
        "largest GIF in megabytes: colours, then size, then frame rate are reduced until it fits; 0: no limit",
        minimum=0,
        when="formats=gif",
    )
    deflicker: int = option(
        0,
        "average every pixel over so many frames before and after it in which it shows the same; what moves "
        "stays as it is; 0: as it was made",
        minimum=0,
        maximum=64,
    )
    output: str = option(
        "outputs", "folder for the results; a new numbered folder is made in it for every run"
    )
    scale: int = option(
        1,
        "enlarge the written frames by this whole number, for looking at small videos",
        minimum=1,
        maximum=256,
    )
    preview_every: int = option(
        0,
        "while it is denoised, decode what the sample looks like so far every so many steps to preview/; 0: never",
        minimum=0,
    )
    recipe: bool = option(
        True,
        "keep in the files what `--from FILE` needs to make them again: the configuration without "
        "paths, names and SHA-256 of weights and inputs",
    )
    sample: SampleOptions = section(SampleOptions)
    latent: LatentModelOptions = section(LatentModelOptions)
    attention: AttentionOptions = section(AttentionOptions)
    env: InferEnvOptions = section(InferEnvOptions)

    @classmethod
    def chosen(cls, name: str | None, where: str) -> type[InferConfig]:
        """The schema of the pipeline called `name` (None: the usual one), which `where` asks for.
        Raises ConfigError.
        """
        from mindlong.config.pipelines import pipeline

        return pipeline(str(name or "pixel"), where).schema

    @classmethod
    def names(cls) -> set[str]:
        """The keys, as they may be typed: also those of the pipeline without its name."""
        own = [key.partition(".")[2] for key in leaves(cls) if key not in leaves(InferConfig)]
        return {*leaves(cls), *own}

    @classmethod
    def words(cls, typed: Sequence[Pair]) -> tuple[str, list[Pair]]:
        """As `TrainConfig.words`; such words name no file."""
        theirs = any(pair.key == CHECKPOINT for pair in typed)
        return "", inference_words(typed) if theirs else list(typed)

    @classmethod
    def placed(cls, typed: Sequence[Pair]) -> list[Pair]:
        """The pairs of the command line, where the section of the pipeline chosen may go unnamed:
        video=FILE stands for interpolate.video=FILE, if there is no common key called so.
        """
        common = leaves(InferConfig)
        tops = {key.partition(".")[0] for key in common}
        own = [key for key in leaves(cls) if key not in common]
        short = {key.partition(".")[2]: key for key in own}
        return [
            replace(pair, key=pair.key.replace(head, short[head], 1))
            if (head := pair.key.partition(".")[0]) in short and head not in tops
            else pair
            for pair in typed
        ]

    @classmethod
    def unknown(cls, key: str, known: Mapping[str, Leaf]) -> str:
        """What to say of a key that there is not."""
        return unknown_key(key, known, cls.strangers())

    @classmethod
    def strangers(cls) -> dict[str, str]:
        """Keys of other pipelines and of train.py, with a sentence on what they belong to."""
        from mindlong.config.pipelines import PIPELINES

        said = "belongs to train.py; this is infer.py"
        mine = next(name for name, entry in PIPELINES.items() if entry.schema is cls)
        keys = [key for key in leaves(TrainConfig) if key not in leaves(cls)]
        found = {key: f"{key} {said}" for key in keys}
        found |= {f"{top}.": f"{top}.* {said}" for top in {key.partition(".")[0] for key in keys}}
        owners: dict[str, list[str]] = {}
        for name, entry in PIPELINES.items():
            own = [key for key in leaves(entry.schema) if key not in leaves(InferConfig)]
            for key in own if name != mine else ():
                for word in (key, key.partition(".")[2], f"{name}."):
                    owners.setdefault(word, []).append(name)
        for word, names in owners.items():
            listed = " or ".join(dict.fromkeys(names))
            what = f"{word}*" if word.endswith(".") else word
            found[word] = f"{what} belongs to pipeline={listed}; this is pipeline={mine}"
        return {**found, **cls.absent}

    @classmethod
    def everywhere(cls, command: str) -> dict[str, str]:
        """The keys of all pipelines, with a sentence for users of another command."""
        from mindlong.config.pipelines import PIPELINES

        keys = [key for entry in PIPELINES.values() for key in leaves(entry.schema)]
        return {key: f"{key} belongs to infer.py; this is {command}" for key in keys}

    @classmethod
    def replaced(
        cls, typed: Collection[str], settings: Mapping[str, Setting]
    ) -> Iterator[tuple[str, str]]:
        """(key, sentence) of the file's keys whose place one of the command line takes."""
        return replaced.replaced(replaced.INFER, typed, settings)

    def followed(self, settings: Mapping[str, Setting]) -> Iterator[tuple[str, Any, str]]:
        """(key, value, sentence) of keys that follow what others were set to: those of `steps`."""
        plain = self.pipeline == "text_to_video"
        return few_steps.followed(self.steps, self.weights if plain else "", settings)

    def reader(self) -> Reader:
        """What reads the keys: the pipeline."""
        from mindlong.config.pipelines import reader

        return reader(self.pipeline)

    def idle(self) -> Iterator[tuple[str, str]]:
        """(key or section, reason) of what these settings leave unread."""
        apart = getattr(getattr(self, "conditioning", None), "image_guidance", 0)
        if self.sample.guidance == 1 and self.pipeline != "hierarchical" and not apart:
            yield "sample.rescale", "is not read where sample.guidance is 1"
        for key, reason in getattr(self.own, "idle", lambda config: ())(self):
            yield key, reason
            if key in ("sample", few_steps.STEPS):
                yield few_steps.KEY, reason

    @property
    def own(self) -> Any:
        """The section of the pipeline, None where it has none."""
        return getattr(self, self.pipeline, None)

    def problems(self) -> Iterator[str]:
        """Sentences on fields that do not fit together."""
        if self.size and len(self.size) != 2:
            yield f"size is {self.size}; it must be [height, width]"
        if self.size and max(self.size) * self.scale > LARGEST:
            yield f"size is {self.size} and scale {self.scale}; files have at most {LARGEST} pixels a side"
        if not self.output:
            yield "output is empty; it is the folder of the results, output=. for the current one"
        if not self.formats:
            yield (
                "formats is empty, so no video would be written; give some of mp4, gif, webm, webp, frames "
                "and png"
            )
        if len(set(self.formats)) != len(self.formats):
            yield f"formats is {list(self.formats)}; each is named once"
        if self.lora:
            yield from lora_words.problems(self.lora)
        yield from self.sample.problems()
        yield from getattr(self.own, "problems", lambda config: ())(self)

    def wanted_prompts(self) -> list[str]:
        """`prompt` and `prompts` as one list, those of files among them.

        Raises:
            InputFileError, ConfigError: a file of prompts that cannot be read.
        """
        given = ([self.prompt] if self.prompt else []) + list(self.prompts)
        return expanded(given, MOST_VIDEOS)

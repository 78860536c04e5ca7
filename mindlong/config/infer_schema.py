"""Every key of an inference configuration: those that all pipelines share, and the section of the
pipeline chosen.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, make_dataclass
from typing import Any

from mindlong.config.infer_options.latent import LatentModelOptions
from mindlong.config.option import option
from mindlong.config.pipelines import PIPELINES, pipeline
from mindlong.config.sample import SampleOptions
from mindlong.config.schema import AttentionOptions, EnvOptions


def _section(kind: type) -> Any:
    return field(default_factory=kind, metadata={"help": ""})


@dataclass
class InferConfig:
    """A sampling run."""

    pipeline: str = option(
        "pixel", "; ".join(f"{name}: {entry.about}" for name, entry in PIPELINES.items())
    )
    weights: str = option(
        "",
        "a run folder, a checkpoint folder, a weights file, a whole pipeline's folder, or shipped:NAME; "
        "empty: the pipeline's shipped ones",
    )
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
        "files to write: mp4 (H.264), gif, png (contact sheet), webm, frames (a folder of pictures)",
        choices=("mp4", "gif", "png", "webm", "frames"),
    )
    output: str = option(
        "outputs", "folder for the results; a new numbered folder is made in it for every run"
    )
    scale: int = option(
        1, "enlarge the written frames by this whole number, for looking at small videos", minimum=1
    )
    sample: SampleOptions = _section(SampleOptions)
    latent: LatentModelOptions = _section(LatentModelOptions)
    attention: AttentionOptions = _section(AttentionOptions)
    env: EnvOptions = _section(EnvOptions)

    @classmethod
    def chosen(cls, tree: Mapping[str, Any]) -> type[InferConfig]:
        """The schema with the section of the pipeline that the keys in `tree` name. Raises
        ConfigError.
        """
        return infer_schema(str(tree.get("pipeline", "pixel")))

    @classmethod
    def placed(cls, pairs: Mapping[str, Any]) -> dict[str, Any]:
        """`pairs` of the command line, where the section of the pipeline chosen may go unnamed:
        video=FILE stands for interpolate.video=FILE, if there is no common key called so.
        """
        section = next((f for f in fields(cls) if f.name in PIPELINES), None)
        own = (
            {f.name for f in fields(section.default_factory)} - {f.name for f in fields(cls)}
            if section
            else set()
        )
        short = {key: value for key, value in pairs.items() if key in own}
        placed = {key: value for key, value in pairs.items() if key not in own}
        return (
            placed | {section.name: {**short, **placed.get(section.name, {})}} if short else placed
        )

    def problems(self) -> Iterator[str]:
        """Sentences on fields that do not fit together."""
        if self.size and len(self.size) != 2:
            yield f"size is {self.size}; it must be [height, width]"
        yield from self.sample.problems()
        own = getattr(getattr(self, self.pipeline, None), "problems", None)
        if own:
            yield from own(self)

    def wanted_prompts(self) -> list[str]:
        """`prompt` and `prompts` as one list."""
        return ([self.prompt] if self.prompt else []) + list(self.prompts)


@functools.cache
def infer_schema(name: str) -> type[InferConfig]:
    """The keys of one pipeline: InferConfig, its section called `name`, its default weights."""
    entry = pipeline(name)
    weights = option(entry.weights, InferConfig.__dataclass_fields__["weights"].metadata["help"])
    own = [(name, entry.options, _section(entry.options))] if entry.options else []
    return make_dataclass("InferConfig", [("weights", str, weights), *own], bases=(InferConfig,))

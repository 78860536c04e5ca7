"""The videos that compare_long compares: ways, lengths and prompts, their keys checked."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mindlong.config.command_line import WHERE
from mindlong.config.infer_schema import InferConfig
from mindlong.config.load import Loaded, load
from mindlong.config.prompt_file import file_of
from mindlong.config.reads import Reader
from mindlong.config.yaml_file import Tree
from mindlong.scores.asked import twice
from mindlong.utils.errors import ConfigError

PIPELINE = "clip_parallel"
WAYS: dict[str, dict[str, Any]] = {  # keys of the pipeline's own section
    "exact": {"strategy": "exact"},
    "as the original": {"strategy": "video_infinity"},
    "independent clips": {"strategy": "independent"},
    "all frames at once": {"strategy": "exact", "local": "all", "spread": ""},
    "FreeNoise-style": {"strategy": "free_noise"},
    "windows": {"strategy": "windows"},
    "queue": {"strategy": "queue", "stride": 8},
}
NEAR = {"strategy": "exact", "local": "window:15", "spread": ""}
JOINT = {  # for a network whose text and video are one sequence
    f"near, {places}": {**NEAR, "places": places} for places in ("plain", "stretch", "fold")
}
OPTIONS = {  # keys that options of this command stand for
    "weights": "--weights",
    "prompt": "--prompts",
    "prompts": "--prompts",
    "output": "--out",
    f"{PIPELINE}.strategy": "--ways",
    f"{PIPELINE}.clips": "--clips",
    f"{PIPELINE}.lengths": "--clips",
}
SHOWN = ("scenes", "blend")  # each video shows one prompt
RUN = ("save_every", "name", "swaps")  # of a run of infer.py
READER = Reader(
    "compare_long",
    (
        *("seed", "frames", "size", "fps", "steps", "sample", "latent", "lora", "lora_strict"),
        *("prompt_syntax", "long_prompts", PIPELINE),
        *(f"-{key}" for key in OPTIONS),
        *(f"-{PIPELINE}.{key}" for key in (*SHOWN, *RUN)),
    ),
)
FRAMES = "frames.npz"


@dataclass(frozen=True)
class Job:
    """A video that is compared.

    Attributes:
        number: of its prompt, and its seed.
        place: its folder. loaded: what it is made with.
    """

    way: str
    clips: int
    number: int
    prompt: str
    place: Path
    loaded: Loaded

    @property
    def is_made(self) -> bool:
        """Whether its frames are there."""
        return (self.place / FRAMES).exists()


def jobs_of(args: argparse.Namespace) -> list[Job]:
    """The videos, their keys checked.

    Raises:
        ConfigError: a way or a length that is given twice, a file for prompts, or a key that is
            none or is not read.
    """
    for option, given in (("--ways", args.ways), ("--clips", args.clips)):
        _refuse_doubles(option, given)
    named = next((prompt for prompt in args.prompts if file_of(prompt)), None)
    if named:
        raise ConfigError(
            f"--prompts: {named} names a file; captions are needed, of a synthetic world"
        )
    return [
        _job(args, way, clips, number)
        for clips in args.clips
        for way in args.ways
        for number in range(len(args.prompts))
    ]


def _refuse_doubles(option: str, given: Sequence[object]) -> None:
    """A prompt may be there twice: its videos differ by their seeds."""
    double = twice(given)
    if double is not None:
        raise ConfigError(
            f"{option} names {double} twice, whose videos would count twice; name it once"
        )


def _job(args: argparse.Namespace, way: str, clips: int, number: int) -> Job:
    place, prompt = place_of(args.out, way, clips, number), args.prompts[number]
    tree = {
        "pipeline": PIPELINE,
        "weights": args.weights,
        "prompts": [prompt],
        "seed": number,
        "output": str(place),
        PIPELINE: {**(WAYS | JOINT)[way], "clips": clips},
    }
    loaded = load(None, args.overrides, InferConfig, tree=Tree(f"the way {way!r}", tree))
    _refuse_unread(loaded)
    return Job(way, clips, number, prompt, place, loaded)


def _refuse_unread(loaded: Loaded) -> None:
    """Raise ConfigError where a key is given that would change nothing here, or that an option of
    this command stands for.
    """
    for key, setting in loaded.given.items():
        if setting.place != WHERE or READER.covers(key):
            continue
        instead = f"give {OPTIONS[key]}" if key in OPTIONS else "leave it out"
        raise ConfigError(f"{WHERE}: {key} is not read by {READER.name}; {instead}")


def place_of(out: Path, way: str, clips: int, number: int) -> Path:
    """The folder of a video."""
    return out / f"{way.replace(' ', '_')}-{clips}-{number:02d}"

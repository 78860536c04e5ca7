"""A network and a text encoder that are not mindlong's, as somebody outside would plug them in:
their specs, names, keys and files; `toy_cells` holds what runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from mindlong.diffusion.noising import Noising
from mindlong.diffusion.samplers.flavours import FLAVOURS
from mindlong.diffusion.schedules import linear
from mindlong.networks.cost import Cost, Load
from mindlong.networks.format import Format, Inferred, Shapes, size
from mindlong.networks.keys import problems_of_spec
from mindlong.networks.lone import Input, Lone
from mindlong.networks.names import Entry, count, pair, same
from mindlong.networks.network import Denoiser, Hub, Network, Text
from mindlong.networks.unet.keys import latents_missing
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.option import option

FAMILY, WORDS = "toy_mixer", "toy_words"


@dataclass(frozen=True)
class MixerSpec:
    """Two convolutions with a mixing of frames between; `width` is even."""

    width: int = 8
    context_dim: int = 24
    channels: int = 4
    places: int = 8

    def __post_init__(self) -> None:
        if self.width % 2:
            raise ConfigError(f"width is {self.width}; it must be even")


def names(spec: MixerSpec, layout: str = "published") -> list[Entry]:
    """One entry for each tensor, as published or as somebody else's program writes it."""
    words = {"published": ("inner.first", "inner.last"), "other": ("net.0", "net.2")}[layout]
    w, c = spec.width, spec.channels
    return [
        *pair("conv_in", words[0], w, c, 3, 3),
        *pair("time", "time", w, 1),
        *pair("rate", "rate", w, 1),
        *pair("text", "text.proj", w, spec.context_dim),
        same("mix", "mixer", spec.places, spec.places),
        *pair("conv_out", words[1], c, w, 3, 3),
    ]


@dataclass
class MixerModel:
    """The keys of its `model` section."""

    family: str = option(FAMILY, "which network", choices=(FAMILY,))
    width: int = option(8, "channels inside; even", minimum=2)
    context_dim: int = option(24, "width of the prompt's vectors", minimum=1)
    channels: int = option(4, "channels of a latent", minimum=1)
    places: int = option(8, "frames at most", minimum=1)

    def spec(self) -> MixerSpec:
        return MixerSpec(self.width, self.context_dim, self.channels, self.places)

    def problems(self) -> Iterator[str]:
        yield from problems_of_spec(self)

    def training_problems(self, config: Any) -> Iterator[str]:
        yield from latents_missing(self.family, config)


def _section(spec: MixerSpec) -> dict[str, Any]:
    usual = asdict(MixerSpec())
    return {"family": FAMILY, **{k: v for k, v in asdict(spec).items() if v != usual[k]}}


def _format(layout: str, **facts: Any) -> Format:
    first = names(MixerSpec(), layout)[0].source

    def infer(shapes: Shapes, overrides: Mapping[str, Any]) -> Inferred:
        found = {
            "width": size(shapes, first, 0),
            "channels": size(shapes, first, 1),
            "context_dim": size(shapes, "text.proj.weight", 1),
            "places": size(shapes, "mixer", 0),
        }
        return Inferred(MixerSpec(**{**found, **overrides}))

    return Format(
        layout=layout,
        markers=(first, "mixer", "text.proj.weight"),
        infer=infer,
        entries=lambda spec: names(spec, layout),
        **facts,
    )


def _cost(spec: MixerSpec, load: Load) -> Cost:
    numbers, places = count(names(spec)), load.videos * load.frames * load.height * load.width
    flops = 2.0 * places * (18 * spec.channels * spec.width + spec.width * load.frames)
    held = 4.0 * (numbers + 4 * places * spec.width)
    return Cost(numbers, flops, held, 5 * held)


def _check(spec: MixerSpec, arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
    if arrays["x"].shape[2] > spec.places:
        raise InputFileError(f"inputs: x has more than {spec.places} frames")
    return {"C": spec.channels, "D": spec.context_dim}


MIXER = Network(
    family=FAMILY,
    role="network",
    about="a mixer of frames that is not mindlong's",
    keys=MixerModel,
    section=_section,
    formats=(_format("published", prefix="model."), _format("other")),
    our_markers=("mix", "conv_in.weight", "text.weight", "rate.weight"),
    build="toy_cells:Mixer",
    cost=_cost,
    part="mixer",
    hub=Hub("toys", "MixerModel", lambda spec: asdict(spec), folder="mixer", pipeline="MixerPipe"),
    lone=(
        Lone(
            "mixer",
            (
                Input("x", "BCFHW", "float", "the noisy latents", needed=True),
                Input("t", "B", "float", "timesteps", needed=True),
                Input("context", "BTD", "float", "the prompt's vectors", needed=True),
                Input("fps", "B", "float", "frames per second", needed=True),
            ),
            _check,
            lambda spec, arrays: arrays["x"].shape,
            "toy_cells:alone",
            about="shaped like x",
        ),
    ),
    denoiser=Denoiser(
        space="latent",
        takes=lambda spec: ("context", "fps"),
        size=(4, 16, 16),
        noising=lambda spec, facts: Noising(linear(100), "v", FLAVOURS["mindlong"]),
        null=MappingProxyType({"context": "zeros"}),
        usual=MappingProxyType({"vae": "autoencoder_kl", "text_encoder": WORDS}),
    ),
)


@dataclass(frozen=True)
class WordsSpec:
    """A vector for each word."""

    vocabulary: int = 12
    width: int = 24
    length: int = 6


def word_names(spec: WordsSpec) -> list[Entry]:
    """Its one tensor."""
    return [same("vectors", "words.table", spec.vocabulary, spec.width)]


@dataclass
class WordsModel:
    """The keys of its `model` section."""

    family: str = option(WORDS, "which network", choices=(WORDS,))
    vocabulary: int = option(12, "words", minimum=1)
    width: int = option(24, "numbers of a vector", minimum=1)
    length: int = option(6, "words of a prompt", minimum=1)

    def spec(self) -> WordsSpec:
        return WordsSpec(self.vocabulary, self.width, self.length)

    def problems(self) -> Iterator[str]:
        yield from ()

    def training_problems(self, config: Any) -> Iterator[str]:
        yield "model.family is toy_words; it is trained beside a network"


def _words(shapes: Shapes, overrides: Mapping[str, Any]) -> Inferred:
    found = {"vocabulary": size(shapes, "words.table", 0), "width": size(shapes, "words.table", 1)}
    return Inferred(WordsSpec(**{**found, **overrides}))


class WordTokenizer:
    """The number of each word in words.txt; 0 for all others, and behind the last."""

    def __init__(self, path: Path, length: int) -> None:
        self.words = (path / "words.txt").read_text().split()
        self.length = self.room = length
        self.vocabulary = len(self.words) + 1

    def __call__(self, prompts):
        ids = np.zeros((len(prompts), self.length), np.int32)
        for row, prompt in zip(ids, prompts, strict=True):
            found = [self.words.index(w) + 1 if w in self.words else 0 for w in prompt.split()]
            row[: len(found)] = found[: self.length]
        return ids

    def overlong(self, prompt: str) -> int:
        return max(len(prompt.split()) - self.length, 0)


def word_tokenizer(path: str | Path, spec: WordsSpec) -> WordTokenizer:
    """From a folder with words.txt."""
    return WordTokenizer(Path(path), spec.length)


ENCODER = Network(
    family=WORDS,
    role="text_encoder",
    about="a table of words that is not mindlong's",
    keys=WordsModel,
    section=lambda spec: {"family": WORDS, **asdict(spec)},
    formats=(Format("", ("words.table",), _words, word_names, prefix="text.", together="text."),),
    our_markers=("vectors",),
    build="toy_cells:WordTable",
    cost=lambda spec, load: Cost(count(word_names(spec)), 0.0, 0.0, 0.0),
    hub=Hub("toys", "WordTable", lambda spec: asdict(spec), tokenizer="WordTokenizer"),
    text=Text("toy_family:word_tokenizer", ("words.txt",)),
)

NETWORKS = (MIXER, ENCODER)

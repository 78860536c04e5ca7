"""Text to video with the pixel-space Unet3D: prompts in, uint8 frames out.

Noise is keyed by (seed, "sample", number of the video), so a video does not depend on which others
are made with it.

Legend: B videos, C channels, F frames, H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from mindspore import nn

from mindlong.checkpoints.embedder import embedder
from mindlong.checkpoints.find import Trained, find_trained
from mindlong.checkpoints.load import load_into
from mindlong.checkpoints.lora.latent import over_trained, stamps_of
from mindlong.data.source import to_frames, to_network
from mindlong.diffusion.finite import Row
from mindlong.diffusion.interpolation import interpolate
from mindlong.diffusion.noising import Noising, of_options
from mindlong.diffusion.sample import count_steps, sample
from mindlong.networks import network as networks
from mindlong.networks import table
from mindlong.pipelines.made import Made
from mindlong.pipelines.pixel.plan import given_videos, said, shape_of, visited
from mindlong.pipelines.results import wanted
from mindlong.utils import rng

if TYPE_CHECKING:
    from mindlong.diffusion.guidance import Model
    from mindlong.diffusion.samplers.loop import Callback
    from mindlong.pipelines.models import Models


@dataclass(frozen=True)
class Request:
    """One video to make: what it shows and which noise it starts from."""

    prompt: str
    seed: int
    number: int = 0

    @property
    def row(self) -> Row:
        """For sentences."""
        return Row(f"video {self.number}" + (f" ({self.prompt!r})" if self.prompt else ""))


@dataclass(frozen=True)
class Between:
    """Two videos to be mixed.

    Attributes:
        videos: uint8 (2, F, H, W, C).
        mix: the share of the second one.
        timestep: how far they are noised; 0: to the last timestep.
    """

    videos: np.ndarray
    mix: float = 0.5
    timestep: int = 0


class PixelVideo:
    """A network with its noising process, ready to make videos.

    Args:
        network: the network, conditioned as it was trained.
        noising: the process it was trained on, with the range of pixels as its bound.
        shape: (C, F, H, W) of the videos.
        options: the section `sample` of a configuration.
        between: the videos are made between two others; None: from noise.
    """

    def __init__(
        self,
        network: nn.Cell,
        noising: Noising,
        shape: tuple[int, int, int, int],
        options: Any,
        between: Between | None = None,
    ) -> None:
        self.network, self.noising = network.set_train(False), noising
        self.shape, self.options, self.between = shape, options, between

    def batches(
        self, requests: Sequence[Request], size: int, callback: Callback | None = None
    ) -> Iterator[tuple[Sequence[Request], np.ndarray]]:
        """Yield (requests, frames uint8 (B, F, H, W, C)) for `size` requests at a time, in
        order.
        """
        for start in range(0, len(requests), size):
            part = list(requests[start : start + size])
            padded = part + [part[-1]] * (size - len(part))  # one compiled shape
            yield part, self.run(padded, callback)[: len(part)]

    def run(self, requests: Sequence[Request], callback: Callback | None = None) -> np.ndarray:
        """The videos of `requests` as one batch: uint8 (B, F, H, W, C).

        Raises:
            ConfigError: options that do not fit the sampler or the network.
            NotFiniteError: the network or a sample is not finite.
        """
        s = self.options
        model = self.network.denoiser([r.prompt for r in requests], s.guidance, s.rescale)
        made = self._between if self.between else self._sampled
        return to_frames(made(requests, model, callback))

    def count_steps(self) -> int:
        """Steps that a video takes."""
        return count_steps(self.options, self._noising())

    def _noising(self) -> Noising:
        if self.between is None or not self.between.timestep:
            return self.noising
        return self.noising.first(self.between.timestep + 1)

    def _sampled(
        self, requests: Sequence[Request], model: Model, callback: Callback | None
    ) -> np.ndarray:
        return sample(
            self.options,
            model,
            self._noise(requests, "sample", 0),
            self.noising,
            noise=lambda step: self._noise(requests, "sample-step", step),
            callback=callback,
            rows=[r.row for r in requests],
        )

    def _between(
        self, requests: Sequence[Request], model: Model, callback: Callback | None
    ) -> np.ndarray:
        given = to_network(self.between.videos)
        first, second = (np.repeat(given[i : i + 1], len(requests), axis=0) for i in (0, 1))
        noises = self._noise(requests, "interpolate", 0), self._noise(requests, "interpolate", 1)
        return interpolate(
            model,
            first,
            second,
            self.noising,
            noises,
            noise=lambda step: self._noise(requests, "sample-step", step),
            t=self.between.timestep or None,
            mix=self.between.mix,
            options=self.options,
            callback=callback,
            rows=[r.row for r in requests],
        )

    def _noise(self, requests: Sequence[Request], stream: str, step: int) -> np.ndarray:
        return np.stack([rng.normal(self.shape, r.seed, stream, step, r.number) for r in requests])


def requests_of(config: Any, trained: Trained) -> list[Request]:
    """The videos of a configuration."""
    return [
        Request(said(prompt, trained.config)[0], config.seed, number)
        for number, prompt in enumerate(wanted(config))
    ]


def network_of(trained: Trained, text_encoder: str = "") -> nn.Cell:
    """The trained network, with the text encoder that it needs where it has none of its own.
    Raises ConfigError, InputFileError.
    """
    model = trained.config.model
    build = networks.made(table.get(model.family, "network").denoiser.conditioned)
    network = build(model)
    load_into(network, trained.arrays)
    network.embed = embedder(model, text_encoder)
    return network


def network_for(
    models: Models,
    weights: str,
    trained: Trained,
    text_encoder: str,
    loras: Sequence[str] = (),
    stamps: Sequence[object] = (),
) -> nn.Cell:
    """`network_of`, once for all calls with these LoRAs, which `trained` has.

    Args:
        stamps: what tells the content of their files from another (`stamps_of`).
    """
    named = ("pixel", weights, text_encoder, *loras, *stamps)
    return models.held(*named, load=lambda: network_of(trained, text_encoder))


def pipeline_of(config: Any, trained: Trained, network: nn.Cell | None = None) -> PixelVideo:
    """The trained network with what a configuration wants of it. Raises ConfigError,
    InputFileError.
    """
    videos, own = given_videos(config, trained.config), config.pixel
    visited(config, trained.config)
    between = None if videos is None else Between(videos, own.mix, own.timestep)
    return PixelVideo(
        network or network_of(trained, own.text_encoder),
        of_options(trained.config.diffusion, bound=1.0),
        shape_of(config, trained.config),
        config.sample,
        between,
    )


def make(models: Models, config: Any, callback: Callback | None = None) -> Iterator[Made]:
    """The videos of a configuration, each batch when its first video is asked for.

    Raises:
        ConfigError, InputFileError, NotFiniteError.
    """
    found = find_trained(config.weights, "pixel")
    own, loras, stamps = config.pixel, config.lora, stamps_of(config.lora)
    trained = over_trained(found, loras, config.lora_strict)
    network = network_for(models, config.weights, trained, own.text_encoder, loras, stamps)
    requests, pipeline = requests_of(config, trained), pipeline_of(config, trained, network)
    for part, videos in pipeline.batches(requests, min(config.batch, len(requests)), callback):
        for request, frames in zip(part, videos, strict=True):
            yield Made(request.prompt, request.number, iter(frames), len(frames), config.fps)

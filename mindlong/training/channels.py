"""Channels of a network that is trained: those of the videos, or of the autoencoder's latents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mindlong.utils.errors import ConfigError
from mindlong.utils.needed import needed

if TYPE_CHECKING:
    from mindlong.config.schema import TrainConfig
    from mindlong.networks.network import Network


def check_pixels(config: TrainConfig, task: str) -> None:
    """Videos have three colours, and what is predicted of them too."""
    model = config.model
    if task in ("pixel", "autoencoder") and model.channels != 3:
        raise ConfigError(
            f"model.channels is {model.channels}; videos have 3 channels: red, green and blue"
        )
    if task == "pixel" and model.out_dim not in (None, model.channels):
        raise ConfigError(
            f"model.out_dim is {model.out_dim}; in training it must be {model.channels} as model.channels, or "
            "empty"
        )


def check_channels(spec: Any, latent_channels: int, task: str, entry: Network) -> None:
    """In latents: as many are read as the task puts together, and the latents are predicted."""
    predicted = getattr(spec, "out_channels", latent_channels)
    if predicted != latent_channels:
        raise ConfigError(
            f"model.out_channels is {predicted}; the autoencoder's latents have {latent_channels} channels, and as many are "
            "predicted"
        )
    images = needed(entry.denoiser, "denoiser").images
    imaged = latent_channels * (2 if images and images.beside else 1)
    times = {"interpolation": 2 * latent_channels + 1, "images": imaged}
    wanted = times.get(task, latent_channels)
    read = getattr(spec, "in_channels", wanted)
    if read != wanted:
        raise ConfigError(
            f"model.in_channels is {read}; the autoencoder's latents have {latent_channels} channels, so that "
            f"task {task} needs {wanted}"
        )

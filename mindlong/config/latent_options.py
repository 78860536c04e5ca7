"""What the latent families train in and with, and the loss of their autoencoder."""

from __future__ import annotations

from dataclasses import dataclass

from mindlong.config.option import option


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
    image_encoder: str = option(
        "",
        "weights of an image encoder, for a network that is conditioned on images; it is not trained",
    )
    projector: str = option(
        "",
        "weights that the projector starts from, which makes of that encoder's tokens those that the "
        "network reads; it is trained with it",
    )
    unet_weights: str = option("", "weights of the UNet to start from; empty: fresh ones")
    motion: str = option(
        "",
        "networks with motion modules (AnimateDiff): a file of modules to start from; empty: fresh ones, which change "
        "nothing at first",
    )
    tokenizer: str = option("", "folder with tokenizer.json, or with vocab.json and merges.txt")
    cache: str = option(
        "", "folder for the latents of the clips, made once; empty: latents in the run folder"
    )
    clips: int = option(
        2048, "clips whose latents are kept; samples are drawn from them again and again", minimum=1
    )
    posterior: str = option(
        "sample",
        "latents of a step: drawn from what the autoencoder says of a clip, or its mean (no noise of the autoencoder is learnt)",
        choices=("sample", "mean"),
    )
    chunk: int = option(16, "frames encoded at a time", minimum=1)
    fps: int = option(8, "frame rate that the network is conditioned on, where it is", minimum=1)


@dataclass
class AutoencoderOptions:
    """The loss of an autoencoder's training."""

    kl: float = option(
        1e-6,
        "weight of the divergence of the latents from N(0, 1), against the mean squared error",
        minimum=0,
    )

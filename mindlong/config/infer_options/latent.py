"""Where a latent pipeline's networks come from and how they are run; the section `latent` of every
such pipeline.
"""

from __future__ import annotations

from dataclasses import dataclass

from mindlong.config.option import option
from mindlong.networks.choices import Families
from mindlong.networks.network import Network
from mindlong.networks.unet.motion import COMPATS, VERSIONS


def _is_latent(network: Network) -> bool:
    return network.denoiser is not None and network.denoiser.space == "latent"


@dataclass
class LatentModelOptions:
    """The networks of a latent pipeline; what is left empty is found in `weights` or has the
    family's published value.
    """

    family: str = option(
        "",
        "read the network as this family; empty: as its names say. A family can start from its base's "
        "weights",
        choices=Families("network", first=("",), only=_is_latent),
    )
    motion: str = option(
        "",
        "motion modules (AnimateDiff) to be added to the image model in weights: a file, a folder, or a "
        "run of such a training; the noising process is theirs",
    )
    version: str = option(
        "",
        "networks with motion modules: v1, v2, v3 or lcm, where the file does not tell it",
        choices=("", *VERSIONS),
    )
    compat: str = option(
        "",
        "networks with motion modules: diffusers takes their norms over all frames, not frame by frame as "
        "published",
        choices=COMPATS,
    )
    vae: str = option("", "another autoencoder: a folder, a weights file, or shipped:NAME")
    text_encoder: str = option(
        "", "another text encoder: a folder, a weights file, or shipped:NAME"
    )
    image_encoder: str = option(
        "",
        "another image encoder, for a network that reads an image's tokens: a folder or a weights file "
        "(any OpenCLIP ViT-H/14)",
    )
    projector: str = option(
        "", "another network from the image encoder's tokens to those read: a folder or a file"
    )
    tokenizer: str = option(
        "",
        "folder with tokenizer.json, or vocab.json and merges.txt, or bpe_simple_vocab_16e6.txt.gz",
    )
    scheduler: str = option("", "a scheduler_config.json, or its folder")
    prediction: str = option(
        "",
        "what the UNet predicts; empty: as scheduler_config.json says",
        choices=("", "eps", "v", "x0"),
    )
    unconditional: str = option(
        "",
        "what the unconditional call of guidance reads in the place of a prompt: the states of the negative "
        "prompt, or zeros; empty: as the family was published",
        choices=("", "negative", "zeros"),
    )
    dynamic_scale: str = option(
        "auto",
        "VideoCrafter2's factor on the clean sample; auto: for families that were trained with one",
        choices=("auto", "on", "off"),
    )
    reads: dict[str, str] = option(
        {}, "which frames a frame reads, for example {space: sparse_causal, time: 'window:5'}"
    )
    dtype: str = option(
        "float32",
        "of the UNet and the autoencoder; bfloat16 is for a 910B. A CPU computes either in float32 "
        "and rounds",
        choices=("float32", "float16", "bfloat16"),
    )
    chunk: int = option(4, "frames encoded or decoded at a time; fewer need less memory", minimum=1)

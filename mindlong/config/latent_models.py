"""The `model` sections of the latent families: the UNets (one dataclass, they differ in numbers
only), the autoencoder, the text tower."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from mindlong.config.option import option
from mindlong.networks.clip.text_spec import ACTIVATIONS, ClipTextSpec
from mindlong.networks.unet.families import FAMILIES, family
from mindlong.networks.vae.spec import VaeSpec
from mindlong.utils.errors import ConfigError


@dataclass
class UNetModel:
    """A latent video UNet; a key left empty has the published value of the family."""

    family: str = option("modelscope", "which network", choices=tuple(FAMILIES))
    in_channels: int | None = option(
        None, "channels of the input: 4 latents; pseudo3d 9, with mask and hint", minimum=1
    )
    out_channels: int | None = option(None, "channels of the prediction", minimum=1)
    channels: list[int] | None = option(
        None, "channels of each level; all but the last halve the size", minimum=2
    )
    layers: int | None = option(None, "layers of a level", minimum=1)
    attends: list[bool] | None = option(None, "whether each level has transformers")
    head_dim: int | None = option(None, "width of an attention head; or give heads", minimum=1)
    heads: list[int] | None = option(
        None, "number of attention heads, [N] or one for each level; or give head_dim", minimum=1
    )
    entry_heads: int | None = option(
        None, "heads of the transformer behind the first convolution", minimum=1
    )
    context_dim: int | None = option(None, "width of the prompt's vectors", minimum=1)
    groups: int | None = option(None, "groups of every GroupNorm", minimum=1)
    eps: float | None = option(None, "of the GroupNorms of residual blocks")
    linear_projection: bool | None = option(
        None, "files store the transformers' projections as linear layers"
    )
    upcast: bool | None = option(None, "attention scores in float32, also in half precision")
    joint: bool | None = option(
        None,
        "GroupNorms of residual blocks take their statistics over all frames together (published for "
        "tune_a_video and pseudo3d) or, false, frame by frame as image models do",
    )
    conditions: list[str] | None = option(
        None,
        "what the network is told beside the latents: time, fps (frame rate), "
        "frame (each frame's place in the video; no published network is)",
    )
    reads: dict[str, str] = option(
        {}, "which frames a frame reads, for example {time: 'window:5', space: sparse_causal}"
    )

    def spec(self) -> Any:
        """The network's frozen spec (`mindlong.networks.unet.spec.UNetSpec`)."""
        given = {
            f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("family", "reads")
        }
        sizes = {name: _frozen(value) for name, value in given.items() if value is not None}
        if "heads" in sizes or "head_dim" in sizes:
            sizes = {"heads": None, "head_dim": None} | sizes
        if len(self.heads or ()) == 1:
            sizes["heads"] = self.heads[0]
        made = family(self.family).spec(**sizes)
        for branch, policy in self.reads.items():
            made = made.reading(branch, policy)
        return made

    def training_problems(self, config: Any) -> Iterator[str]:
        """Sentences on what a training configuration with this model gets wrong."""
        for key in ("vae", "text_encoder", "tokenizer"):
            given = config.latents.text_weights if key == "text_encoder" else ""
            if not getattr(config.latents, key) and not given:
                yield f"latents.{key} is empty; the family {self.family} is trained in latents, on captions"

    def problems(self) -> Iterator[str]:
        """Sentences on fields that do not fit together."""
        yield from _problems_of_spec(self)


@dataclass
class AutoencoderModel:
    """AutoencoderKL, the first stage of the latent families."""

    family: str = option("autoencoder_kl", "which network", choices=("autoencoder_kl",))
    channels: int = option(3, "channels of a picture", minimum=1)
    latent_channels: int = option(4, "channels of a latent", minimum=1)
    block_channels: list[int] = option(
        [128, 256, 512, 512], "channels of each level; all but the last halve the size", minimum=1
    )
    layers: int = option(
        2, "residual blocks of an encoder level; a decoder level has one more", minimum=1
    )
    groups: int = option(32, "groups of every GroupNorm", minimum=1)
    eps: float = option(1e-6, "of every GroupNorm")
    scaling: float = option(
        0.18215, "latents are multiplied by it on the way to a UNet, to have a deviation near 1"
    )

    def spec(self) -> VaeSpec:
        """The network's frozen spec."""
        return VaeSpec(
            **{f.name: _frozen(getattr(self, f.name)) for f in fields(self) if f.name != "family"}
        )

    def training_problems(self, config: Any) -> Iterator[str]:
        """Sentences on what a training configuration with this model gets wrong."""
        step, size = 2 ** (len(self.block_channels) - 1), config.data.size
        if size[0] % step or size[1] % step:
            yield f"data.size is {size}; both must be multiples of {step}, the pixels of a latent"

    def problems(self) -> Iterator[str]:
        """Sentences on fields that do not fit together."""
        yield from _problems_of_spec(self)


@dataclass
class ClipTextModel:
    """The text tower of CLIP or OpenCLIP, which reads the prompts of the latent families."""

    family: str = option("clip_text", "which network", choices=("clip_text",))
    vocabulary: int = option(49408, "number of tokens", minimum=1)
    width: int = option(768, "channels of a token; a multiple of heads", minimum=1)
    layers: int = option(12, "transformer layers that the file holds", minimum=1)
    skip_last: int = option(
        0,
        "1 leaves the last layer unused (OpenCLIP's penultimate, for files with all 24)",
        minimum=0,
    )
    heads: int = option(12, "attention heads", minimum=1)
    hidden: int = option(3072, "channels inside the feed-forward", minimum=1)
    length: int = option(77, "tokens of a prompt, start and end included", minimum=2)
    activation: str = option(
        "quick_gelu", "quick_gelu: OpenAI's weights; gelu: OpenCLIP's", choices=ACTIVATIONS
    )
    eps: float = option(1e-5, "of every LayerNorm")
    pad_id: int = option(
        49407, "the token that fills a prompt up to length; it differs by family", minimum=0
    )

    def spec(self) -> ClipTextSpec:
        """The network's frozen spec."""
        return ClipTextSpec(
            **{f.name: getattr(self, f.name) for f in fields(self) if f.name != "family"}
        )

    def training_problems(self, config: Any) -> Iterator[str]:
        """A text tower is trained with the UNet that it serves, never alone."""
        yield "model.family is clip_text; a text encoder is trained beside its UNet (latents.text_encoder)"

    def problems(self) -> Iterator[str]:
        """Sentences on fields that do not fit together."""
        yield from _problems_of_spec(self)


def _problems_of_spec(model: Any) -> Iterator[str]:
    try:
        model.spec()
    except ConfigError as error:
        yield f"model: {error}"


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value

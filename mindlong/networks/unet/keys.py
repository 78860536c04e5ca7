"""The `model` section of the latent UNets: one dataclass, the families differ in numbers only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from mindlong.networks.keys import frozen, problems_of_spec
from mindlong.networks.unet import motion
from mindlong.networks.unet.families import FAMILIES, family
from mindlong.networks.unet.spec import UNetSpec
from mindlong.utils.errors import ConfigError
from mindlong.utils.option import option

_NO_FIELDS = ("family", "reads", "version", "places", "compat")  # of the spec


@dataclass
class UNetModel:
    """A latent video UNet; a key left empty has the published value of the family."""

    family: str = option("modelscope", "which network", choices=tuple(FAMILIES))
    in_channels: int | None = option(
        None,
        "channels of the input: 4 latents; pseudo3d 9, with mask and hint; dynamicrafter 8, with "
        "the latents of given images",
        minimum=1,
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
    text_tokens: int | None = option(
        None, "tokens of a prompt, behind which an image's stand (dynamicrafter)", minimum=1
    )
    groups: int | None = option(None, "groups of every GroupNorm", minimum=1)
    eps: float | None = option(None, "of the GroupNorms of residual blocks", minimum=0)
    linear_projection: bool | None = option(
        None, "files store the transformers' projections as linear layers"
    )
    upcast: bool | None = option(None, "attention scores in float32, also in half precision")
    float32: list[str] = option(
        [],
        "layers that stay in float32 in half precision, by their names or patterns "
        "(tools/fp16_audit.py finds those whose numbers leave the range of halves)",
    )
    joint: bool | None = option(
        None,
        "GroupNorms of residual blocks take their statistics over all frames together (published for "
        "tune_a_video and pseudo3d) or, false, frame by frame as image models do",
    )
    version: str = option(
        "",
        "family animatediff: which motion module: v1, v2, v3 or lcm; empty: v2",
        choices=("", *motion.VERSIONS),
        when="family=animatediff",
    )
    places: int = option(
        0,
        "family animatediff: frames that the motion modules have a place for; 0: as published",
        minimum=0,
        when="family=animatediff",
    )
    compat: str = option(
        "",
        "diffusers: the norms of the motion modules take their statistics over all frames, as diffusers "
        "does, not frame by frame as published",
        choices=motion.COMPATS,
        when="family=animatediff",
    )
    conditions: list[str] | None = option(
        None,
        "numbers that the network is conditioned on: time, fps (frame rate), "
        "frame (each frame's place in the video; no published network is)",
    )
    guidance_dim: int | None = option(
        None,
        "width of the embedding that tells a distilled network its guidance (256 is published); 0: it is not told",
        minimum=0,
    )
    reads: dict[str, str] = option(
        {}, "which frames a frame reads, for example {time: 'window:5', space: sparse_causal}"
    )

    def spec(self) -> UNetSpec:
        """The network's frozen spec."""
        given = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _NO_FIELDS}
        sizes = {name: frozen(value) for name, value in given.items() if value is not None}
        if "heads" in sizes or "head_dim" in sizes:
            sizes = {"heads": None, "head_dim": None} | sizes
        if self.heads and len(self.heads) == 1:
            sizes["heads"] = self.heads[0]
        if family(self.family).moves:
            sizes = motion.fields(self.version, self.places, self.compat) | sizes
        made = family(self.family).spec(**sizes)
        for branch, policy in self.reads.items():
            made = made.reading(branch, policy)
        return made

    def training_problems(self, config: Any) -> Iterator[str]:
        """Sentences on what a training configuration with this model gets wrong."""
        yield from latents_missing(self.family, config)
        if config.latents.motion and not family(self.family).moves:
            yield f"latents.motion is given; the network of the family {self.family} has no motion modules"
        try:
            self.spec().check_frames(config.data.frames)
        except ConfigError as error:
            yield f"data.frames: {error}"
        if self.guidance_dim and not config.distil.wanted:
            yield (
                f"model.guidance_dim is {self.guidance_dim}; a network learns to be told its guidance by distillation "
                "(distil.teacher)"
            )

    def problems(self) -> Iterator[str]:
        """Sentences on fields that do not fit together."""
        for key in () if family(self.family).moves else motion.KEYS:
            if getattr(self, key):
                yield f"{key} is for networks with motion modules; {self.family} has none"
        yield from problems_of_spec(self)


def latents_missing(family: str, config: Any) -> Iterator[str]:
    """Sentences on what the section `latents` lacks for a latent network that reads prompts."""
    for key in ("vae", "text_encoder", "tokenizer"):
        given = config.latents.text_weights if key == "text_encoder" else ""
        if not getattr(config.latents, key) and not given:
            yield f"latents.{key} is empty; the family {family} is trained in latents, on captions"

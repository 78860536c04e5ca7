"""CogVideoX's diffusion transformer as a spec (arXiv 2408.06072): the 2B network, whose places are
an additive table of sines, and Fun-2B-InP, which reads a mask and known frames beside the latents.
"""

from __future__ import annotations

from dataclasses import dataclass

from mindlong.utils.errors import ConfigError, did_you_mean

PLACES = ("sines", "resized")


@dataclass(frozen=True)
class CogVideoXSpec:
    """What the transformer is made of.

    Attributes:
        heads, head_dim: of every attention; their product is the width of a token.
        layers: blocks.
        in_channels: read: 16 latents; 33 with mask and known latents behind them.
        out_channels: predicted.
        patch: latent pixels of a token's side.
        time_dim: width of the embedded timestep.
        context_dim, tokens: width and number of a prompt's vectors.
        sample: frames of latents, rows and columns that it was trained at.
        places: "sines": the table of sines is made for each size; "resized": that of `sample` is
            resized to the size at hand (Fun).
        spatial_scale, temporal_scale: places of rows and columns, and of frames, are divided by it.
        eps: of the LayerNorms; those of queries and keys have 1e-6.
        float32: layers that stay in float32 in half precision, with all below them.

    Raises:
        ConfigError: a field out of its range.
    """

    heads: int = 30
    head_dim: int = 64
    layers: int = 30
    in_channels: int = 16
    out_channels: int = 16
    patch: int = 2
    time_dim: int = 512
    context_dim: int = 4096
    tokens: int = 226
    sample: tuple[int, int, int] = (13, 60, 90)
    places: str = "sines"
    spatial_scale: float = 1.875
    temporal_scale: float = 1.0
    eps: float = 1e-5
    float32: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "sample", tuple(self.sample))
        object.__setattr__(self, "float32", tuple(self.float32))
        if self.width % 16:
            raise ConfigError(
                f"heads * head_dim is {self.width}; it must be a multiple of 16, for the sines of "
                "frames (a quarter), columns and rows (three eighths each)"
            )
        if self.places not in PLACES:
            raise ConfigError(f"places is {self.places!r}.{did_you_mean(self.places, PLACES)}")
        if len(self.sample) != 3 or min(self.sample) < 1:
            raise ConfigError(f"sample is {list(self.sample)}; it is frames, rows and columns")
        self.check_size(*self.sample[1:])

    @property
    def width(self) -> int:
        """Numbers in a token."""
        return self.heads * self.head_dim

    @property
    def hidden(self) -> int:
        """Numbers inside a feed-forward."""
        return 4 * self.width

    @property
    def hinted(self) -> bool:
        """Whether mask and known latents stand behind the latents (1 + 16 more channels)."""
        return self.in_channels == 2 * self.out_channels + 1

    def check_size(self, height: int, width: int) -> None:
        """Raise ConfigError for latents that patches do not cover: they would lose a row or a
        column.
        """
        if height % self.patch or width % self.patch:
            raise ConfigError(
                f"latents are {height}x{width}; both sides must be multiples of {self.patch}, the "
                "patches of the transformer"
            )

    def check_inputs(
        self, x: tuple[int, ...], t: tuple[int, ...], context: tuple[int, ...]
    ) -> None:
        """Raise ConfigError where shapes of latents (B, C, F, h, w), timesteps (B,) and prompts
        (B, S, D) do not fit.
        """
        if len(x) != 5 or x[1] != self.in_channels:
            raise ConfigError(f"x has shape {list(x)}; needed is (B, {self.in_channels}, F, h, w)")
        self.check_size(*x[3:])
        if tuple(t) != (x[0],):
            raise ConfigError(f"t has shape {list(t)}; needed is one timestep a video, ({x[0]},)")
        if len(context) != 3 or (context[0], context[2]) != (x[0], self.context_dim):
            raise ConfigError(
                f"context has shape {list(context)}; needed is (B, S, {self.context_dim}): one prompt "
                "a video (the network has no prompts of single frames)"
            )

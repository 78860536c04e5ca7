"""The UNet of the latent video families as a spec: ordered stages in a layer, ordered branches in a
transformer block.

`mindlong.networks.unet.cell.UNet` is built from it, `mindlong.networks.unet.names` walks it,
`mindlong.networks.unet.families` holds the published ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mindlong.networks.unet import views
from mindlong.networks.unet.spec_checks import ZEROS, misfits, problems
from mindlong.networks.unet.stage_spec import FRAMES, Level, Stage, Transformer
from mindlong.utils.errors import ConfigError, did_you_mean
from mindlong.utils.needed import needed

if TYPE_CHECKING:
    from mindlong.networks.unet.views import Views


@dataclass(frozen=True)
class UNetSpec:
    """What the network is made of.

    Attributes:
        stages: what a layer consists of, in order.
        entry: a transformer behind the first convolution, or None.
        in_channels, out_channels: of the latents (9 in: latents, mask, masked latents).
        channels: of each level; all but the last halve height and width.
        layers: layers of a level on the way down (one more on the way up).
        attends: whether each level has transformers; the middle always has.
        head_dim: width of a head; None: `heads` rules.
        heads: number of heads, one number or one for each level; None: `head_dim` rules.
        entry_heads: heads of `entry`, each `head_dim` wide.
        context_dim: width of a prompt's vectors.
        text_tokens: where branches read an image: tokens of the context that are the prompt's;
            those behind them are the image's.
        groups, eps: of the GroupNorms of residual blocks and the exit.
        joint: those norms take their statistics over all frames together, not frame by frame.
        pseudo3d: every 2-D convolution is followed by one over frames.
        conditions: what is embedded and added up, of CONDITIONS: "time", "fps" for the frame rate,
            "frame" for every frame's place in the video (no published network has it).
        guidance_dim: width of the waves that tell a distilled network its guidance, added to the
            time's (arXiv 2310.04378); 0: it is not told.
        linear_projection: files store the projections of spatial transformers as linear layers,
            else as 1 x 1 convolutions (the numbers are the same).
        upcast: attention scores are computed in float32 in half precision too (Stable Diffusion 2.1
            overflows without).
        float32: layers that stay in float32 in half precision, with all below them: their names in
            the network, such as "down.0.res.conv1", or patterns (tools/fp16_audit.py finds them).
        zero: which last layers start at zero, so that a fresh block is the identity: of ZEROS.

    Raises:
        ConfigError: a field out of its range; the sentence names it.
    """

    stages: tuple[Stage, ...]
    entry: Transformer | None = None
    in_channels: int = 4
    out_channels: int = 4
    channels: tuple[int, ...] = (320, 640, 1280, 1280)
    layers: int = 2
    attends: tuple[bool, ...] = (True, True, True, False)
    head_dim: int | None = 64
    heads: int | tuple[int, ...] | None = None
    entry_heads: int = 8
    context_dim: int = 1024
    text_tokens: int = 77
    groups: int = 32
    eps: float = 1e-5
    joint: bool = False
    pseudo3d: bool = False
    conditions: tuple[str, ...] = ("time",)
    guidance_dim: int = 0
    linear_projection: bool = True
    upcast: bool = False
    float32: tuple[str, ...] = ()
    zero: tuple[str, ...] = ZEROS

    def __post_init__(self) -> None:
        for sentence in problems(self):
            raise ConfigError(sentence)

    @property
    def transformers(self) -> tuple[Transformer, ...]:
        """The stages that are transformers, and the entry."""
        return tuple(s for s in (*self.stages, self.entry) if isinstance(s, Transformer))

    @property
    def emb_dim(self) -> int:
        """Width of the embedding that conditions every residual block."""
        return 4 * self.channels[0]

    @property
    def entry_dim(self) -> int:
        """Inner width of the entry transformer."""
        return self.entry_heads * self.head_of(0)[1]

    @property
    def reads_image(self) -> bool:
        """Whether the context holds an image's tokens behind the prompt's."""
        transformers = [stage for stage in self.stages if isinstance(stage, Transformer)]
        return any(branch.image for stage in transformers for branch in stage.branches)

    def head_of(self, level: int) -> tuple[int, int]:
        """Number and width of the heads on a level."""
        width = self.channels[level]
        if self.head_dim:
            return width // self.head_dim, self.head_dim
        heads = self.heads[level] if isinstance(self.heads, tuple) else self.heads
        return needed(heads, "heads"), width // needed(heads, "heads")

    def down(self) -> list[Level]:
        """The levels on the way down, the largest image first."""
        last, cin, levels = len(self.channels) - 1, self.channels[0], []
        for i, cout in enumerate(self.channels):
            layers = tuple((cin if j == 0 else cout, cout) for j in range(self.layers))
            levels.append(
                Level(layers, (self.attends[i],) * self.layers, *self.head_of(i), i < last)
            )
            cin = cout
        return levels

    def mid(self) -> Level:
        """The middle: a layer with transformers and one without."""
        width = self.channels[-1]
        return Level(
            ((width, width),) * 2, (True, False), *self.head_of(len(self.channels) - 1), False, True
        )

    def skips(self) -> list[int]:
        """Channels of the features kept for the way up, in the order in which they are made."""
        kept = [self.channels[0]]
        for level in self.down():
            kept += [level.width] * (self.layers + level.resample)
        return kept

    def up(self) -> list[Level]:
        """The levels on the way up, the smallest image first; widths in include the skip."""
        skips, cin, levels = self.skips(), self.channels[-1], []
        for i in reversed(range(len(self.channels))):
            layers, cout = [], self.channels[i]
            for _ in range(self.layers + 1):
                layers.append((cin + skips.pop(), cout))
                cin = cout
            levels.append(
                Level(tuple(layers), (self.attends[i],) * len(layers), *self.head_of(i), i > 0)
            )
        return levels

    def check_inputs(
        self,
        x: tuple[int, ...],
        t: tuple[int, ...],
        context: tuple[int, ...],
        fps: bool,
        guidance: bool = False,
    ) -> None:
        """Raise ConfigError where inputs of these shapes do not fit: x (B, C, F, h, w), t (B,),
        context, fps given, guidance given.
        """
        for sentence in misfits(self, x, t, context, fps):
            raise ConfigError(sentence)
        if guidance != bool(self.guidance_dim):
            raise ConfigError(
                "guidance was given, but the network has no embedding of it."
                if guidance
                else "The network is told its guidance; guidance is missing."
            )

    def check_frames(self, frames: int) -> None:
        """Raise ConfigError where the attentions over frames have no places for so many."""
        for sentence in views.misfits(self.transformers, frames):
            raise ConfigError(sentence)

    def viewed(self, seen: Views) -> UNetSpec:
        """This spec with its attentions over frames reading in views.

        Raises:
            ConfigError: it has none, or they do not go together with such views.
        """
        timed = [s for s in self.transformers if any(b.kind == "time" for b in s.branches)]
        for sentence in views.problems(timed, seen):
            raise ConfigError(sentence)

        stages = tuple(
            replace(s, views=seen) if isinstance(s, Transformer) and s in timed else s
            for s in self.stages
        )
        entry = self.entry
        if entry is not None and entry in timed:
            entry = replace(entry, views=seen)
        return replace(self, stages=stages, entry=entry)

    def reading(self, which: str, policy: str) -> UNetSpec:
        """This spec with another key/value policy.

        Args:
            which: "space" or "time" for all attentions of that kind, or the name of one
                ("attn_temp").
            policy: see `mindlong.plans.kv_policy`.

        Raises:
            ConfigError: no attention between frames is called so, or it is of both kinds, or the
                policy cannot be read.
        """
        between = [b for s in self.transformers for b in s.branches if b.kind in FRAMES]
        found = {b.name: b.kind for b in between}
        kinds = {b.kind for b in between if which in (b.name, b.kind)}
        if not kinds:
            known = [*dict.fromkeys(found.values()), *found]
            raise ConfigError(
                f"No attention between frames is called {which!r}.{did_you_mean(which, known)}"
            )
        if len(kinds) > 1:
            raise ConfigError(
                f"{which!r} is the name of attentions in space and in time; say 'space' or 'time'."
            )
        stages = tuple(
            stage.reading(which, policy) if isinstance(stage, Transformer) else stage
            for stage in self.stages
        )
        entry = self.entry.reading(which, policy) if self.entry else None
        return replace(self, stages=stages, entry=entry)

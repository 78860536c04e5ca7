"""The UNet of the latent video families as a spec: ordered stages in a layer, ordered branches in a
transformer block.

`mindlong.networks.unet.cell.UNet` is built from it, `mindlong.networks.unet.names` walks it,
`mindlong.networks.unet.families` holds the published ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mindlong.networks.unet import views
from mindlong.plans import kv_policy
from mindlong.utils.errors import ConfigError, did_you_mean
from mindlong.utils.needed import needed

if TYPE_CHECKING:
    from mindlong.networks.unet.views import Views

ATTENTIONS = ("space", "time", "text")
KINDS = (*ATTENTIONS, "ff")
WHERE = ("attending", "all")
FRAMES = ("space", "time")  # the kinds that read other frames
IMAGES = ("", "plain", "gated")
ZEROS = ("res", "tconv", "proj_out", "conv_out", "fps", "frame", "guidance")
CONDITIONS = ("time", "fps", "frame")


@dataclass(frozen=True)
class Branch:
    """One residual branch of a transformer block, behind its own LayerNorm.

    Attributes:
        name: what its tensors are called, here and in the originals ("attn1", "attn2", "attn_temp",
            "ff").
        norm: what its LayerNorm is called.
        kind: "space": attention over all pixels of the frames read; "time": over one pixel of the
            frames read; "text": over the prompt; "ff": the GEGLU feed-forward.
        reads: the key/value policy of a "space" or "time" attention (see
            `mindlong.plans.kv_policy`).
        zero: the weight of the output projection starts at zero.
        places: rows of the table of sines that gives a "time" attention each frame's place, added
            behind the norm (`mindlong.networks.unet.motion`); 0: none.
        image: of IMAGES: the context of a "text" attention holds an image's tokens behind the
            prompt's; "plain" adds what they say, "gated" weighs it by a learnt number.
    """

    name: str
    norm: str
    kind: str
    reads: str = "frame"
    zero: bool = False
    places: int = 0
    image: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(
                f"Branch {self.name!r} is of kind {self.kind!r}.{did_you_mean(self.kind, KINDS)}"
            )
        if self.image not in IMAGES or (self.image and self.kind != "text"):
            raise ConfigError(
                f"Branch {self.name!r} of kind {self.kind!r} has image {self.image!r}; a text attention can "
                "have plain or gated."
            )
        kv_policy.check(self.reads)


@dataclass(frozen=True)
class Res:
    """Stage: two convolutions with the time embedding added in between."""

    name: str = "res"


@dataclass(frozen=True)
class TemporalConv:
    """Stage: four convolutions over frames with their norms, beside a skip."""

    name: str = "tconv"


@dataclass(frozen=True)
class Transformer:
    """Stage: norm, projection, a block of branches, projection, beside a skip.

    Attributes:
        joint: the norm takes its statistics over all frames together, not frame by frame.
        eps: of the norm.
        where: "attending": only on levels that attend; "all": on every level.
        mid: in the middle too.
        word: what files call it, where that is not "attentions" or "temp_attentions".
        views: how its attentions over frames read a video longer than they were trained on; None:
            the whole video at once.
    """

    name: str
    branches: tuple[Branch, ...]
    joint: bool = False
    eps: float = 1e-6
    where: str = "attending"
    mid: bool = True
    word: str = ""
    views: Views | None = None

    def __post_init__(self) -> None:
        if self.where not in WHERE:
            raise ConfigError(
                f"Transformer {self.name!r} is on {self.where!r} levels.{did_you_mean(self.where, WHERE)}"
            )

    @property
    def places(self) -> int:
        """Frames that its attentions have a place for; 0: any number."""
        return min((b.places for b in self.branches if b.places), default=0)


Stage = Res | TemporalConv | Transformer


@dataclass(frozen=True)
class Level:
    """One resolution, on the way down, in the middle or on the way up.

    Attributes:
        layers: channels in and out of each layer.
        attends: for each layer, whether it has its transformers.
        heads, head_dim: of the transformers.
        resample: height and width change after the last layer.
        middle: it is the one between the way down and the way up.
    """

    layers: tuple[tuple[int, int], ...]
    attends: tuple[bool, ...]
    heads: int
    head_dim: int
    resample: bool
    middle: bool = False

    @property
    def width(self) -> int:
        """Channels that leave the level."""
        return self.layers[-1][1]

    def holds(self, stage: Stage, layer: int) -> bool:
        """Whether a layer of the level has a stage."""
        if not isinstance(stage, Transformer):
            return True
        if self.middle:
            return self.attends[layer] and stage.mid
        return self.attends[layer] or stage.where == "all"


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
        for sentence in _problems(self):
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
        for sentence in _misfits(self, x, t, context, fps):
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
        transformers = self.transformers
        found = {b.name: b.kind for s in transformers for b in s.branches if b.kind in FRAMES}
        kinds = {
            b.kind
            for s in transformers
            for b in s.branches
            if b.kind in FRAMES and which in (b.name, b.kind)
        }
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
            _reread(stage, which, policy) if isinstance(stage, Transformer) else stage
            for stage in self.stages
        )
        entry = _reread(self.entry, which, policy) if self.entry else None
        return replace(self, stages=stages, entry=entry)


def _reread(stage: Transformer, which: str, policy: str) -> Transformer:
    chosen = [b.kind in FRAMES and which in (b.name, b.kind) for b in stage.branches]
    branches = zip(stage.branches, chosen, strict=True)
    return replace(
        stage, branches=tuple(replace(b, reads=policy) if wanted else b for b, wanted in branches)
    )


def _problems(spec: UNetSpec) -> Iterator[str]:
    if not spec.channels or spec.layers < 1:
        yield "The UNet needs at least one level in channels, and layers of at least 1."
    if spec.text_tokens < 1:
        yield f"text_tokens is {spec.text_tokens}; it must be at least 1."
    if len(spec.attends) != len(spec.channels):
        yield f"attends has {len(spec.attends)} entries; channels has {len(spec.channels)} levels, one entry for each."
    if spec.guidance_dim and spec.guidance_dim < 4:
        yield f"guidance_dim is {spec.guidance_dim}; it must be 0 or at least 4 (256 is published)."
    if spec.channels[0] % 2:
        yield f"channels starts with {spec.channels[0]}; it must be even (half of the time embedding is sine)."
    for width in spec.channels:
        if width % spec.groups:
            yield f"channels holds {width}; each must be a multiple of groups ({spec.groups})."
    for word, known in (
        *((z, ZEROS) for z in spec.zero),
        *((c, CONDITIONS) for c in spec.conditions),
    ):
        if word not in known:
            yield f"{word!r} is not known here; it must be of {', '.join(known)}."
    yield from _head_problems(spec)


def _head_problems(spec: UNetSpec) -> Iterator[str]:
    if (spec.head_dim is None) == (spec.heads is None):
        yield f"Exactly one of head_dim ({spec.head_dim}) and heads ({spec.heads}) must be given."
        return
    if isinstance(spec.heads, tuple) and len(spec.heads) != len(spec.channels):
        yield f"heads has {len(spec.heads)} entries; channels has {len(spec.channels)} levels, one entry for each."
        return
    for i, width in enumerate(spec.channels):
        heads = spec.heads[i] if isinstance(spec.heads, tuple) else spec.heads
        part = spec.head_dim or heads or 0
        if part < 1 or width % part:
            word = "head_dim" if spec.head_dim else "heads"
            yield f"{word} is {part}; it must divide the channels of every level, and one has {width}."


def _misfits(
    spec: UNetSpec, x: tuple[int, ...], t: tuple[int, ...], context: tuple[int, ...], fps: bool
) -> Iterator[str]:
    if len(x) != 5:
        yield f"Latents are (batch, channels, frames, height, width); these have the shape {x}."
        return
    if x[1] != spec.in_channels:
        yield f"The latents have {x[1]} channels; the network takes {spec.in_channels}."
    if t != (x[0],):
        yield f"t has the shape {t}; it must hold one timestep for each of the {x[0]} videos."
    rows = {3: x[:1], 4: (x[0], x[2])}.get(len(context))
    if rows is None or context[:-2] != rows or context[-1] != spec.context_dim:
        yield (
            f"The context has the shape {context}; it must be ({x[0]}, tokens, {spec.context_dim}), or "
            f"({x[0]}, {x[2]}, tokens, {spec.context_dim}) with a prompt for each frame."
        )
    elif spec.reads_image and context[-2] <= spec.text_tokens:
        yield (
            f"The context has {context[-2]} tokens; the network takes {spec.text_tokens} of a prompt and those of "
            "an image behind them."
        )
    yield from views.misfits(spec.transformers, x[2])
    if fps != ("fps" in spec.conditions):
        yield (
            "The network takes the frame rate; fps is missing."
            if not fps
            else "fps was given, but the network has no embedding of the frame rate."
        )

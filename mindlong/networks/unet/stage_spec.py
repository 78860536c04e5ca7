"""What a UNet's layers are made of: stages in a layer, branches in a transformer, layers of a
level.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mindlong.plans import kv_policy
from mindlong.utils.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from mindlong.networks.unet.views import Views

ATTENTIONS = ("space", "time", "text")
KINDS = (*ATTENTIONS, "ff")
WHERE = ("attending", "all")
FRAMES = ("space", "time")  # the kinds that read other frames
IMAGES = ("", "plain", "gated")


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

    def reading(self, which: str, policy: str) -> Transformer:
        """This stage with another key/value policy for those of its attentions between frames that
        are of kind `which` or called so.
        """
        branches = tuple(
            replace(b, reads=policy) if b.kind in FRAMES and which in (b.name, b.kind) else b
            for b in self.branches
        )
        return replace(self, branches=branches)


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

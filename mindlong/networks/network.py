"""What the house knows of a network: the entry of a family in `mindlong.networks.table`.

Everything that runs stands here as "module:function", so that the table imports no MindSpore:
`made` looks such a place up.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.utils.errors import ConfigError

if TYPE_CHECKING:
    from mindlong.diffusion.noising import Noising
    from mindlong.networks.cost import Cost, Load
    from mindlong.networks.format import Format
    from mindlong.networks.lone import Lone
    from mindlong.networks.sharded import Site

ROLES = ("network", "vae", "text_encoder", "image_encoder", "projector", "motion")
SPACES = ("pixel", "latent")
GIVEN = ("first", "ends", "tokens")
FILM = 24  # frames per second of the films that a stride counts in
NULLS = ("negative", "zeros", "same")
Facts = Mapping[str, str]  # what a file says beside its weights: `Format.facts`


def made(place: str) -> Any:
    """What "module:name" names; its module is imported now."""
    module, name = place.split(":")
    return getattr(importlib.import_module(module), name)


@dataclass(frozen=True)
class Hub:
    """How a network is found in a folder of diffusers or transformers.

    Attributes:
        library, name: its class in model_index.json, for instance diffusers, AutoencoderKL.
        config: spec -> its config.json.
        file: the weights beside that.
        folder: where both stand; "": called as the network's part.
        pipeline: role network: the class of the whole folder.
        index: role network: further entries of model_index.json.
        tokenizer: role text_encoder: the class of its tokenizer.
    """

    library: str
    name: str
    config: Callable[[Any], dict[str, Any]]
    file: str = "diffusion_pytorch_model.safetensors"
    folder: str = ""
    pipeline: str = ""
    index: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    tokenizer: str = ""


@dataclass(frozen=True)
class Images:
    """How a network of latents is conditioned on images: by their latents beside the noisy ones on
    the channels, and by tokens of the first behind the prompt's in its context.

    Attributes:
        given: of GIVEN: whose latents stand beside the frames. "first": the first image's beside
            every frame; "ends": the first's beside the first frame, the last's beside the last,
            zeros beside those between; "tokens": nobody's, the tokens are all there is.
        rates: the lowest and highest of the frame rates that it was trained on, or is offered for.
        rate: the one it takes where nothing says another.
        stride: it takes the distance of frames in a film rather than their rate.
        frames: of a run; the image's tokens divide into one group for each of so many; 0: every
            frame reads all of them, whatever their number.
    """

    given: str
    rates: tuple[int, int]
    rate: int
    stride: bool = False
    frames: int = 16

    @property
    def beside(self) -> bool:
        """Whether latents of images stand beside the noisy ones."""
        return self.given != "tokens"

    def taken(self, fps: float) -> int:
        """What the network takes for frames at the rate `fps`: the nearest it was trained on."""
        low, high = self.rates
        wanted = FILM / max(fps, 1e-6) if self.stride else fps
        return int(min(max(round(wanted), low), high))

    def within(self, fps: float) -> bool:
        """Whether it was trained on that rate."""
        low, high = self.rates
        return low <= round(FILM / max(fps, 1e-6) if self.stride else fps) <= high


def _no_scale(spec: Any, facts: Facts) -> np.ndarray | None:
    return None


@dataclass(frozen=True)
class Denoiser:
    """What a network of role `network` says of being trained and sampled.

    Attributes:
        space: of SPACES: what it denoises. A latent one is called as construct(x_BCFHW, t_B,
            *conditions) -> float32 like x.
        takes: spec -> the names of the conditions, in the order of construct: "context" (prompt
            vectors), "fps", or names that only its own pipeline gives.
        null: what the unconditional call of guidance has in the place of a condition, of NULLS: the
            states of the negative prompt, zeros, or the same as the conditional call (also for
            conditions that are not named here).
        width: spec -> numbers of a prompt's vector; 0: it reads no text.
        tokens: spec -> how many vectors of a prompt it reads; 0: as its text encoder says.
        side: spec -> both sides of its latents are multiples of it.
        one_prompt: it reads one prompt a video, and none of single frames.
        size: frames, height and width in pixels where the user says nothing.
        noising: (spec, facts) -> the published noising process, for weights with no
            scheduler_config.json beside them.
        owns_noising: the process is the network's own: a scheduler_config.json beside its weights
            belongs to something else and is not read.
        signal_scale: (spec, facts) -> factor on the clean sample by timestep, whatever a
            scheduler_config.json says; None: there is none.
        conditioned: space pixel: "module:Class" of (model section) -> the cell that is trained, the
            network with what makes its conditions.
        focused: feature "focus": "module:Class" of (that cell) -> the cell with that mask before
            its conditions.
        images: how it is conditioned on images; None: it is not.
        usual: role -> the family that a model file's section for it is of, where it does not say.
        sharded: "module:Class", the form that runs a video clip by clip (see
            `mindlong.networks.sharded`); "" where there is none.
        sites: (spec, (h, w) of a latent, exact) -> where that form's layers see other frames.
        kept: (spec, (h, w), batch, bytes of a number) -> bytes a frame that a clip keeps meanwhile.
        features: what else it can do, by words of FEATURES.
        tuned_as: the family that an edit makes of it; "": the network itself is run.
    """

    space: str
    takes: Callable[[Any], tuple[str, ...]]
    size: tuple[int, int, int]
    noising: Callable[[Any, Facts], Noising]
    null: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType({"context": "negative"})
    )
    width: Callable[[Any], int] = lambda spec: spec.context_dim
    tokens: Callable[[Any], int] = lambda spec: 0
    side: Callable[[Any], int] = lambda spec: 1
    one_prompt: bool = False
    owns_noising: bool = False
    signal_scale: Callable[[Any, Facts], np.ndarray | None] = _no_scale
    conditioned: str = ""
    focused: str = ""
    images: Images | None = None
    usual: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType(
            {"vae": "autoencoder_kl", "text_encoder": "clip_text"}
        )
    )
    sharded: str = ""
    sites: Callable[[Any, tuple[int, int], bool], Iterable[Site]] | None = None
    kept: Callable[[Any, tuple[int, int], int, int], int] | None = None
    features: frozenset[str] = frozenset()
    tuned_as: str = ""


FEATURES = {
    "joint": "text and video are one sequence, and text reads frames (clip_parallel.text_reads)",
    "branch": "a branch that knows given frames (hierarchical, infinet)",
    "focus": "a mask for each sample whose frames see only themselves (diffusion.focus_present)",
    "maps": "attention maps that an edit can take from its source",
    "tuning": "temporal layers that are tuned on a video, and do nothing before",
}


@dataclass(frozen=True)
class Codec:
    """What an autoencoder (role `vae`) says of turning frames to latents and back.

    Attributes:
        streams: "module:Class" of (cell, dtype, chunk), see `mindlong.networks.streams`.
        decode_cost: (spec, load in pixels) -> the cost of decoding alone.
        chunks: why it does not read how many frames a user wants run at a time, as the end of a
            sentence; "": it reads that.
    """

    streams: str
    decode_cost: Callable[[Any, Load], Cost]
    chunks: str = ""


@dataclass(frozen=True)
class Text:
    """What a text encoder says of prompts.

    Attributes:
        tokenizer: "module:function" of (path, spec) -> its tokenizer: called with prompts it gives
            int32 (N, S) ids; `overlong(prompt)` counts tokens that are cut off, `room` those that
            fit, `vocabulary` all that there are.
        files: what its tokenizer is read from, in a folder `tokenizer`; any of them does.
        layered: "module:Class" of (spec, tensors by our names) -> what is called as the cell and
            reads a layer at a time, for encoders larger than the networks beside them; "": none.
        declares: "module:function" of (folder of the tokenizer) -> fields of the encoder's spec
            that its files declare; "": they declare none.
        worded: it has a start and an end token round a prompt and a state for each token, so that
            words can be weighted and long prompts be read in chunks: its tokenizer has
            `framed(tokens)` -> ids.
        pooled: "module:Class" of (encoder, rule) -> a cell ids -> (N, width), one vector a prompt;
            "": the encoder gives none.
    """

    tokenizer: str
    files: tuple[str, ...]
    declares: str = ""
    pooled: str = ""
    layered: str = ""
    worded: bool = False


@dataclass(frozen=True)
class Image:
    """What an image encoder says of its images.

    Attributes:
        prepare: "module:function" of (uint8 (N, H, W, 3), spec) -> float32 (N, 3, h, w), the input.
        tokens: "module:Class" of (encoder) -> a cell from that to (N, S, D), all its tokens; "": it
            gives none.
        squash: as `prepare`, for whoever reads the tokens.
    """

    prepare: str
    tokens: str = ""
    squash: str = ""


@dataclass(frozen=True)
class Module:
    """What an addition to a network (role `motion`) says.

    Attributes:
        whole: the family of the two together; its `base` is that of the networks it is added to.
        join: "module:function" of (spec of such a network, own spec) -> the spec of the whole.
            Raises ConfigError where they do not go together.
    """

    whole: str
    join: str


def _no_cost(spec: Any, load: Load) -> Cost:
    raise ConfigError("nothing is known of what this network costs")


@dataclass(frozen=True)
class Network:
    """A family in its role.

    Attributes:
        family: as in `model.family` of a configuration; unlike that of any other network.
        role: of ROLES.
        about: for people: "the UNet of ModelScope text-to-video".
        keys: the dataclass of its `model` section. Its method spec() gives the frozen spec,
            problems() and training_problems(config) yield sentences.
        section: spec -> the `model` section that describes it.
        formats: how files name its tensors, the usual way first.
        our_markers: names (behind some prefix) that all stand in a file of ours with it.
        build: "module:Class" of (spec, dtype) -> the cell.
        cost: (spec, load) -> what a call takes.
        part: its name in our files of several networks, and the first word there; "": the role.
        base, base_name: the family whose weights it can start from, and our name -> our name there,
            None for tensors that start fresh.
        fresh: (name, shape) of such a tensor -> the first value that it has where it must follow
            from the base alone (LoRAs, which leave it as it is): our name of a tensor of the base
            to copy, or the array.
        hub: how diffusers or transformers call it; None: they do not have it.
        lone: how it is run alone on named arrays.
        asked_for: it stands in files as an extra: found only where it is asked for.
        alike: the families whose files have the same tensor names, itself included: the user says
            which it is, and our files keep the word.
        denoiser, codec, text, image, module: what its role asks for.
    """

    family: str
    role: str
    about: str
    keys: type
    section: Callable[[Any], dict[str, Any]]
    formats: tuple[Format, ...]
    our_markers: tuple[str, ...]
    build: str
    cost: Callable[[Any, Load], Cost] = _no_cost
    part: str = ""
    base: str = ""
    base_name: Callable[[str], str | None] = str
    fresh: Callable[[str, tuple[int, ...]], str | np.ndarray] = lambda name, shape: np.zeros(
        shape, np.float32
    )
    hub: Hub | None = None
    lone: tuple[Lone, ...] = ()
    asked_for: bool = False
    alike: tuple[str, ...] = ()
    denoiser: Denoiser | None = None
    codec: Codec | None = None
    text: Text | None = None
    image: Image | None = None
    module: Module | None = None

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ValueError(f"role is {self.role!r}; it must be of {', '.join(ROLES)}")
        object.__setattr__(self, "part", self.part or self.role)
        bound = tuple(replace(each, owner=self) for each in self.formats)
        object.__setattr__(self, "formats", bound)

    @property
    def shared(self) -> bool:
        """Whether several families of networks have it beside them."""
        return self.role != "network"

    def cell(self, spec: Any, dtype: str = "float32") -> Any:
        """The network as a MindSpore cell, unfilled."""
        return made(self.build)(spec, dtype)

    def format(self, layout: str) -> Format:
        """The way to name tensors that is called `layout`; "": the usual one."""
        found = {each.layout: each for each in self.formats}
        return found[layout] if layout else self.formats[0]

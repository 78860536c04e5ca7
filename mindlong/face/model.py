"""A model that a program holds: loaded once, called for videos.

    model = mindlong.load("shipped:latent_shapes")
    video = model("a red circle moving right", frames=16, seed=7)

A call makes what `infer.py` makes with the same keys, to the last bit, by the same functions
(`mindlong.config.pipelines`: plan and make), and writes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import nn

from mindlong.checkpoints.files import open_named
from mindlong.checkpoints.find import find_trained
from mindlong.checkpoints.recognise import recognise
from mindlong.config.lora_words import every
from mindlong.config.pipelines import function
from mindlong.config.pipelines import pipeline as pipeline_called
from mindlong.data.source import to_frames
from mindlong.face.configured import AT_LOADING, configured, joined, planned
from mindlong.face.devices import device_keys, set_up
from mindlong.face.inputs import (
    USUAL_RATE,
    check_call,
    is_title,
    lasting,
    lora_word,
    named,
    own_prompt,
    prompt_keys,
    rate_of,
    rated,
    refuse_title,
    source_keys,
)
from mindlong.face.recipes import given_to, with_recipes
from mindlong.face.steps import Follower, Step
from mindlong.face.video import Video, coloured
from mindlong.media.colours import parse_colour, shown_on
from mindlong.media.deflicker import deflickered
from mindlong.ops.device import chip, exact, settings
from mindlong.pipelines.latent_model import LatentModel
from mindlong.pipelines.models import Models
from mindlong.pipelines.pixel.make import network_for
from mindlong.utils import interrupts
from mindlong.utils.dumps import dumps_elsewhere
from mindlong.utils.errors import ConfigError
from mindlong.utils.log import once
from mindlong.utils.remember import remembering

PIPELINES = {"pixel": "pixel", "latent": "text_to_video"}  # space of a network -> its plain call
Told = Callable[[Step], Any]


def load(
    source: str | Path,
    *,
    device: str = "auto",
    dtype: str = "",
    quiet: bool = False,
    **keys: Any,
) -> Model:
    """The model at `source`, ready to be called.

    Args:
        source: whatever `weights=` of infer.py can name: shipped:NAME, a file of ours or of an
            original (lucidrains' model-10.pt), a folder of ours, a folder as a hub has it, the
            folder of a training.
        device: auto, CPU, Ascend or Ascend:NUMBER; one for the whole process, as MindSpore has it.
        dtype: of the networks of a latent model: float32, float16, bfloat16.
        quiet: no progress bars.
        keys: of the sections latent, attention and env, `__` for the dot: latent__vae="vae.pt".

    Raises:
        InputFileError: nothing there, or damaged. ConfigError: keys that do not go with it.
    """
    return Model(source, device, {**({"latent.dtype": dtype} if dtype else {}), **keys}, quiet)


class Model:
    """Weights with the ways to make videos of them; take it from `mindlong.load`.

    All calls take the keys of the configuration as keyword arguments, `__` for the dot
    (`sample__steps=20`); those of the pipeline's own section go without it (`factor=4`). `config`
    is a YAML file whose keys are taken first. `callback` takes a `Step` after each denoising step.
    Several prompts, or `count` above 1, give a list of videos.

    Attributes:
        source: what was loaded.
        pipeline: what makes the videos of a plain call.
    """

    def __init__(
        self, source: str | Path, device: str, keys: Mapping[str, Any], quiet: bool = False
    ) -> None:
        self.source, self.quiet = lasting(source), quiet
        self._keys = {name.replace("__", "."): value for name, value in keys.items()}
        held, family = open_named(self.source, "mindlong.load"), self._keys.get("latent.family")
        self.space = recognise(held, None, family, "network")[0].network.denoiser.space
        self.pipeline = PIPELINES[self.space]
        for key in self._keys:
            if key.partition(".")[0] not in AT_LOADING:
                raise ConfigError(
                    f"mindlong.load takes keys of {', '.join(AT_LOADING)}; {key} is given to a call"
                )
        self._models, self._memory, self._place = Models(keep=True), {}, ("", None)
        self.to(device)

    def __repr__(self) -> str:
        return f"Model({self.source!r}, {self.space}s, on {chip()})"

    def to(self, device: str) -> Model:
        """Compute on another device: auto, CPU, Ascend, Ascend:NUMBER. Returns itself.

        Raises:
            ConfigError: it is not there, or this process has computed on another one already.
        """
        keys, number = device_keys(device)
        own = {**self._keys, **keys}
        base = configured(self.pipeline, self.source, own, {}).values
        set_up(base, number)
        if (chip(), number) != self._place:
            self._models.clear()
        self._keys, self._base, self._number, self._place = own, base, number, (chip(), number)
        return self

    @property
    def network(self) -> nn.Cell:
        """What denoises, an ordinary cell."""
        if self.space == "pixel":
            with remembering(self._memory):
                trained = find_trained(self.source, "pixel")
                return network_for(self._models, self.source, trained, "").set_train(False)
        return self._latent().network

    @property
    def vae(self) -> nn.Cell | None:
        """The autoencoder, an ordinary cell; None for a model in pixels."""
        return None if self.space == "pixel" else self._latent().vae

    @property
    def text_encoder(self) -> nn.Cell | None:
        """The text encoder, an ordinary cell; None where the network has none of its own beside
        it.
        """
        return None if self.space == "pixel" else self._latent().text_encoder

    def release(self) -> None:
        """Let the networks go; the next call loads and compiles them again."""
        self._models.clear()

    def lora(self, *files: str | Path, strict: bool = True) -> Model:
        """Have the calls from now on use LoRAs, none without arguments; a call's own key `lora`
        rules over them. Weights are assigned in place at the next call, nothing is compiled.
        Returns itself.

        Args:
            files: FILE, FILE:STRENGTH or FILE:STRENGTH:STRENGTH_OF_TEXT, in the order of the sum.
            strict: a file with layers that the model has not is refused, not taken in part.

        Raises:
            ConfigError: a strength without a file. Files are opened by the next call.
        """
        words = list(map(lora_word, files))
        every(words)
        for key in ("lora", "lora_strict"):
            self._keys.pop(key, None)
        if files:
            self._keys |= {"lora": words} | ({} if strict else {"lora_strict": False})
        return self

    def __call__(
        self,
        prompt: str | Sequence[str] | None = None,
        *,
        callback: Told | None = None,
        config: str | Path | None = None,
        **keys: Any,
    ) -> Any:
        """A video from a prompt; keys of pipeline=pixel or pipeline=text_to_video.

        Returns:
            A Video; a list of them for several prompts or `count`.

        Raises:
            ConfigError, InputFileError, NotFiniteError: as infer.py, in one sentence.
        """
        return self._make(self.pipeline, joined(prompt_keys(prompt), keys), callback, config)

    def long(
        self,
        prompt: str | Sequence[str] | None = None,
        *,
        callback: Told | None = None,
        config: str | Path | None = None,
        **keys: Any,
    ) -> Any:
        """A long video from coarse to fine; keys of pipeline=hierarchical, such as `frames`,
        `scenes`, `branch`, `lengths`, `first`, `video`. As a plain call otherwise.
        """
        return self._make("hierarchical", joined(prompt_keys(prompt), keys), callback, config)

    def extend(
        self,
        video: Any,
        prompt: str | Sequence[str] | None = None,
        *,
        frames: int = 16,
        callback: Told | None = None,
        config: str | Path | None = None,
        **keys: Any,
    ) -> Any:
        """`video` with `frames` more; keys of pipeline=extend.

        Args:
            video: a Video, frames uint8 (F, H, W, 3), one image (H, W, 3), a path, or a list of
                images.
            prompt: None: that of the Video.
        """
        given = {**source_keys("extend", video), **prompt_keys(prompt), "frames": frames}
        return self._make("extend", joined(given, keys), callback, config, video)

    def animate(
        self,
        image: Any,
        prompt: str | Sequence[str] | None = None,
        *,
        last: Any = None,
        callback: Told | None = None,
        config: str | Path | None = None,
        **keys: Any,
    ) -> Any:
        """A video from an image; keys of pipeline=animate, such as `loop`.

        Args:
            image: an image (H, W, 3) or its path; of a list each has a video.
            last: what the video ends with, for networks that make frames between two.
        """
        several = isinstance(image, list | tuple)
        given = {"animate.images" if several else "animate.image": image, **prompt_keys(prompt)}
        if last is not None:
            given["animate.last"] = last
        return self._make("animate", joined(given, keys), callback, config)

    def between(
        self,
        frames: Any,
        prompt: str | Sequence[str] | None = None,
        *,
        factor: int | None = None,
        callback: Told | None = None,
        config: str | Path | None = None,
        **keys: Any,
    ) -> Any:
        """`frames` with new ones between them, `factor` times as many; keys of
        pipeline=interpolate. `method="flow"` needs no network.

        Args:
            frames: a Video, frames uint8 (F, H, W, 3), a path, a list of images; None: made from
                the prompt.
            prompt: None: that of the Video.
        """
        given = {} if frames is None else source_keys("interpolate", frames)
        given = {**given, **prompt_keys(prompt)}
        if factor is not None:
            given["interpolate.factor"] = factor
        return self._make("interpolate", joined(given, keys), callback, config, frames)

    def edit(
        self,
        video: Any,
        prompt: str | Sequence[str],
        *,
        callback: Told | None = None,
        config: str | Path | None = None,
        **keys: Any,
    ) -> Any:
        """`video` changed by a prompt; keys of pipeline=edit, such as `tuned`, `strength`,
        `frames`.
        """
        given = {"edit.video": video, **prompt_keys(prompt)}
        return self._make("edit", joined(given, keys), callback, config)

    def clip_parallel(
        self,
        prompt: str | Sequence[str] | None = None,
        *,
        callback: Told | None = None,
        config: str | Path | None = None,
        **keys: Any,
    ) -> Any:
        """One long video from clips denoised side by side, in this process; keys of
        pipeline=clip_parallel, such as `clips`, `strategy`. Several prompts follow one another.
        """
        return self._make("clip_parallel", joined(prompt_keys(prompt), keys), callback, config)

    def _make(
        self,
        pipeline: str,
        keys: Mapping[str, Any],
        callback: Told | None,
        config: str | Path | None,
        shown: Any = None,
    ) -> Any:
        """The videos of a call. `shown`: what goes on with its own prompt where none is given."""
        check_call(callback, config)
        with ExitStack() as stack:
            fps = rate_of(keys, config)
            given = {key: named(value, stack, fps) for key, value in keys.items()}
            if rated(pipeline, keys):
                given["fps"] = USUAL_RATE  # read by now, and by nothing else
            own = {**self._keys, **own_prompt(shown, keys, config)}
            loaded = configured(pipeline, self.source, own, given, config)
            refuse_title(shown, loaded)
            stack.enter_context(remembering(self._memory))
            stack.enter_context(interrupts.heard())
            stack.enter_context(dumps_elsewhere())
            background = getattr(loaded.values.own, "alpha_background", "white")
            stack.enter_context(shown_on(parse_colour(background)))
            for note in planned(pipeline, loaded):
                once(note, logging.WARNING)
            inputs = given_to(loaded, keys)
            stack.callback(exact)  # trainings of the same process are not to be rounded
            set_up(self._base, self._number, self._base.env.bf16)
            follower = stack.enter_context(Follower(callback, self._frames, self.quiet))
            bf16 = bool(settings()["bf16"])
            videos = list(self._videos(pipeline, loaded.values, follower))
        if inputs is not None:
            videos = with_recipes(videos, loaded, inputs, bf16)
        listed = "prompts" in given and pipeline != "clip_parallel"
        return videos if listed or len(videos) > 1 else videos[0]

    def _videos(self, pipeline: str, config: Any, follower: Follower) -> Any:
        make = function(pipeline_called(pipeline).make)
        prompts = config.wanted_prompts()
        for made in make(self._models, config, follower):
            yield Video(
                coloured(np.stack(list(deflickered(made.frames, config.deflicker)))),
                made.fps,
                None if made.latents is None else np.asarray(made.latents(), np.float32),
                made.title,
                config.seed,
                made.number,
                prompt_syntax=config.prompt_syntax,
                titled=is_title(pipeline, made.title, prompts),
            )

    def _latent(self) -> LatentModel:
        set_up(self._base, self._number, settings()["bf16"])  # perhaps in a call's callback
        with remembering(self._memory):
            return self._models.latent(self.source, self._base.latent)

    def _frames(self, clean_BCFhw: np.ndarray) -> np.ndarray:
        """uint8 (B, F, H, W, 3)."""
        if self.space == "pixel":
            return coloured(to_frames(clean_BCFhw))
        model = self._latent()
        return np.stack([np.stack(list(model.decode(latents))) for latents in clean_BCFhw])

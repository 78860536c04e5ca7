"""Which keys of a configuration a run reads: a configuration that notes every key it is asked for,
and networks that answer zeros, so that a whole run takes a moment.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import logging
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import training_toys as toys
from mindspore import Tensor

from mindlong.config.leaves import Leaf
from mindlong.config.load import Loaded, load
from mindlong.pipelines import latent_model
from mindlong.pipelines.clip_parallel import video as clip_parallel_video
from mindlong.training.trainer import Outcome, Trainer
from mindlong.utils.errors import ConfigError

SAME_AS = {"steps": "sample.steps"}  # two keys for one thing; the first is read at loading
QUIET = ("dataclasses", "copy", "mindlong.config.dump", "mindlong.config.reads")


def recorded(values: Any, seen: set[str], prefix: str = "") -> Any:
    """The configuration again; a key that is asked of it lands in `seen`. What dataclasses do with
    all fields (replace, asdict) asks for none.
    """
    made = copy.copy(values)
    names = {f.name for f in dataclasses.fields(values)}
    for name in names:
        inner = getattr(values, name)
        if dataclasses.is_dataclass(inner):
            object.__setattr__(made, name, recorded(inner, seen, f"{prefix}{name}."))

    class Recorded(type(values)):
        def __getattribute__(self, name: str) -> Any:
            if name in names and sys._getframe(1).f_globals.get("__name__") not in QUIET:
                seen.add(prefix + name)
            return super().__getattribute__(name)

    object.__setattr__(made, "__class__", Recorded)
    return made


def read_by(loaded: Loaded, work: Any) -> set[str]:
    """The keys that `work` asks of a configuration."""
    seen: set[str] = set()
    work(replace(loaded, values=recorded(loaded.values, seen)))
    return seen


class Zeros:
    """A network of a latent pipeline that answers zeros of the right shape."""

    def __init__(self, role: str, model: Any) -> None:
        self.role, self.model = role, model

    def __call__(self, x: Tensor, *rest: Any) -> Tensor:
        if self.role == "text_encoder":
            spec = self.model.parts["text_encoder"][1]
            return Tensor(np.zeros((len(x), spec.length, spec.width), np.float32))
        shape = (x.shape[0], self.model.vae_spec.latent_channels, *x.shape[2:])
        return Tensor(np.zeros(shape, np.float32))


def _no_tokens(model: Any, image: np.ndarray) -> np.ndarray:
    spec = model.parts["projector"][1]
    return np.zeros((spec.tokens, spec.gives), np.float32)


class ZeroStreams:
    """An autoencoder that gives zeros."""

    def __init__(self, vae: Any) -> None:
        self.vae, self.way = vae, ""

    def encoding(self, frames: int) -> ZeroStreams:
        made = copy.copy(self)
        made.way = "encode"
        return made

    def decoding(self, latents: int) -> ZeroStreams:
        made = copy.copy(self)
        made.way = "decode"
        return made

    def feed(self, rows: np.ndarray):
        count, _, height, width = rows.shape
        by = self.vae.factor
        if self.way == "encode":
            yield np.zeros(
                (count, 2 * self.vae.latent_channels, height // by, width // by), np.float32
            )
        else:
            yield np.zeros((count, self.vae.channels, height * by, width * by), np.float32)

    def close(self):
        return iter(())


class ZeroClips:
    """Clips in lock step that give zeros."""

    def __init__(self, network: Any, layout: Any, comm: Any, **more: Any) -> None:
        self.frames = range(layout.frames)

    def predict(self, x: np.ndarray, t: np.ndarray, context: np.ndarray, fps: Any = None):
        return np.zeros_like(x)


def one_step(trainer: Trainer) -> Outcome:
    """What a training reads of its task, without a step of the optimizer."""
    trainer.task.inputs(0, range(2))
    folder = trainer.run_dir / "previews"
    folder.mkdir(parents=True, exist_ok=True)
    trainer.task.preview(1, folder)
    return Outcome(1, folder)


@contextmanager
def stand_ins(monkeypatch: Any):
    """Pipelines run without computing anything; trainings make one batch and one preview."""
    models = latent_model.LatentModel
    with monkeypatch.context() as patch:
        patch.setattr(models, "_cell", lambda self, role: Zeros(role, self))
        patch.setattr(models, "_tokens_of", _no_tokens)
        patch.setattr(models, "streams", property(lambda self: ZeroStreams(self.vae_spec)))
        patch.setattr(clip_parallel_video, "ClipParallel", ZeroClips)
        patch.setattr(clip_parallel_video, "sharded", lambda *given: None)
        patch.setattr(Trainer, "run", one_step)
        yield


@functools.cache
def _trainers_keys() -> frozenset[str]:
    seen: set[str] = set()
    half = {"precision": "fp16", "schedule": "cosine", "weight_decay": 0.1}
    for more in ({}, half):
        with tempfile.TemporaryDirectory() as folder:
            options = recorded(toys.toy_options(steps=2, preview_every=1, **more), seen, "train.")
            Trainer(toys.ToyTask(), options, Path(folder)).run()
    return frozenset(seen)


def read_by_the_trainer() -> set[str]:
    """The keys of the section `train` that a whole training asks for, its steps included."""
    return set(_trainers_keys())


OTHER = {  # values that the rule below would not find
    "original": "25",
    "pipeline": None,  # another schema
    "run_dir": "elsewhere",
    "prompts": "[something else]",
    "data.size": "[32,32]",
    "size": "[32,32]",
    "formats": "[gif]",
    "train.betas": "[0.8,0.9]",
    "train.steps": "3000",
    "clip_parallel.early": "[5,1,2]",
    "clip_parallel.late": "[5,1,2]",
    "clip_parallel.local": "window:5",
    "clip_parallel.spread": "spread:3",
    "clip_parallel.lengths": "[1,3]",
    "clip_parallel.scenes": None,  # in the place of prompts: a scenario of its own
    "hierarchical.part": "[0,1]",
    "hierarchical.images": "[a.png,b.png]",
    "hierarchical.scenes": "{0-1: a, 2-4: b}",
    "scenes": "{0-1: a, 2-3: b}",
    "hierarchical.level_prompts": "{0: a}",
    "hierarchical.node_prompts": "{0/0: a}",
    "hierarchical.first": None,  # not beside a video
    "hierarchical.last": None,
    "hierarchical.video": None,
    "hierarchical.order": None,  # scenarios
    "interpolate.video": None,
    "interpolate.images": None,
    "interpolate.key_latents": None,
    "interpolate.stage_weights": "[a,b]",
    "interpolate.factors": "[3,3]",
    "interpolate.factor": "3",
    "extend.video": None,
    "extend.images": None,
    "edit.inject": None,  # needs as many steps both ways
    "edit.prompt": None,
    "text_to_video.scenes": "[{0-1: a, 2-3: b}]",
    "latent.reads": "{time: frame}",
    "alpha_background": "black",
    "pixel.interpolate": None,  # a scenario
    "model.reads": "{time: frame}",
    "infinet.lengths": None,
    "infinet.shares": "[1,2]",
    "infinet.depths": "2",
    "interpolation.factor": None,
    "interpolation.first_frame": None,
    "interpolation.frames": "2",
    "interpolation.strides": "[1,1]",
    "preview.sample.steps": "3",
    "sample.steps": "3",
    "hierarchical.lengths": "[3,4]",
    "tune.video": "other.mp4",
    "tune.videos": None,
    "tune.prompts": None,
    "data.kind": None,
    "data.speed": "[0.1,0.2]",
    "diffusion.prediction": None,
    "diffusion.zero_terminal_snr": None,
    "diffusion.terminal_mean": None,
}


def another(leaf: Leaf, now: Any) -> str | None:
    """Another value for a key, as words; None where one key alone cannot have another."""
    for name in (leaf.key, leaf.key.rpartition(".")[2]):
        if name in OTHER:
            return OTHER[name]
    choices, kind = leaf.said("choices"), leaf.hint
    several = str(kind).startswith("list")
    if choices:
        word = next((c for c in choices if c not in (now, leaf.default, "")), None)
        return None if word is None else f"[{word}]" if several else word
    if kind is bool:
        return str(not leaf.default).lower()
    if str(kind).startswith("dict"):
        return "{a: b}"
    if several:
        return "[1,1]" if "int" in str(kind) or "float" in str(kind) else "[some]"
    if kind is str:
        return "other"
    return _number(leaf, now)


def _number(leaf: Leaf, now: Any) -> str:
    low, high = leaf.said("minimum"), leaf.said("maximum")
    whole = [*(int(leaf.default or 0) + i for i in (1, 2)), 3, 4, 2, 1]
    tries = [0.5, 0.25, 0.75, 2.0] if leaf.hint is float else whole
    fit = [v for v in tries if (low is None or v >= low) and (high is None or v <= high)]
    return str(next(v for v in fit if v not in (now, leaf.default)))


def verdict(schema: type, base: list[str], leaf: Leaf, words: str) -> str:
    """`accepted` or `refused` of a key set beside `base`; a refusal names it or its section."""
    short = leaf.key.rpartition(".")[2]
    said = (leaf.key, short, SAME_AS.get(leaf.key))
    rest = [pair for pair in base if pair.partition("=")[0] not in said]
    try:
        load(None, [*rest, f"{leaf.key}={words}"], schema)
    except ConfigError as refusal:
        section = f"{leaf.section}." if leaf.section else short
        assert short in str(refusal) or section in str(refusal), refusal
        return "refused"
    return "accepted"


def quiet() -> None:
    """Nothing of the runs lands on the screen."""
    logging.getLogger("mindlong").setLevel(logging.ERROR)

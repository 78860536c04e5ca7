"""The keys of the editing pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mindlong.config.infer_options.scenes import SceneOptions
from mindlong.config.option import option
from mindlong.config.tune_options import FITS
from mindlong.diffusion.samplers import SAMPLERS
from mindlong.networks.unet.stage_spec import ATTENTIONS
from mindlong.utils.errors import did_you_mean


@dataclass
class EditOptions(SceneOptions):
    """A video changed by a prompt: inverted to noise under the model, and denoised again under the
    prompts (Tune-A-Video).
    """

    video: str = option("", "the video to edit (a file or a folder of frames)")
    alpha_background: str = option(
        "white", "the colour seen where what is given is transparent: a name, or '#rrggbb'"
    )
    start: int = option(0, "its first frame", minimum=0)
    stride: int = option(1, "take every stride-th frame", minimum=1)
    fit: str = option(
        "crop",
        "a video in other proportions than size: cut its edges off, stretch it, or refuse it",
        choices=FITS,
    )
    tuned: str = option(
        "", "a tuned.safetensors, or the checkpoint folder that holds it, to be put over weights"
    )
    negative: str = option(
        "",
        "what the videos should not show; guidance leads away from it",
        text=True,
    )
    invert: bool = option(
        True, "start from the video's own noise, shared by all prompts; else from fresh noise"
    )
    invert_steps: int = option(50, "steps of the inversion", minimum=1)
    strength: float = option(
        1.0,
        "share of the noise levels that the video goes up and down again: 1 is published; below 1 layout "
        "and motion are kept where the prompt asks for other colours",
        minimum=0.01,
    )
    invert_prompt: str = option(
        "",
        "prompt of the inversion; published: none",
        text=True,
    )
    refine: int = option(
        0,
        "repeat each inversion step so often at the point just found: the way back comes out exact",
        minimum=0,
    )
    report: list[int] = option(
        [], "step counts for which the video is inverted and made again, to compare", minimum=1
    )
    encode: str = option(
        "mean",
        "the video's latents: the autoencoder's mean, or a sample (as published)",
        choices=("mean", "sample"),
    )
    compat: str = option(
        "",
        "tune_a_video: the inversion takes every network's output for noise, as the released code does; wrong "
        "for networks that predict v",
        choices=("", "tune_a_video"),
    )
    inject: dict[str, float] = option(
        {},
        "attention maps taken from the source in this share of the steps, from the first on, for "
        "example {space: 0.5, time: 0.5, text: 0.4}; text fits prompts that agree word by word",
    )
    keep_latents: bool = option(
        True, "leave latents/ beside the videos: the source's, its noise, and each result's"
    )

    def idle(self, config: Any) -> Iterator[tuple[str, str]]:
        """(key, reason) of what these settings leave unread."""
        yield from self.unread_prompts("edit")
        if not self.told(config.wanted_prompts()):
            for key in ("sample", "edit.negative", "edit.invert_steps", "count", "deflicker"):
                yield key, "is not read without a prompt: edit.report alone compares inversions"
        if self.invert and not config.sample.eta:
            yield (
                "count",
                "is not read, because from the video's own noise every edit by a prompt is the same; "
                "edit.invert=false or sample.eta makes others",
            )
        if not self.invert and not self.inject and not self.report:
            for key in ("invert_prompt", "refine", "compat"):
                yield f"edit.{key}", "is not read where edit.invert is false"
        if not self.invert:
            yield "edit.invert_steps", "is not read where edit.invert is false"

    def problems(self, config: Any) -> Iterator[str]:
        """Sentences on fields that do not fit together."""
        yield from self.scene_problems("edit")
        if self.strength > 1:
            yield f"edit.strength is {self.strength:g}; it is a share of the noise levels, at most 1"
        yield from self._injection(config)
        if not self.video:
            yield "edit.video is empty; editing starts from a video"
        if not self.told(config.wanted_prompts()) and not self.report:
            yield "no prompt is given; prompt or prompts say what the video becomes (edit.report alone compares inversions)"
        word = config.sample.sampler
        if self.invert and word and SAMPLERS[word].needs_noise:
            yield (
                f"sample.sampler is {word}; from inverted noise only a deterministic sampler keeps the motion, "
                "ddim is the one meant"
            )

    def _injection(self, config: Any) -> Iterator[str]:
        for kind, share in self.inject.items():
            if kind not in ATTENTIONS:
                yield f"edit.inject has {kind!r}; attention maps are of {', '.join(ATTENTIONS)}.{did_you_mean(kind, ATTENTIONS)}"
            if not 0 <= share <= 1:
                yield f"edit.inject says {share:g} of the steps for {kind}; it must be from 0 to 1"
        if self.inject and not (
            self.invert
            and config.sample.sampler in ("", "ddim")
            and config.sample.steps == self.invert_steps
        ):
            yield (
                f"edit.inject needs edit.invert, sample.sampler=ddim and as many steps both ways, so that source and edit meet "
                f"at each noise level; edit.invert is {str(self.invert).lower()}, the sampler {config.sample.sampler or 'ddim'}, "
                f"edit.invert_steps {self.invert_steps} and sample.steps {config.sample.steps}"
            )

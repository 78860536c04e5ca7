"""The networks of an interpolation run as stages of a chain.

Legend: B windows, F frames, C channels, h w latent pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.diffusion.guidance import combine
from mindlong.diffusion.samplers.flavours import told_of
from mindlong.pipelines.image_model import ImageModel
from mindlong.pipelines.interpolate.hinted import is_hinted
from mindlong.pipelines.interpolate.images import ImageStage
from mindlong.pipelines.interpolate.make import Predict, Rule, Stage
from mindlong.pipelines.interpolate.trained_rule import trained_rule
from mindlong.pipelines.one_prompt import OnePrompt, Shown
from mindlong.pipelines.wording import states_of_rows

if TYPE_CHECKING:
    from mindlong.diffusion.samplers.loop import Callback
    from mindlong.pipelines.latent_model import LatentModel
    from mindlong.pipelines.models import Models


@dataclass
class Networks:
    """The latent models of a run. `config` is an InferConfig with the section interpolate."""

    config: Any
    models: Models

    def model(self, weights: str) -> LatentModel:
        """The model at `weights`."""
        loras = self.config.lora if weights == self.config.weights else ()
        options, strict = self.config.latent, self.config.lora_strict
        return self.models.latent(weights, options, loras, strict).worded(self.config)

    def stages(self, shown: Shown, callback: Callback | None) -> list[Stage | ImageStage]:
        """One for each factor."""
        config, o = self.config, self.config.interpolate
        names = o.stage_weights or [config.weights] * len(o.stages())
        return [self._stage(name, shown, callback) for name in names]

    def _stage(self, weights: str, shown: Shown, callback: Callback | None) -> Stage | ImageStage:
        config, model, trained = self.config, self.model(weights), trained_rule(weights)
        o = config.interpolate
        if model.denoises.images:
            return ImageStage(
                ImageModel(model, config.conditioning.fs),
                shown,
                config.sample,
                model.noising,
                Rule(pin=o.pin),
                callback,
                config.conditioning.image_guidance,
                o.negative,
            )
        rule = Rule(
            o.hint or trained.hint, o.mask or trained.mask, o.pin, o.hint_noise, o.shared_noise
        )
        return stage_of(model, shown, rule, config.sample, callback, o.negative)


def stage_of(
    model: LatentModel,
    shown: Shown,
    rule: Rule,
    sample: Any,
    callback: Callback | None,
    negative: str = "",
) -> Stage:
    """A network with prompts and a rule for the frames that it is given."""
    hinted = is_hinted(model.spec, model.vae_spec.latent_channels)
    predict = predictor(model, shown, sample, negative)
    return Stage(predict, model.noising, rule, sample, hinted, callback, shown.changing())


def predictor(model: LatentModel, shown: Shown, sample: Any, negative: str = "") -> Predict:
    """The UNet under prompts, guided by one call of twice the rows, or told its guidance."""

    def texts(rows: int, frames_BF: Sequence[Sequence[int]]) -> np.ndarray:
        """(B, S, D), or (B, F, S, D) where frames have prompts of their own."""
        if isinstance(shown, OnePrompt):
            return model.encode_text([shown.prompt]).repeat(rows, 0)
        made = (states_of_rows(shown.at(frames), model.encode_text) for frames in frames_BF)
        return np.stack(list(made))

    def predict(
        x: np.ndarray, t: np.ndarray, fps: float, frames_BF: Sequence[Sequence[int]] = ()
    ) -> np.ndarray:
        text = texts(len(x), frames_BF)
        rate = fps if model.wants_fps else None
        if model.told:
            scale = np.full(len(x), told_of(sample.flavour, sample.guidance), np.float32)
            return model.predict(x, t, text, rate, guidance=scale)
        if sample.guidance == 1:
            return model.predict(x, t, text, rate)
        both = np.concatenate([model.null_text(negative, text), text])
        without, with_text = np.split(
            model.predict(np.concatenate([x, x]), np.concatenate([t, t]), both, rate), 2
        )
        return combine(with_text, without, sample.guidance, sample.rescale)

    return predict

"""The networks of an interpolation run as stages of a chain.

Legend: B windows, F frames, C channels, h w latent pixels.
"""

from __future__ import annotations

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
        return self.models.latent(weights, self.config.latent, loras, self.config.lora_strict)

    def stages(self, prompt: str, callback: Callback | None) -> list[Stage | ImageStage]:
        """One for each factor."""
        config, o = self.config, self.config.interpolate
        names = o.stage_weights or [config.weights] * len(o.stages())
        return [self._stage(name, prompt, callback) for name in names]

    def _stage(self, weights: str, prompt: str, callback: Callback | None) -> Stage | ImageStage:
        config, model, trained = self.config, self.model(weights), trained_rule(weights)
        o = config.interpolate
        if model.denoises.images:
            return ImageStage(
                ImageModel(model, config.conditioning.fs),
                prompt,
                config.sample,
                model.noising,
                Rule(pin=o.pin),
                callback,
                config.conditioning.image_guidance,
            )
        rule = Rule(
            o.hint or trained.hint, o.mask or trained.mask, o.pin, o.hint_noise, o.shared_noise
        )
        return stage_of(model, prompt, rule, config.sample, callback)


def stage_of(
    model: LatentModel, prompt: str, rule: Rule, sample: Any, callback: Callback | None
) -> Stage:
    """A network with a prompt and a rule for the frames that it is given."""
    hinted = is_hinted(model.spec, model.vae_spec.latent_channels)
    predict = predictor(model, prompt, sample)
    return Stage(predict, model.noising, rule, sample, hinted, callback)


def predictor(model: LatentModel, prompt: str, sample: Any) -> Predict:
    """The UNet under a prompt, guided by one call of twice the rows, or told its guidance."""
    text, null = model.encode_text([prompt, ""])[:, None]

    def predict(x: np.ndarray, t: np.ndarray, fps: float) -> np.ndarray:
        rate = fps if model.wants_fps else None
        if model.told:
            scale = np.full(len(x), told_of(sample.flavour, sample.guidance), np.float32)
            return model.predict(x, t, text.repeat(len(x), 0), rate, guidance=scale)
        if sample.guidance == 1:
            return model.predict(x, t, text.repeat(len(x), 0), rate)
        both = np.concatenate([null.repeat(len(x), 0), text.repeat(len(x), 0)])
        without, with_text = np.split(
            model.predict(np.concatenate([x, x]), np.concatenate([t, t]), both, rate), 2
        )
        return combine(with_text, without, sample.guidance, sample.rescale)

    return predict

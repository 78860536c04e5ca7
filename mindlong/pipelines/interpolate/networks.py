"""The networks of an interpolation run as stages of a chain.

Legend: B windows, F frames, C channels, h w latent pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mindlong.diffusion.guidance import combine
from mindlong.diffusion.samplers.loop import Callback
from mindlong.pipelines.interpolate.make import Predict, Rule, Stage
from mindlong.pipelines.interpolate.plan import find_for, is_hinted
from mindlong.pipelines.interpolate.trained_rule import trained_rule
from mindlong.pipelines.latent_model import LatentModel, from_parts


@dataclass
class Networks:
    """The latent models of a run, each loaded once. `config` is an InferConfig with the section
    interpolate.
    """

    config: Any
    models: dict[str, LatentModel] = field(default_factory=dict)

    def model(self, weights: str) -> LatentModel:
        """The model at `weights`."""
        if weights not in self.models:
            parts = find_for(self.config, weights)
            self.models[weights] = from_parts(parts, self.config.latent)
        return self.models[weights]

    def stages(self, prompt: str, callback: Callback | None) -> list[Stage]:
        """One for each factor."""
        config, o = self.config, self.config.interpolate
        names = o.stage_weights or [config.weights] * len(o.stages())
        return [self._stage(name, prompt, callback) for name in names]

    def _stage(self, weights: str, prompt: str, callback: Callback | None) -> Stage:
        config, model, trained = self.config, self.model(weights), trained_rule(weights)
        o = config.interpolate
        rule = Rule(
            o.hint or trained.hint, o.mask or trained.mask, o.pin, o.hint_noise, o.shared_noise
        )
        hinted = is_hinted(model.spec, model.vae_spec.latent_channels)
        return Stage(
            predictor(model, prompt, config.sample),
            model.noising,
            rule,
            config.sample,
            hinted,
            callback,
        )


def predictor(model: LatentModel, prompt: str, sample: Any) -> Predict:
    """The UNet under a prompt, guided by one call of twice the rows."""
    text, null = model.encode_text([prompt, ""])[:, None]

    def predict(x: np.ndarray, t: np.ndarray, fps: float) -> np.ndarray:
        told = fps if model.wants_fps else None
        if sample.guidance == 1:
            return model.predict(x, t, text.repeat(len(x), 0), told)
        both = np.concatenate([null.repeat(len(x), 0), text.repeat(len(x), 0)])
        without, with_text = np.split(
            model.predict(np.concatenate([x, x]), np.concatenate([t, t]), both, told), 2
        )
        return combine(with_text, without, sample.guidance, sample.rescale)

    return predict

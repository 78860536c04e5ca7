"""The networks that pipelines ask for, each loaded once; a program keeps them from call to call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from mindlong.checkpoints.latent_parts import LatentParts, find_latent_parts
from mindlong.config.infer_options.latent import LatentModelOptions
from mindlong.pipelines.latent_model import LatentModel, from_parts
from mindlong.utils.remember import known_by

T = TypeVar("T")


class Models:
    """Networks by what was asked for.

    Args:
        keep: they stay in memory and compiled after a video is made (`LatentModel.release` does
            nothing), for the next call.
    """

    def __init__(self, keep: bool = False) -> None:
        self.keep = keep
        self._held: dict[str, Any] = {}

    def latent(self, weights: str, options: LatentModelOptions) -> LatentModel:
        """The latent model at `weights`. Raises as `load_latent_model`."""
        return self.of_parts(find_latent_parts(weights, options), options, weights)

    def of_parts(
        self,
        parts: LatentParts,
        options: LatentModelOptions,
        *named: object,
        fresh_seed: int | None = None,
    ) -> LatentModel:
        """The latent model of parts that were found for what `named` says."""

        def load() -> LatentModel:
            model = from_parts(parts, options, fresh_seed)
            model.keep = self.keep
            return model

        return self.held("latent", options, *named, fresh_seed, load=load)

    def held(self, *named: object, load: Callable[[], T]) -> T:
        """What `named` says, loaded at its first use."""
        key = known_by(named)
        if key not in self._held:
            self._held[key] = load()
        return self._held[key]

    def clear(self) -> None:
        """Let all of them go."""
        self._held.clear()

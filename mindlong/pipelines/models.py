"""The networks that pipelines ask for, each loaded once; a program keeps them from call to call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from mindlong.checkpoints.latent_parts import LatentParts, find_latent_parts
from mindlong.checkpoints.lora.latent import with_loras
from mindlong.pipelines.load_model import from_parts
from mindlong.pipelines.loras import wear
from mindlong.utils.remember import known_by

if TYPE_CHECKING:
    from mindlong.config.infer_options.latent import LatentModelOptions
    from mindlong.pipelines.latent_model import LatentModel

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

    def latent(
        self,
        weights: str,
        options: LatentModelOptions,
        loras: Sequence[str] | None = None,
        strict: bool = True,
    ) -> LatentModel:
        """The latent model at `weights`. Raises as `load_latent_model` and `with_loras`.

        Args:
            loras: those that it is to have; None: as it is in memory, freshly loaded without any.
            strict: see `with_loras`.
        """
        parts = with_loras(find_latent_parts(weights, options), loras or (), strict)
        return self.of_parts(parts, options, weights, worn=loras is not None)

    def of_parts(
        self,
        parts: LatentParts,
        options: LatentModelOptions,
        *named: object,
        fresh_seed: int | None = None,
        worn: bool = True,
    ) -> LatentModel:
        """The latent model of parts that were found for what `named` says. One that is in memory
        gets the LoRAs of the parts, if `worn`, without compiling anything.
        """

        def load() -> LatentModel:
            model = from_parts(parts, options, fresh_seed)
            model.keep = self.keep
            return model

        model = self.held("latent", options, *named, fresh_seed, load=load)
        if worn:
            wear(model, parts)
        return model

    def held(self, *named: object, load: Callable[[], T]) -> T:
        """What `named` says, loaded at its first use."""
        key = known_by(named)
        if key not in self._held:
            self._held[key] = load()
        return self._held[key]

    def clear(self) -> None:
        """Let all of them go."""
        self._held.clear()

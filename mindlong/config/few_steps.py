"""`steps=N`: so many denoising steps, by weights distilled to that number where the model that is
named has such.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mindlong.config.given import Setting
from mindlong.utils.errors import ConfigError

# (weights, steps) -> what stands in their place, and the guidance that it was distilled with inside
DISTILLED = {("shipped:latent_shapes", 4): ("shipped:latent_shapes_few", 1.0)}
KEY, STEPS, GUIDANCE = "steps", "sample.steps", "sample.guidance"


def followed(
    steps: int, weights: str, settings: Mapping[str, Setting]
) -> Iterator[tuple[str, Any, str]]:
    """(key, value, sentence) of the keys that follow `steps`; it is 0 from then on, so that a saved
    configuration says the same when it is read again.

    Raises:
        ConfigError: another number of steps is asked for beside it.
    """
    if not steps:
        return
    own = settings.get(STEPS)
    if own and own.typed_by_hand and own.value != steps:
        raise ConfigError(f"{own.place}: steps is {steps} and {STEPS} is {own.value}; give one")
    yield KEY, 0, f"steps={steps}: {STEPS} is {steps}"
    yield STEPS, steps, ""
    few, guidance = DISTILLED.get((weights, steps), ("", 0.0))
    if not few:
        return
    yield "weights", few, f"{few} are taken, {weights} distilled to {steps} steps"
    asked = settings.get(GUIDANCE)
    if not (asked and asked.typed_by_hand):
        yield GUIDANCE, guidance, f"{GUIDANCE} is {guidance:g}: they have their teacher's inside"

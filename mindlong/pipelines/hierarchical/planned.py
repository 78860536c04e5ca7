"""What a hierarchical run would do: in latents, or in images where the network reads both ends of a
run; without MindSpore.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mindlong.pipelines.hierarchical import in_images
from mindlong.pipelines.hierarchical import plan as in_latents
from mindlong.pipelines.interpolate.between_plan import reads_both_ends

if TYPE_CHECKING:
    from mindlong.config.load import Loaded
    from mindlong.pipelines.planned import Planned


def plan(loaded: Loaded) -> Planned:
    """What a run would make. Raises ConfigError, InputFileError as it would."""
    kind = in_images if reads_both_ends(loaded.values) else in_latents
    return kind.plan(loaded)

"""What CogVideoX's transformer costs, read off its spec: operations and memory, before anything is
allocated.

Memory was fitted to peaks of narrower networks of 2 to 12 layers on a CPU (docs/benchmarks.md), and
one forward at full size agrees with it; it hardly grows with the layers.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from mindlong.networks.cogvideox.names import names
from mindlong.networks.cost import Cost, Load, forward_bytes, train_bytes

if TYPE_CHECKING:
    from mindlong.networks.cogvideox.spec import CogVideoXSpec

RECOMPUTED = 0.3  # what recomputation leaves of the numbers kept for a backward pass
# bytes of a number that a block gives out, in one forward and in training
EACH, TRAIN_EACH = 0.1, 5.5
ENDS = 110.0  # bytes of a number of a token: of the block at work, and of what lies outside of them


def cost(spec: CogVideoXSpec, load: Load) -> Cost:
    """One call on latents and prompts, in float32."""
    entries, p = names(spec), spec.patch
    text = load.tokens or spec.tokens
    video = load.frames * (load.height // p) * (load.width // p)
    parameters, flops = 0, 0.0
    for entry in entries:
        parameters += prod(entry.our_shape)
        if entry.our_shape[1:]:
            flops += 2.0 * prod(entry.our_shape) * _rows(entry.ours, text, video)
    flops += 4.0 * spec.layers * spec.width * (text + video) ** 2
    # of a block: both modulated halves, queries, keys, values, what is mixed, and the feed-forward
    tokens = load.videos * (text + video)
    made = tokens * spec.layers * (11 * spec.width + 2 * spec.hidden)
    ends, share = ENDS * tokens * spec.width, RECOMPUTED if load.recompute else 1.0
    return Cost(
        parameters,
        load.videos * flops,
        forward_bytes(len(entries), parameters, EACH * made + ends, 1.0),
        train_bytes(len(entries), parameters, made * share, TRAIN_EACH) + ends,
    )


def _rows(name: str, text: int, video: int) -> int:
    """How often a tensor is applied to one video."""
    if ".linear." in name or name.startswith("time_embedding"):
        return 1
    if name.startswith("patch.text"):
        return text
    return video if name.startswith(("patch.proj", "proj_out")) else text + video

"""What CogVideoX's transformer costs, read off its spec: operations and memory, before anything is
allocated.
"""

from __future__ import annotations

from math import prod

from mindlong.networks.cogvideox.names import names
from mindlong.networks.cogvideox.spec import CogVideoXSpec
from mindlong.networks.cost import Cost, Load, forward_bytes, train_bytes

RECOMPUTED = 0.3  # what recomputation leaves of the numbers kept for a backward pass
EACH, TRAIN_EACH = 4.0, 6.0  # bytes of a number that a layer gives out, in its run and its training


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
    made = (text + video) * (11 * spec.width + 2 * spec.hidden)
    share = RECOMPUTED if load.recompute else 1.0
    return Cost(
        parameters,
        load.videos * flops,
        forward_bytes(len(entries), parameters, load.videos * made, EACH),
        train_bytes(len(entries), parameters, load.videos * made * spec.layers * share, TRAIN_EACH),
    )


def _rows(name: str, text: int, video: int) -> int:
    """How often a tensor is applied to one video."""
    if ".linear." in name or name.startswith("time_embedding"):
        return 1
    if name.startswith("patch.text"):
        return text
    return video if name.startswith(("patch.proj", "proj_out")) else text + video

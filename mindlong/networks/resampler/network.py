"""The Resampler in the table of networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mindlong.networks.cost import RUNTIME_BYTES, Cost, Load
from mindlong.networks.lone import Arrays, Input, Lone
from mindlong.networks.network import Network
from mindlong.networks.resampler.files import format_of, section
from mindlong.networks.resampler.keys import FAMILY, ResamplerModel
from mindlong.networks.resampler.names import parameter_count

if TYPE_CHECKING:
    from mindlong.networks.resampler.spec import ResamplerSpec


def cost(spec: ResamplerSpec, load: Load) -> Cost:
    """One call on `load.videos` images of 257 tokens: products of the layers; memory is the weights
    and one layer's features, not measured.
    """
    numbers, read = parameter_count(spec), load.tokens + spec.tokens
    products = spec.width * (
        spec.inner * (2 * spec.tokens + 2 * read) + 2 * spec.hidden * spec.tokens
    )
    scores = 2 * spec.inner * spec.tokens * read
    flops = 2.0 * load.videos * spec.layers * (products + scores)
    held = RUNTIME_BYTES + 4.0 * numbers
    held += 4.0 * load.videos * (spec.heads * spec.tokens * read + spec.tokens * spec.hidden)
    return Cost(numbers, flops, held, held + 16.0 * numbers)


def _check(spec: ResamplerSpec, arrays: Arrays) -> dict[str, int]:
    return {"D": spec.reads}


def _output(spec: ResamplerSpec, arrays: Arrays) -> tuple[int, ...]:
    return len(arrays["x"]), spec.tokens, spec.gives


NETWORKS = (
    Network(
        family=FAMILY,
        role="projector",
        about="the Resampler from an image's tokens to a video network's",
        keys=ResamplerModel,
        section=section,
        formats=(format_of(),),
        our_markers=("queries", "layers.0.to_kv.weight", "layers.0.norm_query.weight"),
        build="mindlong.networks.resampler.cell:build",
        cost=cost,
        lone=(
            Lone(
                "resampler",
                (
                    Input(
                        "x",
                        "NSD",
                        "float",
                        "an image encoder's tokens (images, tokens, width)",
                        True,
                    ),
                ),
                _check,
                _output,
                "mindlong.networks.resampler.cell:alone",
                about="(N,T,K): the tokens that a video network reads",
            ),
        ),
        asked_for=True,
    ),
)

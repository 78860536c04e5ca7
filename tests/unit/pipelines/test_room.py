"""Every plan counts what decoding takes beside a denoiser that stays in memory."""

import pytest

from mindlong.checkpoints.latent_parts import find_latent_parts
from mindlong.config.infer_schema import InferConfig
from mindlong.config.load import load
from mindlong.config.pipelines import function, pipeline
from mindlong.networks.cost import Load

LARGE = (240, 352)
WAYS = {
    "text_to_video": ("cogvideox_shapes", "frames=9"),
    "clip_parallel": ("cogvideox_shapes", "frames=33", "clips=2"),
    "animate": (
        "storyboard_shapes",
        "image=shipped:storyboard_shapes/1.png",
        "last=shipped:storyboard_shapes/2.png",
    ),
    "hierarchical": ("base_shapes",),
    "interpolate": ("interpolation_shapes", "key_weights=shipped:latent_shapes"),
}


@pytest.mark.parametrize("name", WAYS)
def test_a_decoding_that_is_larger_than_a_step_is_what_a_run_needs(name):
    weights, *more = WAYS[name]
    pairs = [f"pipeline={name}", f"weights=shipped:{weights}", f"size={list(LARGE)}", *more]
    loaded = load(None, [*pairs, "prompt=a red circle moving right", "latent.chunk=9"], InferConfig)
    parts = find_latent_parts(loaded.values.weights, loaded.values.latent)
    decoding = parts.vae.network.codec.decode_cost(parts.vae.spec, Load(1, 9, *LARGE)).bytes
    planned = function(pipeline(name).plan)(loaded)
    denoiser = next(n for part, n in parts.parameters().items() if part in ("unet", "transformer"))
    assert planned.memory >= decoding + 4 * denoiser
    assert "decoding" in planned.rows["peak memory"]


def test_the_network_of_the_key_frames_stays_too():
    base = ["pipeline=hierarchical", "weights=shipped:storyboard_shapes", "frames=226"]
    needed = [
        function(pipeline("hierarchical").plan)(load(None, [*base, *more], InferConfig)).memory
        for more in (
            ["key_weights=shipped:base_shapes", "prompt=a red circle moving right"],
            ["images=[shipped:storyboard_shapes/1.png,shipped:storyboard_shapes/2.png]"],
        )
    ]
    assert needed[0] - needed[1] > 4 * 3_400_000  # base_shapes' UNet

"""Which backend serves Stable Diffusion's attentions at 512 x 512 with 24 frames: the table in
docs/tune_a_video.md.
"""

import pytest

from mindlong.networks.unet.families import family
from mindlong.ops.attention.table import choose

SPACE = [(4096, 0), (1024, 1), (256, 2), (64, 3)]  # pixels of a frame, level


def shapes(sizes: dict):
    """(head width, heads, queries, keys, rows) of every attention between frames, with the prompt,
    and in time.
    """
    spec = family("tune_a_video").spec(**sizes)
    for pixels, level in SPACE:
        heads, width = spec.head_of(level)
        yield "frames", width, heads, pixels, 2 * pixels, 24
        yield "prompt", width, heads, pixels, 77, 24
        yield "time", width, heads, 24, 24, pixels


@pytest.mark.parametrize(
    ("sizes", "widths"),
    [({}, {40, 80, 160}), ({"heads": None, "head_dim": 64, "context_dim": 1024}, {64})],
)
@pytest.mark.parametrize("direction", ["forward", "train"])
def test_every_head_width_of_stable_diffusion_is_served_on_both_chips(sizes, widths, direction):
    asked = list(shapes(sizes))
    assert {row[1] for row in asked} == widths
    for kind, width, heads, queries, keys, rows in asked:
        chosen = {
            chip: choose(
                chip, "float16", width, "none", direction, (queries, keys), heads=heads, rows=rows
            ).backend
            for chip in ("910a", "910b")
        }
        assert chosen["910b"] == "flash_910b"
        assert chosen["910a"] == ("math" if kind == "time" else "flash_910a")


def test_without_a_kernel_and_in_float32_the_large_scores_go_by_chunks():
    absent = {"flash_910a": "the operator is not built"}
    for pixels, heads, width, want in (
        (4096, 8, 40, "chunked"),
        (1024, 8, 80, "chunked"),
        (64, 8, 160, "math"),
    ):
        got = choose(
            "910a",
            "float16",
            width,
            "none",
            "train",
            (pixels, 2 * pixels),
            heads=heads,
            rows=24,
            missing=absent,
        )
        assert got.backend == want
    upcast = choose("910b", "float32", 64, "none", "train", (9216, 18432), heads=5, rows=8)
    assert upcast.backend == "chunked" and "float16" in upcast.reason

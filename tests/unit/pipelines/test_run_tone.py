"""The tone of what a run makes, drawn to that of the frames it knows."""

import numpy as np

from mindlong.pipelines.hierarchical.runs import toned

KNOWN = np.array([[True, False, False, True], [False] * 4, [False, True, False, False]])


def test_means_lie_on_a_line_through_the_known_frames_and_nothing_else_changes():
    draw = np.random.default_rng(0)
    made, clean = draw.standard_normal((2, 3, 2, 4, 5, 6)).astype(np.float32)
    found = toned(made, clean, KNOWN)
    first, last = (clean[0, :, place].mean((1, 2)) for place in (0, 3))
    line = first[:, None] + (last - first)[:, None] * np.arange(4) / 3
    np.testing.assert_allclose(found[0].mean((2, 3)), line, atol=1e-6)
    away = found - made
    np.testing.assert_allclose(away, np.broadcast_to(away[..., :1, :1], made.shape), atol=1e-6)
    np.testing.assert_array_equal(found[1], made[1])  # nothing is known
    level = clean[2, :, 1].mean((1, 2))[:, None]
    np.testing.assert_allclose(found[2].mean((2, 3)), np.broadcast_to(level, (2, 4)), atol=1e-6)
    assert found.dtype == np.float32

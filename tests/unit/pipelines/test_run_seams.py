"""What is done against seams: tones, and what the network lacks of the known frames."""

import numpy as np
import pytest

from mindlong.config.infer_schema import InferConfig
from mindlong.config.load import load
from mindlong.pipelines.hierarchical.seams import faded, toned
from mindlong.utils.errors import ConfigError

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


def test_what_a_known_frame_has_and_its_neighbours_lack_is_faded_out():
    """A film that changes evenly, noise on its known frames only: no step is left."""
    frames, known = 16, np.zeros((1, 16), bool)
    known[0, [0, 15]] = True
    even = np.linspace(0, 1, frames)[None, None, :, None, None] * np.ones((1, 2, 1, 3, 3))
    noise = np.random.default_rng(0).standard_normal((2, 2, 3, 3))
    clean = even.copy()
    clean[0, :, [0, 15]] += noise
    found = np.where(known[:, None, :, None, None], clean, faded(even, clean, known))
    steps = np.diff(found, axis=2)
    want = 1 / 15 + (noise[1] - noise[0]) / 15
    np.testing.assert_allclose(steps[0], np.broadcast_to(want[:, None], steps[0].shape), atol=1e-6)


def test_one_frame_between_two_known_ones_and_none_known():
    made, clean = np.zeros((2, 1, 3, 1, 1), np.float32), np.ones((2, 1, 3, 1, 1), np.float32)
    known = np.array([[True, False, True], [False] * 3])
    found = faded(made, clean, known)
    assert found[0, 0, 1] == 1 and not found[1].any()


def test_seams_are_named_by_level():
    said = load(None, ["pipeline=hierarchical", "level_seams=[free,fade]"], InferConfig).values
    assert said.hierarchical.level_seams == ["free", "fade"]
    with pytest.raises(ConfigError, match="level_seams"):
        load(None, ["pipeline=hierarchical", "level_seams=[faded]"], InferConfig)

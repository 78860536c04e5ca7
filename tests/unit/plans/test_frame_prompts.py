"""Scenes: what is no scene is refused in a sentence."""

import pytest

from mindlong.plans.frame_prompts import check, shares_of
from mindlong.utils.errors import ConfigError


@pytest.mark.parametrize(
    "scene",
    [
        {"0": "a", "00": "b", "15": "c"},
        {"0": "a", "0-0": "b"},
        {"0": "a", "7": "b", "7-7": "c"},
        {"0": "a", "000": "a"},
    ],
)
def test_a_frame_is_named_once(scene):
    with pytest.raises(ConfigError, match="frame [07] is named twice"):
        check(scene)
    with pytest.raises(ConfigError, match="frame [07] is named twice"):
        shares_of(scene, 16)


def test_frames_that_differ_pass():
    assert shares_of({"00": "a", "2": "b"}, 3)[1] == (("a", 0.5), ("b", 0.5))

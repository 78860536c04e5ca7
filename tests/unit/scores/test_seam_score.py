"""What is said of the joins of a long video: steps of contrast, and flicker."""

import numpy as np
import pytest

from mindlong.data.shapes import ShapesWorld
from mindlong.scores.seam_score import seams

FILM = ShapesWorld((48, 48), 46).clip_of("a red circle moving right", 1).frames_FHWC


def test_a_true_film_has_neither():
    found = seams(FILM, range(15, 45, 15))
    assert abs(found.contrast) < 0.002 and found.flicker < 0.05


def test_frames_of_less_contrast_beside_the_joins_are_seen():
    middle = FILM.mean(axis=(1, 2, 3), keepdims=True)
    weak = middle + 0.926 * (FILM - middle)
    weak[[0, 15, 30, 45]] = FILM[[0, 15, 30, 45]]
    assert seams(weak, [15, 30]).contrast == pytest.approx(0.074, abs=0.002)
    assert seams(weak, []).contrast == 0


def test_a_trembling_brightness_is_flicker():
    trembling = FILM + np.where(np.arange(46) % 2, 1.0, -1.0)[:, None, None, None]
    assert seams(trembling, []).flicker == pytest.approx(4, abs=0.1)

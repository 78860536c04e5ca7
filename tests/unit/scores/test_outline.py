"""Outlines against ideal ones, and the background's change, on films whose truth is known."""

import numpy as np
import pytest

from mindlong.data.shapes import ShapesWorld
from mindlong.data.shapes_reader import read
from mindlong.scores.outline import background_change, overlap

SHAPES, COLOURS = ("circle", "square", "triangle"), ("red", "green", "blue", "yellow")


def _film(number: int) -> np.ndarray:
    return ShapesWorld(size=(48, 48), frames=6, seed=77).clip(number).frames_FHWC


@pytest.mark.parametrize("number", range(4))
def test_true_films_are_ideal_and_still(number):
    film = _film(number)
    assert overlap(film, read(film, SHAPES, COLOURS)) > 0.97
    assert background_change(film) == 0.0


def test_a_hole_costs_what_it_takes():
    film = _film(1).copy()
    reading = read(film, SHAPES, COLOURS)
    for frame, (x, y) in zip(film, np.rint(reading.position_F2).astype(int), strict=True):
        frame[y - 2 : y + 3, x - 2 : x + 3] = film[0, 0, 0]
    lost = 25 / (np.pi * float(np.median(reading.radius_F)) ** 2)
    assert overlap(film, reading) == pytest.approx(1 - lost, abs=0.03)


def test_a_background_that_flickers_is_measured():
    film = _film(2).astype(np.int64)
    film[::2] += 3
    assert background_change(film.clip(0, 255).astype(np.uint8)) == pytest.approx(3, abs=0.05)


def test_nothing_seen_and_one_frame_have_values():
    grey = np.full((4, 32, 32, 3), 60, np.uint8)
    assert overlap(grey, read(grey, SHAPES, COLOURS)) == 0.0
    assert background_change(grey[:1]) == 0.0


def test_a_film_of_many_frames_is_read_and_measured():
    frames = 530  # more than OpenCV takes as channels of one image
    film = ShapesWorld(size=(24, 24), frames=frames, seed=77, bounce=True).clip(1)
    reading = read(film.frames_FHWC, SHAPES, COLOURS)
    assert (reading.shape, reading.colour) == (film.truth.shape, film.truth.colour)
    flickering = film.frames_FHWC.astype(np.int64)
    flickering[::2] += 3
    assert background_change(flickering.clip(0, 255).astype(np.uint8)) == pytest.approx(3, abs=0.1)

"""What is really in a clip of the film world. Axes: F frames, H, W pixels."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mindlong.data.film_captions import FilmCaption
from mindlong.data.film_paths import CameraPath
from mindlong.data.source import Sample


@dataclass(frozen=True)
class Where:
    """Where an object is; positions (x, y) in pixels, y downwards.

    Attributes:
        image_F2: in the image, (0, 0) the centre of the first pixel.
        scene_F2: in the scene (`data.film_paths`), which the camera does not move.
        radius_F: in the image, of the circle of equal area.
        angle_F: radians, clockwise as seen.
    """

    image_F2: np.ndarray
    scene_F2: np.ndarray
    radius_F: np.ndarray
    angle_F: np.ndarray


@dataclass(frozen=True)
class ObjectTruth:
    """One object.

    Attributes:
        shape, colour, motion, texture: names; motion is in the scene, None at rest.
        where: its place in every frame.
        visible_F: share of its area that is not hidden.
        mask_FHW: bool, pixels of which it covers more than half and that nothing hides.
    """

    shape: str
    colour: str
    motion: str | None
    texture: str
    where: Where
    visible_F: np.ndarray
    mask_FHW: np.ndarray


@dataclass(frozen=True)
class FilmTruth:
    """What is really in a clip: objects, the nearest first, and the camera."""

    objects: tuple[ObjectTruth, ...]
    said: FilmCaption
    camera: CameraPath
    ground: str
    shadows: bool
    size: tuple[int, int]

    @property
    def position_F2(self) -> np.ndarray:
        """The first object's, in the image, as in the truth of the shapes world."""
        return self.objects[0].where.image_F2

    def ground_flow(self, frame: int) -> np.ndarray:
        """(H, W, 2) float64: from which offset (x, y), in pixels, each point of the ground came, of
        frame - 1 to `frame`: a point at p was at p - flow.
        """
        height, width = self.size
        y, x = np.mgrid[:height, :width]
        here = np.stack([x, y], -1).reshape(-1, 2).astype(np.float64)
        now, before = (
            CameraPath(self.camera.centre_F2[[f]], self.camera.zoom_F[[f]])
            for f in (frame, max(frame - 1, 0))
        )
        was = before.to_image(now.to_scene(here, self.size), self.size)
        return (here - was).reshape(height, width, 2)


@dataclass(frozen=True)
class FilmClip(Sample):
    """Frames (F, H, W, 3) uint8 RGB, their caption, and the truth behind them."""

    truth: FilmTruth = field(kw_only=True)

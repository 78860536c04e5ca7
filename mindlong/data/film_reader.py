"""Reads a clip of the film world back: which objects, which way each moves in the scene, which is
in front, and what the camera does.

Plain vision, no learning, no look at the caption. The camera's motion is seen in the ground and
taken out; what vanishes behind a nearer object and comes back is steady, what comes and goes, jumps
or changes its outline is not. Axes: F frames, H, W pixels, C channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from mindlong.data.film import FILM_SHAPES
from mindlong.data.film_camera import Camera, ground_change, see_camera
from mindlong.data.film_captions import FilmCaption, Named, parse_film
from mindlong.data.film_seen import Seen, front_of, look_at
from mindlong.data.film_things import Thing, find_things, hues
from mindlong.data.shapes import COLOURS, MOTIONS
from mindlong.data.shapes_reader import FOUR, SURE, prepared
from mindlong.utils.errors import ConfigError

MOST = 2  # objects
RESTS = 0.5  # of its radius that a thing at rest may seem to move in a clip


@dataclass(frozen=True)
class ObjectReading:
    """One object.

    Attributes:
        shape, colour: names. motion: in the scene, None at rest.
        confidence: of shape and colour, in [0, 1]; motion_confidence: of the direction.
        image_F2: (x, y) pixels, NaN where too little is seen.
        scene_F2: the same in pixels of frame 0, the camera's motion taken out.
        radius_F: pixels, NaN as above. visible_F: share that is seen.
        overlap: intersection over union with the ideal outline, median of the frames.
        problems: why it is not one and the same in all frames.
    """

    shape: str
    colour: str
    motion: str | None
    confidence: float
    motion_confidence: float
    image_F2: np.ndarray
    scene_F2: np.ndarray
    radius_F: np.ndarray
    visible_F: np.ndarray
    overlap: float
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class FilmReading:
    """What was read: objects, the one in front first, `front` its colour where one hides another;
    the camera, and the change of the ground when its motion is taken out, of 255.
    """

    objects: tuple[ObjectReading, ...]
    front: str | None
    camera: Camera
    ground_change: float
    problems: tuple[str, ...] = ()
    parts: dict[str, float] = field(default_factory=dict)

    @property
    def confidence(self) -> float:
        """The least of the objects' and of there being no others; 0 without an object."""
        return min((o.confidence for o in self.objects), default=0.0)

    @property
    def sure(self) -> bool:
        """Shapes and colours are to be believed."""
        return self.confidence >= SURE and len(self.objects) <= MOST

    @property
    def believed(self) -> FilmReading:
        """The same, objects and camera taken for sure."""
        objects = (replace(o, confidence=1.0, motion_confidence=1.0) for o in self.objects)
        return replace(self, objects=tuple(objects), camera=replace(self.camera, confidence=1.0))

    @property
    def steady(self) -> bool:
        """The same objects, and the same ground, in all frames."""
        return not self.problems and not any(o.problems for o in self.objects)

    @property
    def names(self) -> tuple[tuple[str, str], ...]:
        """Shape and colour of every object, in the order of the words."""
        return tuple(sorted((o.shape, o.colour) for o in self.objects))

    @property
    def position_F2(self) -> np.ndarray:
        """The first object's, in the image."""
        empty = np.full((len(self.camera.zoom_F), 2), np.nan)
        return self.objects[0].image_F2 if self.objects else empty

    @property
    def motion_confidence(self) -> float:
        """The least of the objects that move."""
        return min((o.motion_confidence for o in self.objects if o.motion), default=0.0)

    @property
    def text(self) -> str:
        """What was read, as a caption says it."""
        if not self.objects:
            return "nothing"
        named = tuple(Named(o.shape, o.colour, o.motion) for o in self.objects)
        hides = self.front is not None
        return FilmCaption(named, hides, self.camera.pan, self.camera.zoom).text

    @property
    def complaints(self) -> tuple[str, ...]:
        """Why it is not steady, objects by name."""
        of_objects = (f"{o.colour} {o.shape}: {p}" for o in self.objects for p in o.problems)
        return (*self.problems, *of_objects)

    def of(self, colour: str) -> ObjectReading | None:
        """The object of a colour."""
        return next((o for o in self.objects if o.colour == colour), None)

    def agrees(self, caption: str) -> dict[str, bool]:
        """For shape, colour, motion, order and camera: read with confidence, and as `caption` says
        of every object. Raises ConfigError where it names no objects.
        """
        said = said_of_film(caption)
        found = [self.of(named.colour) for named in said.objects]
        pairs = list(zip(said.objects, found, strict=True))
        return {
            "shape": self.sure and all(o is not None and o.shape == n.shape for n, o in pairs),
            "colour": self.sure and all(found) and len(self.objects) == len(pairs),
            "motion": self.sure and all(o is not None and _moves_as(o, n.motion) for n, o in pairs),
            "order": self._in_order(said),
            "camera": self.camera.confidence >= SURE
            and (self.camera.pan, self.camera.zoom) == (said.pan, said.zoom),
        }

    def _in_order(self, said: FilmCaption) -> bool:
        """Without "in front of" anything may hide anything."""
        return not said.occludes or (self.sure and self.front == said.objects[0].colour)


def said_of_film(caption: str) -> FilmCaption:
    """What a caption says. Raises ConfigError where it names no objects."""
    said = parse_film(caption)
    if said is None:
        raise ConfigError(
            f"the caption {caption!r} names no objects of the film world; the shape and the colour "
            "of one or two are needed, as in 'a red circle and a blue square'"
        )
    return said


def _moves_as(seen: ObjectReading, motion: str | None) -> bool:
    if motion is None or seen.motion is None:
        return seen.motion == motion
    return seen.motion == motion and seen.motion_confidence >= SURE


def read_film(
    frames_FHWC: np.ndarray,
    shapes: tuple[str, ...] = FILM_SHAPES,
    colours: tuple[str, ...] = tuple(COLOURS),
    motions: tuple[str, ...] = FOUR,
) -> FilmReading:
    """Read uint8 frames (F, H, W, 3). The names to choose from should be those of the world asked
    about.

    Raises ConfigError if the frames are not such an array or smaller than 12 pixels.
    """
    frames, scale = prepared(frames_FHWC)
    things = find_things(hues(frames), colours)
    masks = [thing.mask_FHW for thing in things]
    thing_FHW = np.any(masks, axis=0) if masks else np.zeros(frames.shape[:3], bool)
    camera = see_camera(frames, thing_FHW)
    things = things[: MOST + 1]
    front = front_of(things, camera) if len(things) == MOST else None
    if front is not None:
        things.sort(key=lambda thing: thing.colour != front)
    objects = tuple(
        _read_thing(things, i, front is not None, camera, shapes, motions)
        for i in range(len(things))
    )
    change = ground_change(frames, thing_FHW, camera)
    problems = tuple(_problems(things, camera, min(frames.shape[1:3])))
    return FilmReading(tuple(_scaled(o, scale) for o in objects), front, camera, change, problems)


def _read_thing(
    things: list[Thing],
    which: int,
    ordered: bool,
    camera: Camera,
    shapes: tuple[str, ...],
    motions: tuple[str, ...],
) -> ObjectReading:
    thing = things[which]
    others = things[:which] if ordered else [*things[:which], *things[which + 1 :]]
    seen = look_at(thing, others, camera, shapes)
    scene = camera.to_scene(seen.image_F2)
    size = float(np.nanmedian(seen.radius_F / camera.zoom_F)) if seen.clear_F.any() else 1.0
    motion, motion_sure = _heading(scene, size, motions)
    return ObjectReading(
        seen.shape,
        thing.colour,
        motion,
        min(seen.confidence, thing.purity * 2),
        motion_sure,
        seen.image_F2,
        scene,
        seen.radius_F,
        seen.visible_F,
        seen.overlap,
        tuple(_unsteady(seen, scene, camera)),
    )


def _heading(
    scene_F2: np.ndarray, radius: float, motions: tuple[str, ...]
) -> tuple[str | None, float]:
    """(direction of the straight line through a path, how sure it is the right one); None where
    the path is no longer than half a radius.
    """
    times = np.flatnonzero(~np.isnan(scene_F2[:, 0]))
    if len(times) < 2:
        return None, 0.0
    t = times - times.mean()
    velocity = (t[:, None] * scene_F2[times]).sum(0) / (t**2).sum()
    speed = float(np.hypot(*velocity))
    if speed * (times[-1] - times[0]) < RESTS * radius + 0.5:
        return None, 0.0
    along = {name: float(np.dot(MOTIONS[name], velocity)) / speed for name in motions}
    best = max(along, key=lambda name: along[name])
    second = max((a for name, a in along.items() if name != best), default=-1.0)
    gap, straight = 2.5 * (along[best] - second), 3 * along[best] - 1.2
    return best, float(np.clip(min(gap, straight), 0, 1))


def _unsteady(seen: Seen, scene_F2: np.ndarray, camera: Camera) -> Iterator[str]:
    """Sentences on why an object is not one and the same in all frames."""
    if seen.missing_F.any():
        count = int(seen.missing_F.sum())
        yield f"it is not seen in {count} of {len(scene_F2)} frames, and nothing hides it"
    if seen.pieces_F.any():
        yield f"it is in pieces in {int(seen.pieces_F.sum())} frames"
    if seen.other_F.any():
        yield f"another outline fits better in {int(seen.other_F.sum())} frames"
    if seen.poor_F.any():
        yield f"no outline fits in {int(seen.poor_F.sum())} frames"
    yield from _jumps(scene_F2, seen.radius_F / camera.zoom_F)


def _jumps(scene_F2: np.ndarray, radius_F: np.ndarray) -> Iterator[str]:
    """Between frames where it is seen, however far apart."""
    times = np.flatnonzero(~np.isnan(scene_F2[:, 0]))
    if len(times) < 2:
        return
    gaps = np.diff(times)
    steps = np.diff(scene_F2[times], axis=0) / gaps[:, None]
    usual = np.median(steps, axis=0)
    typical = float(np.nanmedian(radius_F))
    off = np.linalg.norm(steps - usual, axis=1) * gaps
    if off.max() > 1.0 * np.linalg.norm(usual) + 0.3 * typical + 0.5:
        yield "it jumps"
    growth = np.abs(np.diff(np.log(radius_F[times])))
    if growth.max() > 0.25 + 0.3 / typical:
        yield "its size jumps"


def _problems(things: list[Thing], camera: Camera, side: int) -> Iterator[str]:
    """Sentences on why this is not one and the same scene."""
    if not things:
        yield "nothing is seen"
    if len(things) > MOST:
        yield f"more than {MOST} things are seen"
    if not camera.holds.all():
        yield f"the ground is another one in {int((~camera.holds).sum())} frames"
    steps = np.diff(camera.centre_F2, axis=0)
    if len(steps) > 1:
        usual = np.median(steps, axis=0)
        if np.linalg.norm(steps - usual, axis=1).max() > 0.04 * side + np.linalg.norm(usual):
            yield "the camera jumps"


def _scaled(seen: ObjectReading, scale: float) -> ObjectReading:
    """In pixels of the frames that were given."""
    return replace(
        seen,
        image_F2=(seen.image_F2 + 0.5) * scale - 0.5,
        scene_F2=(seen.scene_F2 + 0.5) * scale - 0.5,
        radius_F=seen.radius_F * scale,
    )

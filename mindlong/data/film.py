"""A second synthetic world, nearer to film: one or two solid, textured objects that turn, move and
hide one another over a textured ground, seen by a camera that pans and zooms; and the exact truth.

As in `data.shapes`, clip `index` is a pure function of (seed, index), and the captions go on where
those of the shapes world end (`data.film_captions`). `data.film_reader` reads them back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mindlong.data.film_captions import PANS, ZOOMS, FilmCaption, Named, parse_film
from mindlong.data.film_draw import TEXTURES, Look, Patch, draw_object
from mindlong.data.film_ground import GROUNDS, cast, make_ground, see_ground
from mindlong.data.film_paths import FURTHEST, Paths, clear_share, moves, place, zooming
from mindlong.data.film_truth import FilmClip, FilmTruth, ObjectTruth, Where
from mindlong.data.shapes import COLOURS, MOTIONS, known_names
from mindlong.utils.errors import ConfigError
from mindlong.utils.rng import generator

FILM_SHAPES = ("circle", "square", "triangle", "cross", "star")  # a diamond is a turned square
CAMERAS = ("still", "pan", "zoom")
MIN_SIDE = 32
HIDES = 0.2  # share of the second object that must be hidden, in some frame, for "in front of"
LARGER = 0.6  # share of the clips where the nearer of two objects is surely the larger one
SPIN = 0.09  # most that an object turns, radians a frame
USUAL = (1.0, 1.0)  # tempo
ATTEMPTS = 40  # at paths for a caption that is asked for
CAPTIONS = 512  # that a vocabulary is learnt from
CLEAR = 0.25  # least share of frames in which the objects of crossing paths do not touch


@dataclass(frozen=True)
class FilmWorld:
    """The options of a world. `size` is (height, width), at least 32; `radius` and `speed` are
    shares of the shorter side, `speed` a frame. Of each clip objects, their turning and the camera
    are slowed down alike, to a share of `tempo`, drawn evenly in its logarithm: (1/15, 1) has what
    lies between two neighbouring frames of a clip of the usual tempo, and all between.

    Objects stay inside the image for the whole clip, and all that moves is slowed down further
    where that needs it. `objects` is the most in a clip, 1 or 2; two have different colours. Raises
    ConfigError on unknown names, on sizes under 32 pixels and on a tempo outside of (0, 1].
    """

    size: tuple[int, int] = (64, 64)
    frames: int = 16
    shapes: tuple[str, ...] = FILM_SHAPES
    colours: tuple[str, ...] = tuple(COLOURS)
    motions: tuple[str, ...] = ("left", "right", "up", "down")
    objects: int = 2
    cameras: tuple[str, ...] = CAMERAS
    textures: tuple[str, ...] = TEXTURES
    shadows: bool = True
    seed: int = 0
    radius: tuple[float, float] = (0.105, 0.15)
    speed: tuple[float, float] = (0.045, 0.08)
    tempo: tuple[float, float] = USUAL

    def __post_init__(self):
        for name, valid in (
            ("shapes", FILM_SHAPES),
            ("colours", COLOURS),
            ("motions", MOTIONS),
            ("cameras", CAMERAS),
            ("textures", TEXTURES),
        ):
            found = known_names(f"data.{name}", getattr(self, name), valid, "film world")
            object.__setattr__(self, name, found)
        object.__setattr__(self, "size", tuple(int(n) for n in self.size))
        if len(self.size) != 2 or min(self.size) < MIN_SIDE:
            raise ConfigError(
                f"data.size is {list(self.size)}; the film world needs [height, width], "
                f"each at least {MIN_SIDE}"
            )
        if self.frames < 1 or self.objects not in (1, 2):
            raise ConfigError(
                f"data.frames is {self.frames} and data.objects {self.objects}; the film world "
                "draws at least 1 frame, and 1 or 2 objects"
            )
        if not 0 < self.tempo[0] <= self.tempo[1] <= 1:
            raise ConfigError(
                f"data.tempo is {list(self.tempo)}; it must be [slowest, fastest], shares of the "
                "usual tempo above 0 and at most 1"
            )
        if self.objects == 2 and len(set(self.colours)) < 2:
            raise ConfigError(
                "data.colours names one colour; two objects need two, or set data.objects=1"
            )

    def clip(self, index: int) -> FilmClip:
        """The clip with number `index`, any integer from 0 up."""
        draw = generator(self.seed, "film", index)
        return self._film(draw, self._asked(draw))

    def clip_of(self, caption: str, index: int) -> FilmClip:
        """A clip that shows `caption` (its parts may lie outside this world's lists), differing
        with `index`. Raises ConfigError where it does not name every object's shape and colour, or
        where no paths do what it says.
        """
        said = parse_film(caption)
        if said is None or not {o.shape for o in said.objects} <= set(FILM_SHAPES):
            raise ConfigError(
                f"the caption {caption!r} must name shape ({', '.join(FILM_SHAPES)}) and colour of "
                "one or two objects, as in 'a red circle moving right in front of a blue square, "
                "the camera pans left'"
            )
        for attempt in range(ATTEMPTS):
            clip = self._film(generator(self.seed, "film of", caption, index, attempt), said, True)
            if clip.truth.said == said:
                return clip
        raise ConfigError(
            f"no paths were found for {caption!r} in {self.frames} frames of {self.size[0]}x"
            f"{self.size[1]}: longer or larger clips, or directions that part, have some"
        )

    sample = clip

    def captions(self) -> list[str]:
        """Captions of this world with all its words, to learn a vocabulary from; which of two
        objects hides the other is not decided.
        """
        return [self._asked(generator(self.seed, "film", i)).text for i in range(CAPTIONS)]

    def longest_caption(self, length: Callable[[str], int]) -> str:
        """The caption that is longest by `length`."""
        shape, motion = (max(names, key=length) for names in (self.shapes, self.motions))
        colours = sorted(set(self.colours), key=length)[-self.objects :]
        return FilmCaption(
            tuple(Named(shape, colour, motion) for colour in colours),
            self.objects > 1,
            max(PANS, key=length) if "pan" in self.cameras else None,
            max(ZOOMS, key=length) if "zoom" in self.cameras else None,
        ).text

    def describe(self) -> str:
        """One line for the opening of a run."""
        most = "1 object" if self.objects == 1 else "1 or 2 objects"
        return (
            f"film world, seed {self.seed}: {most}, {len(self.shapes)} shapes, {len(self.colours)} "
            f"colours, {len(self.motions)} directions, camera {', '.join(self.cameras)}, "
            f"{self.frames} frames of {self.size[0]}x{self.size[1]}"
        )

    def _asked(self, draw: np.random.Generator) -> FilmCaption:
        """What is to be shown; whether one object hides the other is decided by the paths."""
        count = int(draw.integers(1, self.objects + 1)) if self.objects > 1 else 1
        colours = draw.choice(sorted(set(self.colours)), count, replace=False)
        shapes, motions = draw.choice(self.shapes, count), draw.choice(self.motions, count)
        resting = count > 1 and draw.random() < 0.3
        named = tuple(
            Named(str(s), str(c), None if resting and i else str(m))
            for i, (s, c, m) in enumerate(zip(shapes, colours, motions, strict=True))
        )
        camera = str(draw.choice(self.cameras))
        both = "zoom" in self.cameras and "pan" in self.cameras and draw.random() < 0.25
        pan, zoom = str(draw.choice(list(PANS))), str(draw.choice(list(ZOOMS)))
        moved = camera != "still"
        return FilmCaption(
            named,
            count > 1 and draw.random() < 0.7,
            pan if moved and (camera == "pan" or both) else None,
            zoom if moved and (camera == "zoom" or both) else None,
        )

    def _film(self, draw: np.random.Generator, said: FilmCaption, insist: bool = False) -> FilmClip:
        """`insist`: what is said to hide another does, though the other is never seen whole."""
        radius_N = min(self.size) * draw.uniform(*self.radius, len(said.objects))
        if said.occludes and draw.random() < LARGER:
            radius_N[::-1].sort()
        pace = self._pace(draw)
        paths = self._paths(draw, said, radius_N, pace, insist)
        wheres = self._places(draw, paths, radius_N, pace)
        looks = [_look(draw, named, self.textures) for named in said.objects]
        light, throw = _sun(draw)
        patches = [
            draw_object(look, where.image_F2, where.radius_F, where.angle_F, light)
            for look, where in zip(looks, wheres, strict=True)
        ]
        kind = str(draw.choice(GROUNDS))
        shadows = self.shadows and bool(draw.random() < 0.6)
        seen = see_ground(make_ground(draw, kind, min(self.size)), paths.camera, self.size)
        covers = [patch.spread(self.size) for patch in patches]
        throws = [throw * where.radius_F[:, None] for where in wheres] if shadows else None
        _paint(seen, patches, covers, throws)
        objects = tuple(
            ObjectTruth(*(named.shape, named.colour, named.motion), look.texture, where, *shown)
            for named, look, where, shown in zip(
                said.objects, looks, wheres, _shown(covers), strict=True
            )
        )
        hides = len(objects) > 1 and float(objects[1].visible_F.min()) < 1 - HIDES
        caption = FilmCaption(said.objects, hides, said.pan, said.zoom)
        truth = FilmTruth(objects, caption, paths.camera, kind, shadows, self.size)
        return FilmClip(np.rint(seen).astype(np.uint8), caption.text, truth=truth)

    def _pace(self, draw: np.random.Generator) -> float:
        """The share of the usual tempo at which all moves; nothing is drawn where it is usual."""
        return 1.0 if self.tempo == USUAL else float(np.exp(draw.uniform(*np.log(self.tempo))))

    def _places(
        self, draw: np.random.Generator, paths: Paths, radius_N: np.ndarray, pace: float
    ) -> list[Where]:
        """Of every object, each of which turns at a rate of its own."""
        turns = draw.uniform(-1, 1, (len(radius_N), 2)) * np.array([np.pi, pace * SPIN])
        return [
            Where(
                paths.camera.to_image(scene, self.size),
                scene,
                radius * paths.camera.zoom_F,
                first + rate * np.arange(self.frames),
            )
            for scene, radius, (first, rate) in zip(paths.scene_NF2, radius_N, turns, strict=True)
        ]

    def _paths(
        self,
        draw: np.random.Generator,
        said: FilmCaption,
        radius_N: np.ndarray,
        pace: float,
        insist: bool,
    ) -> Paths:
        """Paths on which both objects can be seen for a part of the clip at least."""
        reach_N = radius_N * np.array([FURTHEST[named.shape] for named in said.objects])
        zoom_F = zooming(draw, said.zoom, self.frames, pace)
        motions = [named.motion for named in said.objects]
        meetings, apart = 6 * said.occludes, 0 if insist and said.occludes else 4
        tried = []
        for meet in (*(True,) * meetings, *(False,) * apart):
            asked = moves(draw, motions, reach_N, said.pan, self.frames, self.size, self.speed)
            paths = place(draw, asked.slowed(pace), meet, zoom_F)
            share = clear_share(paths, reach_N)
            tried.append((share, paths))
            if share >= (CLEAR if meet else 1):
                return paths
        return max(tried, key=lambda found: found[0])[1]


def _look(draw: np.random.Generator, named: Named, textures: Sequence[str]) -> Look:
    return Look(
        named.shape,
        np.array(COLOURS[named.colour], np.float32),
        str(draw.choice(textures)),
        draw.random(4),
        draw.random((8, 8)),
    )


def _sun(draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(unit vector towards the light (3,), where shadows fall, in radii (2,))."""
    side = draw.uniform(0, 2 * np.pi)
    flat = np.array([np.cos(side), np.sin(side)])
    towards = np.array([*(0.62 * flat), 0.78])
    return towards / np.linalg.norm(towards), -draw.uniform(0.25, 0.5) * flat


def _paint(
    frames_FHWC: np.ndarray,
    patches: Sequence[Patch],
    covers: Sequence[np.ndarray],
    throws: Sequence[np.ndarray] | None,
) -> None:
    """Objects over float32 frames, in place, the last one first; each casts its shadow on what is
    behind it.
    """
    for i in reversed(range(len(patches))):
        if throws is not None:
            cast(covers[i], frames_FHWC, throws[i])
        patches[i].lay(frames_FHWC)


def _shown(covers: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of every object: the share of it that nothing nearer hides (F,), its pixels (F, H, W)."""
    found, free = [], np.ones_like(covers[0])
    for cover in covers:
        left = cover * free
        whole = np.maximum(cover.sum((1, 2)), 1e-6)
        found.append((left.sum((1, 2)) / whole, left > 0.5))
        free = free * (1 - cover)
    return found

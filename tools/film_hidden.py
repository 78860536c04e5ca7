"""How far a frame of the film world must look to see an object that is hidden in it.

    python tools/film_hidden.py --frames 16 64 226

Counts the frames in which an object is hidden by more than half, and how many frames away it is
next seen whole: what a band of attention (window:N) must reach over. Nothing is trained.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from mindlong.data.film import FilmWorld  # noqa: E402

WINDOWS = (3, 5, 9, 17, 33)


def distances(visible_F: np.ndarray) -> np.ndarray:
    """Of every frame in which less than half is seen: frames to the next one with 85 %."""
    hidden, clear = np.flatnonzero(visible_F < 0.5), np.flatnonzero(visible_F >= 0.85)
    if not len(clear):
        return np.full(len(hidden), np.inf)
    return np.abs(hidden[:, None] - clear).min(1)


def main() -> None:
    """Print a line for each length."""
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--frames", type=int, nargs="+", default=[16, 64, 226])
    made.add_argument("--clips", type=int, default=200)
    args = made.parse_args()
    print("frames hidden  median   95 %  " + " ".join(f"window:{n}" for n in WINDOWS))
    for frames in args.frames:
        world = FilmWorld(frames=frames, seed=77)
        objects = [o for i in range(args.clips) for o in world.clip(i).truth.objects]
        found = np.concatenate([distances(o.visible_F) for o in objects])
        share = len(found) / (frames * len(objects))
        reach = [f"{(found <= n // 2).mean():8.0%}" for n in WINDOWS]
        middle, most = np.quantile(found, (0.5, 0.95))
        print(f"{frames:6d} {share:6.1%} {middle:7.0f} {most:6.0f}  {' '.join(reach)}", flush=True)


if __name__ == "__main__":
    main()

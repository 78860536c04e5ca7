"""Draw the contact sheet of the film world: python tools/film_sheet.py docs/images/film_world.png

Clips of the film world, every third frame; above each its caption, and what the reader says
where that is something else.
"""

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from mindlong.data.film import FilmWorld  # noqa: E402
from mindlong.data.film_reader import read_film  # noqa: E402
from mindlong.media.write import write_contact_sheet  # noqa: E402


def main() -> None:
    """Draw the first clips of a world that is used for nothing else."""
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("png", type=Path)
    made.add_argument("--clips", type=int, default=8)
    made.add_argument("--seed", type=int, default=2024)
    made.add_argument("--side", type=int, default=112, help="of a frame in the sheet, pixels")
    args = made.parse_args()
    world = FilmWorld(seed=args.seed)
    rows, heads = [], []
    for index in range(args.clips):
        clip = world.clip(index)
        read = read_film(clip.frames_FHWC)
        size = (args.side, args.side)
        shown = [cv2.resize(f, size, interpolation=cv2.INTER_CUBIC) for f in clip.frames_FHWC[::3]]
        rows.append(np.stack(shown))
        heads.append(
            clip.caption
            if all(read.agrees(clip.caption).values())
            else f"{clip.caption} | read: {read.text}"
        )
    write_contact_sheet(args.png, rows, heads)


if __name__ == "__main__":
    main()

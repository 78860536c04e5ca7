"""Small media made by the bundled ffmpeg for tests of reading."""

import subprocess

import imageio_ffmpeg
import numpy as np

RED, BLUE = (255, 0, 0), (0, 0, 255)
HALVES = "color=red:s=64x24:r=10:d={seconds},format=rgb24[a];color=blue:s=64x24:r=10:d={seconds},format=rgb24[b];[a][b]vstack"
HOLE = "color=black:s=64x48:r=10:d=0.4,format=rgba,geq=r=0:g=0:b=0:a='255*between(X,16,47)*between(Y,12,35)'"


def ffmpeg(*arguments):
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-nostdin", "-loglevel", "error"]
    subprocess.run([*command, *arguments], check=True, stderr=subprocess.DEVNULL)


def halves(path, *arguments, seconds=0.6, vf=None):
    """A video of 48 x 64 pixels, red above blue, 10 frames a second; `arguments` say how it is
    encoded.
    """
    source = HALVES.format(seconds=seconds) + (f",{vf}" if vf else "")
    ffmpeg("-f", "lavfi", "-i", source, *arguments, str(path))
    return path


def hole(path, *arguments):
    """A black block on nothing: rows 12 to 35, columns 16 to 47 of 48 x 64 are opaque."""
    ffmpeg("-f", "lavfi", "-i", HOLE, *arguments, str(path))
    return path


def side_of(frame, colour):
    """On which side of a frame the colour is: top, bottom, left or right."""
    near = np.abs(frame.astype(int) - np.array(colour)).sum(-1) < 120
    height, width = near.shape
    halves = {
        "top": near[: height // 2 - 2],
        "bottom": near[height // 2 + 2 :],
        "left": near[:, : width // 2 - 2],
        "right": near[:, width // 2 + 2 :],
    }
    [side] = [name for name, part in halves.items() if part.mean() > 0.95]
    return side

"""What a dry run says of images that are not of a video's shape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mindlong.media.read import read_image

CUT, ENLARGED = 1 / 3, 4.0  # the share of an image, and the factor, from which it is worth a word


def unlike_sizes(paths: Iterable[str], size: tuple[int, int]) -> Iterator[str]:
    """A sentence for each image of which much is cut off, or that is much enlarged, where it is
    scaled until it covers `size`, (height, width). Raises InputFileError.
    """
    for path in dict.fromkeys(paths):
        yield from unlike(path, read_image(path).shape[:2], size)


def unlike(name: str, given: tuple[int, ...], size: tuple[int, int]) -> Iterator[str]:
    """The same of frames of the size `given`, called `name`."""
    scale = max(size[0] / given[0], size[1] / given[1])
    lost = 1 - size[0] * size[1] / (given[0] * given[1] * scale**2)
    shape = f"{name}: {given[0]}x{given[1]} pixels become {size[0]}x{size[1]}"
    if lost > CUT:
        yield f"{shape}, and {lost:.0%} of the image are cut off"
    if scale > ENLARGED:
        yield f"{shape}, {scale:.0f} times as large"

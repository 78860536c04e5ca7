"""A line of text in any script, drawn run by run: each run by the font that has its letters.

A letter that no font here has is written as its number, <U+6F22>, and one line of the log names the
Debian package that would draw it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image, ImageDraw

from mindlong.media import fonts
from mindlong.media.fonts import Font
from mindlong.utils.log import once
from mindlong.utils.look import TEXT

DOTS = "\u2026"
_JOINER, _COLOUR, _OUTLINE = "\u200d", "\ufe0f", "\ufe0e"


@dataclass(frozen=True)
class Run:
    """Letters that one font draws."""

    text: str
    font: Font


def draw(
    image: Image.Image,
    place: tuple[int, int],
    text: str,
    width: int,
    colour: tuple[int, int, int],
    size: int = TEXT,
) -> None:
    """Draw a line at (left, top), cut to `width` pixels with dots behind it."""
    left, top = place
    for run in fitted(text, width, size):
        left += _drawn(image, (left, top), run, colour, size)


def fitted(text: str, width: int, size: int = TEXT) -> list[Run]:
    """The runs of as much of a text as fits."""
    letters = [part for cluster in clusters(" ".join(text.split())) for part in _shown(cluster)]
    found = runs(letters)
    if length(found, size) <= width:
        return found
    low, high = 0, len(letters)
    while low < high:  # the most letters that fit with the dots
        middle = (low + high + 1) // 2
        fits = length(runs([*letters[:middle], DOTS]), size) <= width
        low, high = (middle, high) if fits else (low, middle - 1)
    kept = "".join(letters[:low]).rstrip()
    return runs([*(part for c in clusters(kept) for part in _shown(c)), DOTS])


def length(found: list[Run], size: int = TEXT) -> int:
    """Pixels of a line."""
    return sum(_width(run, size) for run in found)


def runs(letters: list[str]) -> list[Run]:
    """Neighbouring letters of one font together; blanks go with what stands before them."""
    made: list[Run] = []
    for cluster in letters:
        font = fonts.font_for(cluster, _is_emoji(cluster))
        if made and cluster == " " and not made[-1].font.emoji and made[-1].font.has(" "):
            font = made[-1].font
        if font is None:
            continue
        if made and made[-1].font == font:
            made[-1] = Run(made[-1].text + cluster, font)
        else:
            made.append(Run(cluster, font))
    return made


def clusters(text: str) -> Iterator[str]:
    """Letters with the marks, joiners, skin colours and flags that belong to them."""
    held = ""
    for letter in text:
        if held and (_belongs(letter) or held[-1] == _JOINER or _is_flag(held, letter)):
            held += letter
            continue
        if held:
            yield held
        held = letter
    if held:
        yield held


def _belongs(letter: str) -> bool:
    number = ord(letter)
    skin, tag = 0x1F3FB <= number <= 0x1F3FF, 0xE0020 <= number <= 0xE007F
    return unicodedata.category(letter) in ("Mn", "Mc", "Me") or letter == _JOINER or skin or tag


def _is_flag(held: str, letter: str) -> bool:
    return len(held) == 1 and all(0x1F1E6 <= ord(each) <= 0x1F1FF for each in (held, letter))


def _is_emoji(cluster: str) -> bool:
    first = ord(cluster[0])
    if _OUTLINE in cluster:
        return False
    return _COLOUR in cluster or 0x1F000 <= first <= 0x1FBFF


def _shown(cluster: str) -> list[str]:
    """The cluster, or its numbers where no font has it."""
    if fonts.font_for(cluster, _is_emoji(cluster)) is not None:
        return [cluster]
    alone = [c for c in cluster if c not in (_JOINER, _COLOUR, _OUTLINE)]
    if len(cluster) > 1 and all(fonts.font_for(c, _is_emoji(c)) for c in alone):
        return alone  # the letters one by one: a family of emoji as its people
    once(
        f"no font here has U+{ord(cluster[0]):04X}; captions show its number. The Debian package "
        f"{fonts.package_for(cluster)} has it (or a folder of fonts in {fonts.VARIABLE})"
    )
    return list("".join(f"<U+{ord(c):04X}>" for c in alone))


def _width(run: Run, size: int) -> int:
    font = run.font.sized(size)
    wide = font.getlength(_plain(run))
    return round(wide * size * 1.15 / font.size if run.font.emoji else wide)


def _drawn(
    image: Image.Image, place: tuple[int, int], run: Run, colour: tuple[int, int, int], size: int
) -> int:
    """Draw a run; returns its width."""
    font, width = run.font.sized(size), _width(run, size)
    left, top = place
    if not run.font.emoji:
        ink = ImageDraw.Draw(image)
        ink.text((left, top + size), _plain(run), fill=colour, font=font, anchor="ls")
        return width
    large = Image.new("RGBA", (max(round(font.getlength(_plain(run))), 1), round(1.3 * font.size)))
    ink = ImageDraw.Draw(large)
    ink.text((0, font.size), _plain(run), font=font, embedded_color=True, anchor="ls")
    height = round(large.height * width / large.width)
    small = large.resize((max(width, 1), max(height, 1)), Image.Resampling.LANCZOS)
    image.paste(small, (left, top + size + 2 - round(0.82 * height)), small)
    return width


def _plain(run: Run) -> str:
    """What is given to the font: selectors that it does not have would be drawn as boxes."""
    return "".join(
        c for c in run.text if c not in (_COLOUR, _OUTLINE) or ord(c) in run.font.letters
    )

"""The fonts that captions are drawn with: DejaVu Sans, which comes with matplotlib, then those of
the system, each for the letters that it has.

Looked at are the folders in which systems keep fonts and those of MINDLONG_FONTS; nothing is
fetched. A font is opened when a letter is wanted that none before it has.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import ImageFont

VARIABLE = "MINDLONG_FONTS"
FOLDERS = (
    "~/.fonts",
    "~/.local/share/fonts",
    "/usr/local/share/fonts",
    "/usr/share/fonts",
    "/System/Library/Fonts",
    "/Library/Fonts",
    "C:/Windows/Fonts",
)
# by the beginning of the file's name, most wanted first; what is not named is not drawn with
WANTED = (
    *("DejaVuSans.", "NotoColorEmoji", "NotoSans-Regular", "NotoSansCJK-Regular"),
    *("NotoSansCJKsc-Regular", "NotoSansSC-Regular", "NotoSansJP-Regular", "NotoSansKR-Regular"),
    *("NotoSansArabic-Regular", "NotoSansDevanagari-Regular", "NotoSansHebrew-Regular"),
    *("NotoSansThai-Regular", "NotoSans", "Lohit-", "unifont", "DroidSansFallback", "wqy-"),
    *("FreeSans.", "Symbola", "Apple Color Emoji", "PingFang", "Hiragino", "AppleSDGothicNeo"),
    *("Arial Unicode", "Kohinoor", "seguiemj", "msyh", "YuGoth", "malgun", "Nirmala", "arial."),
)
SUFFIXES = (".ttf", ".otf", ".ttc")
EMOJI = ("NotoColorEmoji", "Apple Color Emoji", "seguiemj")
BITMAP = 109  # the one size of Noto's colour emoji
PACKAGES = (  # of Debian, by the name of a letter
    (("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "IDEOGRAPHIC"), "fonts-noto-cjk"),
    (("LATIN", "GREEK", "CYRILLIC", "ARABIC"), "fonts-dejavu"),
)
MOST_FILES = 20_000  # of folders of fonts


@dataclass(frozen=True)
class Font:
    """A font file and the letters that it has."""

    path: Path
    letters: frozenset[int]

    @property
    def emoji(self) -> bool:
        """Whether its letters are small pictures in colour."""
        return self.path.name.startswith(EMOJI)

    def has(self, cluster: str) -> bool:
        """Whether it has the first letter of a cluster and all marks that are drawn."""
        return all(ord(c) in self.letters for c in cluster if not _is_silent(c))

    def sized(self, size: int) -> ImageFont.FreeTypeFont:
        """The font of a height in pixels; of colour emoji always `BITMAP`."""
        return _sized(str(self.path), BITMAP if self.path.name.startswith(EMOJI[0]) else size)


@functools.lru_cache(maxsize=64)
def _sized(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


def font_for(cluster: str, emoji: bool) -> Font | None:
    """The font for a letter with its marks; None where there is none.

    Args:
        emoji: one in colour is taken before others; else behind them.
    """
    for coloured in (emoji, not emoji):
        found = (f for f in _fonts() if f.emoji == coloured and f.has(cluster))
        font = next(found, None)
        if font is not None:
            return font
    return None


def package_for(cluster: str) -> str:
    """The Debian package whose fonts have the letter."""
    name = unicodedata.name(cluster[0], "")
    if unicodedata.category(cluster[0]) == "So" or ord(cluster[0]) >= 0x1F000:
        return "fonts-noto-color-emoji"
    found = (package for words, package in PACKAGES if name.startswith(words))
    return next(found, "fonts-noto-core")


class _Fonts:
    """Fonts in the order of `WANTED`, opened as far as somebody looks."""

    def __init__(self) -> None:
        self._left, self._open = _files(), list[Font]()

    def __iter__(self) -> Iterator[Font]:
        yield from list(self._open)
        for path in self._left:
            letters = _letters(path)
            if letters:
                self._open.append(Font(path, letters))
                yield self._open[-1]


@functools.lru_cache(maxsize=4)
def _of(folders: str) -> _Fonts:
    return _Fonts()


def _fonts() -> _Fonts:
    return _of(os.environ.get(VARIABLE, ""))


def _letters(path: Path) -> frozenset[int]:
    """The letters of a font; none where it cannot be read or drawn with."""
    from fontTools.ttLib import TTFont

    try:
        with TTFont(path, fontNumber=0, lazy=True) as font:
            letters = frozenset(font.getBestCmap() or ())
        _sized(str(path), BITMAP if path.name.startswith(EMOJI[0]) else 13)
    except Exception:  # whatever a damaged font makes of its readers
        return frozenset()
    return letters


def _files() -> Iterator[Path]:
    """The font files, most wanted first."""
    bundled = importlib.util.find_spec("matplotlib")
    if bundled is not None and bundled.origin:
        yield Path(bundled.origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf"
    found = sorted(_found(), key=lambda path: path.name)
    for start in WANTED:
        yield from (path for path in found if path.name.startswith(start))


def _found() -> Iterator[Path]:
    places = [*filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)), *FOLDERS]
    seen = 0
    for place in places:
        for folder, _, names in os.walk(os.path.expanduser(place)):
            seen += len(names)
            if seen > MOST_FILES:
                return
            yield from (Path(folder, n) for n in names if n.lower().endswith(SUFFIXES))


def _is_silent(letter: str) -> bool:
    """Joiners, selectors and tags, which are not drawn by themselves."""
    number = ord(letter)
    return number in (0x200C, 0x200D) or 0xFE00 <= number <= 0xFE0F or 0xE0020 <= number <= 0xE007F

"""Captions in any script: which font draws which letters, and what is written where none can."""

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from PIL import Image

from mindlong.media import fonts, lettering
from mindlong.media.sheet import write_contact_sheet
from mindlong.utils import look

INK = look.rgb(look.INK)


def built(path, letters):
    """A font whose letters are full boxes, wider the later they stand."""
    glyphs = {".notdef": 500} | {f"g{ord(c):x}": 400 + 100 * n for n, c in enumerate(letters)}
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(list(glyphs))
    builder.setupCharacterMap({ord(c): f"g{ord(c):x}" for c in letters})
    drawn = {}
    for name, width in glyphs.items():
        pen = TTGlyphPen(None)
        pen.moveTo((0, 0))
        for point in ((0, 700), (width - 50, 700), (width - 50, 0)):
            pen.lineTo(point)
        pen.closePath()
        drawn[name] = pen.glyph()
    builder.setupGlyf(drawn)
    builder.setupHorizontalMetrics({name: (width, 0) for name, width in glyphs.items()})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": path.stem, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)


@pytest.fixture
def only(tmp_path, monkeypatch):
    """DejaVu Sans, and fonts that a test builds; none of this system."""
    monkeypatch.setattr(fonts, "FOLDERS", ())
    monkeypatch.setenv(fonts.VARIABLE, str(tmp_path))
    fonts._of.cache_clear()
    yield lambda name, letters: built(tmp_path / name, letters)
    fonts._of.cache_clear()


def families(text, width=10_000):
    return [(run.text, run.font.path.stem) for run in lettering.fitted(text, width)]


def test_each_run_has_the_font_of_its_letters(only):
    only("NotoSansCJK-Regular.ttf", "日本漢")
    only("NotoColorEmojiLike.ttf", "\U0001f534")
    assert families("a red 日本 circle é") == [
        ("a red ", "DejaVuSans"),
        ("日本", "NotoSansCJK-Regular"),
        (" circle é", "DejaVuSans"),
    ]
    assert families("مرحبا بالعالم") == [("مرحبا بالعالم", "DejaVuSans")]  # one run keeps its order


@pytest.mark.parametrize(
    ("text", "shown", "package"),
    [
        ("a 漢", "a <U+6F22>", "fonts-noto-cjk"),
        ("\U0001f680!", "<U+1F680>!", "fonts-noto-color-emoji"),
        ("न", "<U+0928>", "fonts-noto-core"),
    ],
)
def test_a_letter_without_a_font_is_its_number_and_a_package_is_named(
    only, text, shown, package, caplog, monkeypatch
):
    said = []
    monkeypatch.setattr(lettering, "once", said.append)
    assert "".join(text for text, _ in families(text)) == shown
    assert said and package in said[0]


def test_what_belongs_together_is_not_parted():
    text = (
        "e\u0301 \U0001f469\u200d\U0001f680 \U0001f1ef\U0001f1f5 \U0001f44d\U0001f3fd \u2764\ufe0f"
    )
    assert [len(c) for c in lettering.clusters(text) if c != " "] == [2, 3, 2, 2, 2]


def test_a_line_is_cut_to_its_width_with_dots(only):
    whole = "many words " * 30
    shown = lettering.fitted(whole, 200)
    text = "".join(run.text for run in shown)
    assert text.endswith(lettering.DOTS) and whole.startswith(text[:-1])
    assert 150 < lettering.length(shown) <= 200
    assert families("short", 200) == [("short", "DejaVuSans")]


def test_letters_are_drawn_where_they_stand(only):
    only("NotoSansCJK-Regular.ttf", "漢")
    image = Image.new("RGB", (120, 20))
    lettering.draw(image, (4, 1), "漢", 100, INK)
    inked = np.argwhere(np.asarray(image).max(2) > 128)
    assert inked[:, 1].min() >= 4 and 3 <= len(np.unique(inked[:, 1])) <= 8


def test_a_damaged_font_is_passed_by(only, tmp_path):
    (tmp_path / "NotoSansCJK-Regular.ttc").write_bytes(b"OTTO" + b"\xff" * 500)
    assert families("漢")[0][0] == "<U+6F22>"


def test_sheets_and_plots_have_one_paper(tmp_path):
    video = np.full((4, 8, 8, 3), 128, np.uint8)
    sheet = np.asarray(Image.open(write_contact_sheet(tmp_path / "s.png", video, ["x"])))
    with look.plot(tmp_path / "p.png", 3, 2) as figure:
        figure.subplots().plot([1, 2])
    plot = np.asarray(Image.open(tmp_path / "p.png").convert("RGB"))
    assert tuple(sheet[-1, -1]) == tuple(plot[0, 0]) == look.rgb(look.PAPER)

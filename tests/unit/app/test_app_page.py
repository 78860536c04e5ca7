"""What the page's tabs answer. A stand-in takes the place of Gradio: what is looked at is what we
hand to it.
"""

import sys
from unittest.mock import MagicMock

import pytest

SKIP = {"unchanged": True}  # what the stand-in's gr.skip() gives


@pytest.fixture(autouse=True)
def gradio(monkeypatch):
    """Components that hold nothing, and updates as plain keys."""
    made = MagicMock(name="gradio")
    made.update = lambda **keys: keys
    made.skip = lambda: SKIP
    for name in [each for each in sys.modules if each.startswith("mindlong.app.page")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "gradio", made)
    yield made
    for name in [each for each in sys.modules if each.startswith("mindlong.app.page")]:
        del sys.modules[name]  # they hold the stand-in


@pytest.mark.parametrize(("typed", "kept"), [(0, 0.0), ("0", 0.0), (None, None), ("", None)])
def test_a_guidance_is_told_from_an_empty_field(typed, kept):
    from mindlong.app.page.make import _plain

    assert _plain("guidance", typed) == kept and _plain("strength", typed) == 0.0

"""Names of strangers on a terminal."""

import os
from pathlib import Path

import pytest

from mindlong.utils.shown import shown


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("a b.mp4", "a b.mp4"),
        ("日本 café नमस्ते.mp4", "日本 café नमस्ते.mp4"),
        ("a\nb\r\t", "a\\nb\\r\\t"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("a\u202egpj.exe", "a\\u202egpj.exe"),
        (os.fsdecode(b"\xff\xfe.mp4"), "\\xff\\xfe.mp4"),
        ("\ud800", "\\ud800"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        (b"\xff", "\\xff"),
    ],
)
def test_letters_stay_and_tricks_are_escaped(name, seen):
    assert shown(name) == seen and shown(name).encode("utf-8")
    if isinstance(name, str):
        assert shown(Path(name)) == seen and shown(ValueError(name)) == seen


def test_letters_can_be_kept_and_a_long_text_cut():
    assert shown("a\nb\x1b", keep="\n") == "a\nb\\x1b"
    assert shown("abcdefgh", most=6) == "abc..." and shown("abcdef", most=6) == "abcdef"

"""Numbers of tools' command lines: finite, and within what can be read again."""

import pytest

from mindlong.cli.chop import command as chop


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--fps", "nan"], "argument --fps: 'nan' is no finite number"),
        (["--fps", "-inf"], "argument --fps"),
        (["--fps", "ten"], "argument --fps: invalid"),
        (["--side", "1000000"], "side is 1000000; at most 8192"),
    ],
)
def test_numbers_out_of_range_are_refused(tmp_path, capsys, words, said):
    (tmp_path / "a.mp4").write_bytes(b"")
    assert chop([str(tmp_path / "a.mp4"), "--out", str(tmp_path / "out"), *words]) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error
    assert not (tmp_path / "out").exists()

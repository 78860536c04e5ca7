"""scripts/interpolation.sh asks the tool for what it understands, and writes where it says."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mindlong.cli import evaluate_interpolation

ROOT = Path(__file__).parents[2]
RECORDER = """#!{python}
import json, os, sys
with open(os.environ["SAID"], "a") as said:
    said.write(json.dumps(sys.argv[1:]) + "\\n")
if os.environ.get("FAILS"):
    raise SystemExit(3)
sheet = sys.argv[sys.argv.index("--sheet") + 1]
open(sheet, "w").write("the picture of " + sheet)
print("the table")
"""


def run(folder, *words, fails="", cwd=None):
    """The exit code and the commands that the script, started in `cwd`, gives."""
    recorder, said = folder / "python", folder / "said"
    recorder.write_text(RECORDER.format(python=sys.executable))
    recorder.chmod(0o755)
    said.write_text("")
    environment = {**os.environ, "PYTHON": str(recorder), "SAID": str(said), "FAILS": fails}
    command = ["bash", str(ROOT / "scripts/interpolation.sh"), *words]
    done = subprocess.run(
        command, env=environment, cwd=cwd, capture_output=True, text=True, check=False
    )
    return done.returncode, [json.loads(line) for line in said.read_text().splitlines()]


def test_both_lengths_are_measured_and_the_first_is_the_picture(tmp_path):
    out, picture = tmp_path / "out", tmp_path / "picture.png"
    code, commands = run(tmp_path, str(out), "3", str(picture))
    assert (
        code == 0
        and [program for program, *_ in commands] == ["tools/evaluate_interpolation.py"] * 2
    )
    told = [evaluate_interpolation.parser().parse_args(words) for _, *words in commands]
    assert [(t.shapes, t.frames, t.every, t.stages) for t in told] == [
        (3, 65, 16, [4, 4]),
        (3, 65, 4, [4]),
    ]
    assert all(t.detail == ["network", "flow"] and t.bounce for t in told)
    assert (out / "from_17.txt").read_text() == "the table\n"
    assert picture.read_text() == f"the picture of {out}/from_5.png"


def test_without_a_picture_named_none_is_written(tmp_path):
    shipped = ROOT / "docs/images/interpolation.png"
    before = shipped.read_bytes()
    assert run(tmp_path, str(tmp_path / "out"), "2")[0] == 0
    after = shipped.read_bytes()
    shipped.write_bytes(before)  # in a checkout whose script does write it
    assert after == before


def test_folder_and_picture_are_the_users_own(tmp_path):
    code, commands = run(tmp_path, "my out", "3", "my picture.png", cwd=tmp_path)
    out = tmp_path / "my out"
    assert code == 0 and (tmp_path / "my picture.png").is_file()
    assert all(words[words.index("--sheet") + 1].startswith(f"{out}/") for words in commands)


def test_a_measurement_that_fails_ends_it_and_leaves_the_picture(tmp_path):
    picture = tmp_path / "picture.png"
    picture.write_text("before")
    code, commands = run(tmp_path, str(tmp_path / "out"), "3", str(picture), fails="yes")
    assert code == 3 and len(commands) == 1 and picture.read_text() == "before"


@pytest.mark.parametrize("words", [[]])
def test_no_folder_gets_the_usage(tmp_path, words):
    assert run(tmp_path, *words) == (2, [])

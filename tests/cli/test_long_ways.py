"""scripts/long_ways.sh asks for nothing that the programs refuse, and makes nothing twice."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mindlong.cli import compare_long, evaluate_long
from mindlong.cli.infer import main as infer

ROOT = Path(__file__).parents[2]
RECORDER = """#!{python}
import json, os, sys
with open(os.environ["SAID"], "a") as said:
    said.write(json.dumps(sys.argv[1:]) + "\\n")
for word in sys.argv[1:]:
    if word.startswith("output="):
        os.makedirs(word[7:] + "/0001", exist_ok=True)
"""


def asked(folder, *words):
    """The commands that the script gives, and its exit code."""
    recorder, said = folder / "python", folder / "said"
    recorder.write_text(RECORDER.format(python=sys.executable))
    recorder.chmod(0o755)
    said.write_text("")
    environment = {**os.environ, "PYTHON": str(recorder), "SAID": str(said)}
    command = ["bash", str(ROOT / "scripts/long_ways.sh"), *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, [json.loads(line) for line in said.read_text().splitlines()]


def test_every_command_is_understood(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    code, commands = asked(tmp_path, str(tmp_path / "out"))
    assert code == 0 and len(commands) == 11
    shared = []
    for program, *words in commands:
        if program == "infer.py":
            assert infer([*words, "--dry_run"]) == 0, capsys.readouterr().err
            assert capsys.readouterr().out.count("\n- a ") == 16  # the prompts of its configuration
        elif program == "tools/compare_long.py":
            args = compare_long.parser().parse_intermixed_args(words)
            assert len(args.prompts) == 16 and args.clips in ([4, 8], [4])
            shared.append("clip_parallel.shared_low=0.125" in args.overrides)
            plan = [f"weights={args.weights}", "clips=4", "prompt=a", *args.overrides, "--dry_run"]
            assert infer(["pipeline=clip_parallel", *plan]) == 0, capsys.readouterr().err
        else:
            args = evaluate_long.parser().parse_args(words)
            assert all(folder.is_dir() for folder in args.folders)
    assert shared == [False, True, True]


def test_what_is_there_is_not_made_again(tmp_path):
    folder = str(tmp_path / "out")
    first, again = (asked(tmp_path, folder, "hierarchy")[1] for _ in range(2))
    assert [c[0] for c in first].count("infer.py") == 5
    assert [c[0] for c in again] == ["tools/evaluate_long.py"] * 3


@pytest.mark.parametrize("words", [[], ["out", "other"]])
def test_other_words_get_the_usage(tmp_path, words):
    assert asked(tmp_path, *words) == (2, [])

"""scripts/long_ways.sh asks for nothing that the programs refuse, and makes nothing twice."""

import pytest
from recorded_scripts import ROOT, asked

from mindlong.cli import compare_long, evaluate_long
from mindlong.cli.infer import main as infer

SCRIPT = "long_ways.sh"


def test_every_command_is_understood(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    code, commands = asked(SCRIPT, tmp_path, str(tmp_path / "out"))
    assert code == 0 and len(commands) == 11
    shared = []
    for program, *words in commands:
        if program == "infer.py":
            assert infer([*words, "--dry_run"]) == 0, capsys.readouterr().err
            assert capsys.readouterr().out.count("\n- a ") == 16  # the prompts of its configuration
        elif program == "tools/compare_long.py":
            args = compare_long.parser().parse_intermixed_args(words)
            assert len(args.prompts) == 16 and args.clips == [4, 8]
            shared.append("clip_parallel.shared_low=0.125" in args.overrides)
            plan = [f"weights={args.weights}", "clips=4", "prompt=a", *args.overrides, "--dry_run"]
            assert infer(["pipeline=clip_parallel", *plan]) == 0, capsys.readouterr().err
        else:
            args = evaluate_long.parser().parse_args(words)
            assert all(folder.is_dir() for folder in args.folders)
    assert shared == [False, True, True]


def test_what_is_there_is_not_made_again(tmp_path):
    folder = str(tmp_path / "out")
    first, again = (asked(SCRIPT, tmp_path, folder, "hierarchy")[1] for _ in range(2))
    assert [c[0] for c in first].count("infer.py") == 5
    assert [c[0] for c in again] == ["tools/evaluate_long.py"] * 3


def test_every_word_is_a_part(tmp_path):
    code, commands = asked(SCRIPT, tmp_path, str(tmp_path / "out"), "clips", "hierarchy")
    programs = [program for program, *_ in commands]
    assert code == 0 and programs.count("tools/compare_long.py") == 3
    assert programs[3:].count("infer.py") == 5 and programs[-1] == "tools/evaluate_long.py"


@pytest.mark.parametrize(
    "words", [[], [""], ["--help"], ["out", "other"], ["out", "clips", "other"]]
)
def test_other_words_get_the_usage(tmp_path, words):
    assert asked(SCRIPT, tmp_path, *words) == (2, [])

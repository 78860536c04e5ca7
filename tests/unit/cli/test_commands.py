"""The commands of an installation: every one is there, starts and names itself as it was called."""

import ast
import runpy
import sys
from pathlib import Path

import pytest

from mindlong.cli import commands, console
from mindlong.cli.guard import start

ROOT = Path(__file__).parents[3]
MODULES = sorted(
    path.stem
    for path in (ROOT / "mindlong" / "cli").glob("*.py")
    if "\ndef main(" in path.read_text()
)


def in_setup():
    tree = ast.parse((ROOT / "setup.py").read_text())
    (names,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "COMMANDS"
    )
    return sorted(names)


def test_every_command_is_installed_and_has_a_script():
    assert MODULES == in_setup() == sorted(commands.SCRIPTS)
    assert all(callable(getattr(console, name)) for name in MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_a_script_starts_its_own_command(module, monkeypatch):
    asked = []
    monkeypatch.setattr("mindlong.cli.guard.start", asked.append)
    with pytest.raises(SystemExit):
        runpy.run_path(str(ROOT / commands.SCRIPTS[module]), run_name="__main__")
    assert asked == [module]


@pytest.mark.parametrize("module", MODULES)
def test_an_installed_command_helps_in_its_own_words(module, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [f"/usr/bin/{commands.console(module)}", "--help"])
    with pytest.raises(SystemExit) as left:
        getattr(console, module)()
    said = capsys.readouterr().out
    assert left.value.code == 0 and said.startswith(f"usage: {commands.console(module)}")
    assert "python tools/" not in said and "python infer.py" not in said


@pytest.mark.parametrize("module", MODULES)
def test_a_command_of_a_checkout_helps_with_its_scripts(module, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [commands.SCRIPTS[module], "--help"])
    with pytest.raises(SystemExit):
        start(module)
    script = commands.SCRIPTS[module]
    assert capsys.readouterr().out.startswith(f"usage: {Path(script).name}")


@pytest.mark.parametrize("module", MODULES)
def test_arguments_that_are_not_understood_are_one_sentence(module, capsys):
    assert start(module, ["--no_such_option"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and len(said.splitlines()) == 1


def test_a_refusal_of_an_installed_command_names_installed_commands(monkeypatch):
    said = "tools/chop_video.py --index writes it; or python infer.py, or python their.py"
    assert commands.as_started(said) == said
    monkeypatch.setattr(sys, "argv", ["/usr/bin/mindlong-train"])
    assert (
        commands.as_started(said)
        == "mindlong-chop --index writes it; or mindlong-infer, or python their.py"
    )

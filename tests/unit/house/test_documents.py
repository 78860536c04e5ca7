"""What the documents tell people to type is understood, and what they point to is there."""

import argparse
import glob
import os
import re
import runpy
import shlex
from pathlib import Path

import pytest

from mindlong.config.infer_schema import InferConfig
from mindlong.config.load import load
from mindlong.config.schema import TrainConfig

ROOT = Path(__file__).parents[3]
PAGES = [
    *("README.md", "CONTRIBUTING.md", "SECURITY.md"),
    *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/*.md")),
    *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("mindlong/weights/*/README.md")),
]
COMMAND = re.compile(
    r"(?:[A-Z_]+=\S+ )*(?:mpirun -n \d+ )?(?:python |bash )?(infer\.py|train\.py|tools/\w+\.py|scripts/run_(?:train|infer))"
)
WHOLE = re.compile(r"python |.*--config ")  # of those inside a sentence
ROOMS = (
    *(
        "app",
        "checkpoints",
        "cli",
        "config",
        "configs",
        "data",
        "diffusion",
        "docs",
        "face",
        "media",
    ),
    *(
        "mindlong",
        "networks",
        "ops",
        "parallel",
        "pipelines",
        "plans",
        "scores",
        "scripts",
        "tests",
    ),
    *("tools", "training", "utils"),
)
FILE = re.compile(rf"(?<![\w/.<-])((?:{'|'.join(ROOMS)})/[\w./{{}},*-]+)")
FOREIGN = {"tools/tikicpulib"}  # a folder of CANN
LINK = re.compile(r"\]\(([^)\s]+)\)")
FILES = (".yaml", ".json")
ASKED = {"-h", "--help", "--from"}  # nothing to be read from the words alone


class Parsed(BaseException):
    """The arguments of a tool were understood; nothing is done."""


def fenced(page):
    """(line, whether in a block of code, text) of a page."""
    inside = False
    for number, line in enumerate((ROOT / page).read_text().splitlines(), 1):
        if line.startswith("```"):
            inside = not inside
            continue
        yield number, inside, line


def commands(page):
    """The words of every command, lines that go on put together."""
    held = ""
    for number, inside, line in fenced(page):
        if not inside:
            for said in re.findall(r"`([^`]+)`", line):
                yield from words(number, said) if WHOLE.match(said) else ()
            continue
        held = f"{held} {line.strip()}".strip()
        if held.endswith("\\"):
            held = held[:-1]
            continue
        try:
            shlex.split(held, comments=True)
        except ValueError:  # a quote is open
            continue
        yield from words(number, held)
        held = ""


def words(number, said):
    """The words of a command of ours, without what starts it and what comes after it; of one that
    leaves something out none.
    """
    if not COMMAND.match(said) or " ..." in said:
        return
    found = shlex.split(said, comments=True)
    while "=" in found[0] and found[0].split("=")[0].isupper():
        found = found[1:]
    found = found[3:] if found[0] == "mpirun" else found
    found = found[1:] if found[0] in ("python", "bash") else found
    end = [i for i, word in enumerate(found) if word in (";", "|", "&&", ">", "2>&1")]
    yield number, found[: end[0]] if end else found


def configured(given, schema):
    """Read a configuration as the command does, where its files come with us."""
    base, pairs, rest = None, [], iter(given)
    for word in rest:
        if word == "--config":
            base = next(rest)
        elif not word.startswith("-"):
            pairs.append(word)
    files = [word for word in (base or "", *pairs) if word.endswith(FILES)]
    mine = all((ROOT / file.rpartition("=")[2]).exists() or "configs/" in file for file in files)
    if given and mine and base not in ("list", "CONFIG") and not ASKED & set(given):
        load(base, pairs, schema)


def understood(found, monkeypatch):
    """Raises what a command would say to its arguments."""
    program, given = found[0], found[1:]
    if program == "infer.py" or program == "train.py":
        configured(given, InferConfig if program == "infer.py" else TrainConfig)
    elif program.startswith("scripts/"):
        schema = InferConfig if "infer" in program else TrainConfig
        configured(["--config", *given], schema) if given else None
    elif given:
        assert (ROOT / program).is_file(), f"{program} is not there"
        monkeypatch.setattr("sys.argv", [program, *given])
        with pytest.raises(Parsed):
            runpy.run_path(str(ROOT / program), run_name="__main__")


@pytest.fixture
def parsing(monkeypatch):
    """Tools end when they have read their arguments."""
    monkeypatch.chdir(ROOT)
    for name in ("parse_args", "parse_intermixed_args"):
        whole = getattr(argparse.ArgumentParser, name)

        def read(self, *given, whole=whole):
            whole(self, *given)
            raise Parsed

        monkeypatch.setattr(argparse.ArgumentParser, name, read)


@pytest.mark.parametrize("page", PAGES)
def test_commands_are_understood(page, parsing, monkeypatch):
    wrong = []
    for number, found in commands(page):
        try:
            understood(found, monkeypatch)
        except (Exception, SystemExit, pytest.fail.Exception) as error:
            wrong.append(f"{page}:{number}: {' '.join(found)[:120]}: {error}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("page", PAGES)
def test_files_and_headings_that_are_named_are_there(page):
    lost = []
    for number, _, line in fenced(page):
        for target in LINK.findall(line):
            if not target.startswith("http") and not linked(page, target):
                lost.append(f"{page}:{number}: {target}")
        for named in FILE.findall(line):
            lost += [
                f"{page}:{number}: {path}"
                for path in opened(named.rstrip(".,"))
                if path not in FOREIGN and not held(path)
            ]
    assert not lost, "\n".join(lost)


def opened(path):
    """The paths that `a/{b,c}.py` stands for."""
    several = re.fullmatch(r"(.*)\{([^}]*)\}(.*)", path)
    return [several[1] + x + several[3] for x in several[2].split(",")] if several else [path]


def held(path):
    """Paths of the package are named without it, modules without .py."""
    tries = [base + path + end for base in ("", "mindlong/", "docs/") for end in ("", ".py", ".md")]
    return any(glob.glob(str(ROOT / found)) for found in tries)


def linked(page, target):
    path, _, heading = target.partition("#")
    where = os.path.normpath(ROOT / os.path.dirname(page) / path) if path else str(ROOT / page)
    if not os.path.exists(where):
        return False
    return not heading or heading in headings(os.path.relpath(where, ROOT))


def headings(page):
    found = [
        line.lstrip("#").strip()
        for _, inside, line in fenced(page)
        if not inside and line[:1] == "#"
    ]
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in found}

"""The scripts find a Python that mindlong runs on: 3.10 to 3.12, under whatever name."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NAMES = ("python3.11", "python3.12", "python3.10", "python3", "python")


def fakes(folder: Path, **versions: tuple[int, int]) -> Path:
    """Programs that say they are a Python of that version; the other names are Python 3.9."""
    for name in NAMES:
        major, minor = versions.get(name.replace(".", "_"), (3, 9))
        code = f"import sys; sys.version_info = ({major}, {minor}, 0); exec(sys.argv[1])"
        file = folder / name
        file.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{code}" "$2"\n')
        file.chmod(0o755)
    return folder


def found(folder: Path, **environment: str) -> subprocess.CompletedProcess:
    script = f'source "{ROOT}/scripts/_setup.sh"; find_python'
    path = {"PATH": f"{folder}:/usr/bin:/bin", **environment}
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=path)


@pytest.mark.parametrize("minor", [10, 11, 12])
@pytest.mark.parametrize("name", ["own", "python3", "python"])
def test_each_python_that_mindlong_runs_on_is_found(tmp_path, minor, name):
    name = f"python3.{minor}" if name == "own" else name
    fakes(tmp_path, **{name.replace(".", "_"): (3, minor)})
    assert found(tmp_path).stdout.strip() == str(tmp_path / name)


@pytest.mark.parametrize("minor", [9, 13])
def test_others_are_refused_with_the_versions_that_do(tmp_path, minor):
    fakes(tmp_path, python3=(3, minor), python=(3, minor))
    done = found(tmp_path)
    assert done.returncode and "Python 3.10, 3.11 or 3.12" in done.stderr


def test_a_python_that_is_named_comes_first(tmp_path):
    fakes(tmp_path, python3_11=(3, 11), python3_12=(3, 12))
    chosen = str(tmp_path / "python3.12")
    assert found(tmp_path, PYTHON=chosen).stdout.strip() == chosen


def test_all_places_name_the_same_versions():
    setup, readme = (ROOT / "setup.py").read_text(), (ROOT / "README.md").read_text()
    assert 'python_requires=">=3.10,<3.13"' in setup
    assert re.search(r"Python 3\.10 to 3\.12", readme) and "no build for others" not in readme

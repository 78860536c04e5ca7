"""The scripts find a Python that mindlong runs on: 3.10 to 3.12, under whatever name."""

import os
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


def beside(folder: Path, script: str, **environment: str) -> list[str]:
    """What a script says that is started beside the environment `my env`."""
    env = {**os.environ, "MINDLONG_VENV": "my env", **environment}
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=False, cwd=folder, env=env
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_relative_environment_is_the_users_own_and_stays_when_the_script_goes_elsewhere(tmp_path):
    """As the scripts do, which work in the checkout."""
    (tmp_path / "my env/bin").mkdir(parents=True)
    python = tmp_path / "my env/bin/python"
    python.write_text('#!/bin/sh\necho "installs: $*"\n')
    python.chmod(0o755)
    script = f'source "{ROOT}/scripts/_setup.sh"; setup_python run; cd /; echo "$PY"; "$PY" a word'
    assert beside(tmp_path, script)[-2:] == [str(python), "installs: a word"]
    assert (tmp_path / "my env/.mindlong-run").exists()


def test_a_launched_run_has_a_relative_environment_too(tmp_path):
    (tmp_path / "my env/bin").mkdir(parents=True)
    (tmp_path / "my env/bin/python").symlink_to(sys.executable)
    (tmp_path / "my env/bin/msrun").write_text("#!/bin/sh\n")
    (tmp_path / "my env/bin/msrun").chmod(0o755)
    config = ROOT / "configs/train/vdm_shapes.yaml"
    script = (
        f'set -eu; ROOT={ROOT}; usage() {{ :; }}; source "{ROOT}/scripts/_launch.sh"; '
        f'prepare train.py {config}; echo "${{RUN[0]}}"'
    )
    assert beside(tmp_path, script, LAUNCHER="msrun")[-1] == str(tmp_path / "my env/bin/python")

"""mindlong from a wheel, in a folder of its own, without a checkout beside it."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TREE = ("mindlong", "configs", "setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")


def built(folder: Path) -> Path:
    """A wheel of the tree as it stands, made in a copy."""
    source = folder / "source"
    source.mkdir()
    for name in TREE:
        if (ROOT / name).is_dir():
            hidden = shutil.ignore_patterns("__pycache__", "build")
            shutil.copytree(ROOT / name, source / name, ignore=hidden)
        else:
            shutil.copyfile(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    words = ["wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(source)]
    subprocess.run([*pip, *words], check=True)
    return next(folder.glob("mindlong-*.whl"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return built(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory):
    """The folder that the wheel is installed in."""
    target = tmp_path_factory.mktemp("site")
    words = ["install", "--quiet", "--no-deps", "--no-index", "--target", str(target), str(wheel)]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, *words], check=True)
    return target


def run(site: Path, cwd: Path, command: str, *words: str) -> subprocess.CompletedProcess:
    env = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "2"}
    call = [sys.executable, str(site / "bin" / command), *words]
    return subprocess.run(call, cwd=cwd, env=env, capture_output=True, text=True)


def test_all_that_a_run_reads_is_in_the_wheel(wheel):
    inside = set(zipfile.ZipFile(wheel).namelist())
    wanted = [path for path in (ROOT / "configs").rglob("*") if path.is_file()]
    names = {f"mindlong/{path.relative_to(ROOT)}" for path in wanted}
    kept = (".safetensors", ".yaml", ".json", ".txt", ".csv", ".cc", ".h", ".cpp", ".py")
    for path in (ROOT / "mindlong").rglob("*"):
        if path.suffix in kept and "__pycache__" not in path.parts:
            names.add(str(path.relative_to(ROOT)))
    assert names - inside == set()
    assert not [name for name in inside if "__pycache__" in name or name.startswith("tests")]


def test_a_dry_run_by_name_in_an_empty_folder(site, tmp_path):
    done = run(site, tmp_path, "mindlong-infer", "--config", "quickstart_long", "--dry_run")
    assert done.returncode == 0, done.stderr
    assert "226 frames" in done.stdout and "pipeline: hierarchical" in done.stdout
    assert not list(tmp_path.iterdir())


def test_a_mistake_names_the_installed_commands(site, tmp_path):
    done = run(site, tmp_path, "mindlong-train", "--config", "quickstart_long", "--dry_run")
    assert done.returncode == 2 and "for mindlong-infer" in done.stderr


@pytest.mark.slow
def test_the_quickstart_makes_its_video(site, tmp_path):
    few = "hierarchical.level_steps=[4, 3]"
    done = run(site, tmp_path, "mindlong-infer", "--config", "quickstart_long", few)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("outputs/0001/*.mp4"))
    code = "import mindlong, sys; print(mindlong.__file__)"
    env = {**os.environ, "PYTHONPATH": str(site)}
    where = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True)
    assert where.stdout.decode().startswith(str(site))


@pytest.mark.slow
def test_every_installed_command_helps(site, tmp_path):
    for command in sorted((site / "bin").glob("mindlong-*")):
        done = run(site, tmp_path, command.name, "--help")
        assert done.returncode == 0 and command.name in done.stdout, done.stderr

"""The doctor names what is missing and what installs it, also where nothing is installed."""

import subprocess
import sys
from pathlib import Path

import pytest

from mindlong.cli import doctor

ROOT = Path(__file__).parents[3]


def test_here_nothing_is_missing(capsys):
    assert doctor.main([]) == 0
    out = capsys.readouterr().out
    assert "MISSING" not in out and "nothing is missing" in out
    for subject in (
        "python",
        "mindlong",
        "mindspore",
        "numpy",
        "ffmpeg",
        "memory",
        "cores",
        "cache",
    ):
        assert subject in out


def test_a_bare_python_is_told_every_library():
    """Without site-packages: what a fresh machine has."""
    command = [sys.executable, "-I", "-S", str(ROOT / "tools" / "doctor.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr == ""
    for name in ("mindspore==2.10.0", "tqdm", "imageio-ffmpeg"):
        assert any(
            line.strip().startswith("->") and name in line for line in done.stdout.split("\n")
        )
    assert "scripts/quickstart.sh" in done.stdout


@pytest.mark.parametrize(
    ("version", "bounds", "fits"),
    [
        ("1.26.4", ">=1.25,<2", True),
        ("2.0.0", ">=1.25,<2", False),
        ("2.10.0", "==2.10.0", True),
        ("2.10", "==2.10.0", True),
        ("2.9.0", "==2.10.0", False),
        ("4.9", ">=4.10", False),
        ("4.11.0.86", ">=4.8,<4.12", True),
        ("7.0rc1", ">=7", True),
        ("3.0", "!=3.0", False),
    ],
)
def test_versions_keep_within_bounds(version, bounds, fits):
    assert doctor._fits(version, bounds) is fits


def test_a_library_of_a_wrong_version_is_missing(monkeypatch):
    monkeypatch.setattr(doctor, "_required", lambda: ["numpy<1", "no-such-library>=2"])
    old, absent = doctor.libraries()
    assert old.kind == absent.kind == "missing"
    assert "numpy<1 is needed" in old.text and "no-such-library>=2" in absent.mend


def test_what_cannot_be_used_is_a_note(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    monkeypatch.setattr(doctor, "_is_writable", lambda folder: False)
    found = {finding.subject: finding for finding in (*doctor.compiler(), *doctor.room())}
    assert found["C++ compiler"].kind == found["cache"].kind == found["this folder"].kind == "note"
    assert "g++" in found["C++ compiler"].mend and "MINDLONG_CACHE" in found["cache"].mend
    assert found["this folder"].mend


def test_a_foreign_cache_is_said(monkeypatch, tmp_path):
    (tmp_path / "mindlong").mkdir(mode=0o777)
    (tmp_path / "mindlong").chmod(0o777)
    monkeypatch.setenv("MINDLONG_CACHE", str(tmp_path / "mindlong"))
    found = {finding.subject: finding for finding in doctor.compiler()}
    assert "can be written by other users" in found["cache"].text


def test_cards_without_cann_are_missing_something(monkeypatch, tmp_path):
    for name in ("davinci0", "davinci1", "davinci_manager"):
        (tmp_path / name).touch()
    monkeypatch.setattr(doctor, "NPUS", tmp_path)
    monkeypatch.setenv("ASCEND_HOME_PATH", str(tmp_path / "nowhere"))
    cards, cann = doctor.devices()
    assert "2 Ascend NPU: davinci0, davinci1" in cards.text and cann.kind == "missing"
    (tmp_path / "cann").mkdir()
    (tmp_path / "cann" / "version.cfg").write_text("runtime_running_version=[7.0.0:8.1.RC1]\n")
    monkeypatch.setenv("ASCEND_HOME_PATH", str(tmp_path / "cann"))
    assert "7.0.0" in list(doctor.devices())[1].text


def test_a_python_that_is_too_new_is_said(monkeypatch):
    monkeypatch.setattr(doctor, "PYTHONS", ((3, 1), (3, 2)))
    assert next(doctor.python()).kind == "missing"


def test_a_program_that_does_not_answer_is_said(tmp_path):
    assert "does not answer" in doctor._answer([str(tmp_path / "none")])


@pytest.mark.parametrize(
    ("flags", "said"),
    [("fpu amx_bf16 amx_tile avx512_bf16", True), ("fpu avx512_bf16", False), ("", False)],
)
def test_a_processor_with_tiles_is_named(monkeypatch, tmp_path, flags, said):
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags : {flags}\n")
    monkeypatch.setattr(doctor, "CPU", tmp_path / "cpuinfo")
    cores = next(finding for finding in doctor.room() if finding.subject == "cores")
    assert ("env.bf16=true" in cores.text) is said

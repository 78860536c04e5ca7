"""`tools/benchmark.py --work growth`: a row for each size, in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[3] / "tools"))

from bench import growth  # noqa: E402

ROW = {"q1": 1.0, "q3": 1.0, "first": 2.0, "memory_mb": 900}


def test_the_power_is_that_of_the_size_since_the_row_before():
    sizes = [("frames", 16, 64, 1.0), ("frames", 32, 64, 2.0), ("side", 16, 128, 4.0)]
    rows = [dict(zip(("grows", "frames", "side", "seconds"), s, strict=True)) | ROW for s in sizes]
    rows.append({**rows[-1], "side": 256, "seconds": 64.0})
    powers = [line.split("|")[-2].strip() for line in growth.table(rows).splitlines()[2:]]
    assert powers == ["", "1.00", "", "2.00"]  # by frames, then by pixels: 16 times for 4


def test_a_size_that_does_not_run_is_named(monkeypatch, tmp_path):
    program = tmp_path / "benchmark.py"
    program.write_text("raise SystemExit('too small')")
    monkeypatch.setattr(growth, "BENCHMARK", program)
    with pytest.raises(SystemExit, match="16 frames of side 64: too small"):
        growth.measure("side", 1, 1, 1)


@pytest.mark.slow
def test_every_size_is_measured_and_one_kind_can_be_chosen(monkeypatch):
    monkeypatch.setattr(growth, "SIDES", (32, 64))
    monkeypatch.setattr(growth, "SIZES", ((2, 32), (4, 32), (2, 64)))
    rows = growth.measure("side", 2, 1, 1)
    assert [(r["grows"], r["frames"], r["side"]) for r in rows] == [
        ("frames", 2, 32),
        ("side", 2, 64),
    ]
    assert all(0 < r["q1"] <= r["seconds"] <= r["q3"] < r["first"] for r in rows)
    assert all(r["memory_mb"] > 200 for r in rows)


def test_mindlong_is_not_timed_against_itself():
    command = [sys.executable, str(growth.BENCHMARK), "unet_sd", "--peer", "float32"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "--bf16" in done.stderr

"""kill -9 at several points of a run; the same command leaves what an undisturbed run leaves."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SMALL = ["env.mode=pynative", "env.native=off", "sample.steps=3", "formats=[gif]"]
RUNS = {
    "text_to_video": [
        *("pipeline=text_to_video", "weights=shipped:latent_shapes", "size=[24,24]", "frames=4"),
        *("batch=2", "prompts=[a red circle, a green square, a blue triangle]"),
    ],
    "interpolate": [
        *("pipeline=interpolate", "weights=shipped:interpolation_shapes", "size=[24,24]"),
        *("interpolate.keys=3", "interpolate.factors=[2,2]", "interpolate.window=3", "batch=1"),
        *("interpolate.key_weights=shipped:latent_shapes", "prompt=a red circle"),
    ],
    "clip_parallel": [
        *("pipeline=clip_parallel", "weights=shipped:latent_shapes", "size=[24,24]", "frames=8"),
        *("clip_parallel.clips=2", "clip_parallel.save_every=1", "prompt=a red circle"),
    ],
}


def begin(name, out):
    command = [sys.executable, "infer.py", *SMALL, *RUNS[name], f"output={out}"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def finished(name, out):
    process = begin(name, out)
    said = process.communicate(timeout=500)[0].decode()
    assert process.returncode == 0, said
    return {
        str(p.relative_to(out)): p.read_bytes() if p.suffix == ".gif" else arrays(p)
        for p in sorted((out / "0001").rglob("*"))
        if p.suffix in (".gif", ".npz", ".npy")
    }


def arrays(path):
    held = np.load(path)
    return held.tobytes() if path.suffix == ".npy" else b"".join(held[n].tobytes() for n in held)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_kills_leave_no_trace_in_the_result(name, tmp_path):
    expected = finished(name, tmp_path / "whole")
    assert expected
    out, kills = tmp_path / "killed", 0
    for pieces in (1, 2, 3):
        process = begin(name, out)
        while process.poll() is None and made(out) < pieces:
            time.sleep(0.01)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.communicate()
    assert kills >= 2
    assert finished(name, out) == expected
    assert [p.name for p in out.iterdir()] == ["0001"]
    assert not list(out.rglob("*.tmp*"))


def made(out):
    """Files of results and of what a run goes on from."""
    ends = (".npz", ".npy", ".gif", ".u8")
    return sum(p.suffix in ends and ".tmp" not in p.name for p in out.rglob("*"))

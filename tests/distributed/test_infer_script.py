"""scripts/run_infer_distributed.sh: two processes make the video of one, and one sentence for what
is missing.
"""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml
from jobs import environment
from latent_toys import folder

from mindlong.cli.infer import main

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "run_infer_distributed.sh"
CONFIG = {
    "pipeline": "clip_parallel",
    "prompts": ["a", "b"],
    "frames": 6,
    "size": [8, 12],
    "formats": ["gif"],
    "env": {"mode": "pynative", "native": "off"},
    "sample": {"sampler": "dpm_solver_sde", "steps": 3},
    "clip_parallel": {"clips": 3, "local": "window:3", "spread": "spread:2"},
}


def run(args, cwd, **env):
    base = {
        **environment()[0],
        "MINDLONG_VENV": "/nowhere",
        "LAUNCHER": "mpirun" if shutil.which("mpirun") else "msrun",
    }
    command = [shutil.which("bash"), str(SCRIPT), *map(str, args)]
    return subprocess.run(command, env=base | env, cwd=cwd, capture_output=True, text=True)


@pytest.mark.slow
def test_two_processes_make_the_video_of_one(tmp_path):
    folder(tmp_path / "weights", "videocrafter2")
    (tmp_path / "long.yaml").write_text(
        yaml.safe_dump({**CONFIG, "weights": str(tmp_path / "weights")})
    )
    done = run([tmp_path / "long.yaml", f"output={tmp_path / 'two'}"], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert main(["--config", str(tmp_path / "long.yaml"), f"output={tmp_path / 'one'}"]) == 0
    two, one = (
        np.load(tmp_path / name / "0001/latents/video.npz")["latents"] for name in ("two", "one")
    )
    assert np.array_equal(two, one)
    assert (tmp_path / "two/0001/video.gif").read_bytes() == (
        tmp_path / "one/0001/video.gif"
    ).read_bytes()
    record = json.loads((tmp_path / "two/0001/video.json").read_text())
    assert (
        record["processes"] == 2
        and record["sent"]["bytes"] > 0
        and len(list((tmp_path / "two").iterdir())) == 1
    )


@pytest.mark.parametrize(
    ("args", "env", "words"),
    [
        ([], {}, "no CONFIG given"),
        (["nowhere.yaml"], {}, "no configuration file at nowhere.yaml"),
        (["CONFIG"], {"NPROC": "two"}, "NPROC is 'two'"),
        (["CONFIG"], {"LAUNCHER": "mprun"}, "LAUNCHER is 'mprun'"),
    ],
)
def test_what_is_missing_is_one_sentence(tmp_path, args, env, words):
    (tmp_path / "c.yaml").write_text("{}")
    done = run([tmp_path / "c.yaml" if a == "CONFIG" else a for a in args], tmp_path, **env)
    assert done.returncode == 2 and words in done.stderr.splitlines()[-1]


def test_help_says_what_can_be_set(tmp_path):
    done = run(["--help"], tmp_path)
    assert done.returncode == 0 and "NPROC=2" in done.stdout and "LAUNCHER=mpirun" in done.stdout

"""The two commands, from a configuration to files that play."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mindlong.media.read import read_video

ROOT = Path(__file__).parents[2]
TEXT = "{encoder: caption, width: 16, heads: 2}"
MODEL = f"{{family: vdm, dim: 8, dim_mults: [1, 2], cond_dim: 16, attn_heads: 2, attn_dim_head: 8, text: {TEXT}}}"
CONFIG = f"""
model: {MODEL}
data: {{frames: 3, size: [16, 16]}}
diffusion: {{prediction: v, loss: l2, cond_drop: 0.1, timesteps: 20}}
train: {{steps: 4, batch_size: 2, save_every: 2, preview_every: 4, log_every: 1, lr: 0.001}}
preview: {{prompts: [a red circle moving right, a blue square moving up], sample: {{steps: 2, guidance: 2}}}}
"""


def run(script, *args, code=0):
    done = subprocess.run(
        [sys.executable, ROOT / script, *map(str, args)], capture_output=True, text=True
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    (folder / "tiny.yaml").write_text(CONFIG)
    done = run("train.py", "--config", folder / "tiny.yaml", f"run_dir={folder / 'run'}")
    return folder, done


def test_a_run_leaves_all_it_promises(trained):
    folder, done = trained
    run_dir = folder / "run"
    with (run_dir / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(r["step"]) for r in rows] == [1, 2, 3, 4]
    assert all(float(r["loss"]) > 0 and float(r["grad_norm"]) > 0 for r in rows)
    for name in (
        "config.yaml",
        "loss.png",
        "previews/step-00000004.gif",
        "previews/step-00000004.png",
        "log.txt",
    ):
        assert (run_dir / name).stat().st_size > 0
    for word in (
        "MindSpore",
        "world size",
        "seed",
        "trainable",
        "compiling the graph (first step)",
    ):
        assert word in done.stdout, word


def test_the_same_command_again_says_there_is_nothing_to_do(trained):
    folder, _ = trained
    before = (folder / "run" / "metrics.csv").read_bytes()
    done = run("train.py", "--config", folder / "tiny.yaml", f"run_dir={folder / 'run'}")
    assert (
        "nothing to do" in done.stdout and (folder / "run" / "metrics.csv").read_bytes() == before
    )


def test_infer_takes_a_run_folder_and_writes_files_that_play(trained):
    folder, _ = trained
    out = folder / "out"
    args = [
        f"weights={folder / 'run'}",
        "prompts=[a red circle moving right, a blue square moving up]",
        "sample.steps=2",
        "sample.guidance=2",
        f"output={out}",
        "batch=2",
        "seed=5",
    ]
    run("infer.py", *args)
    run("infer.py", *args, "batch=1")
    record = json.loads((out / "0001" / "video.json").read_text())
    assert [p["prompt"] for p in record["prompts"]] == [
        "a red circle moving right",
        "a blue square moving up",
    ]
    assert record["plan"]["shape_CFHW"] == [3, 3, 16, 16] and record["versions"]["mindlong"]
    for name in record["files"]:
        assert (out / "0001" / name).stat().st_size > 0
    mp4, _ = read_video(out / "0001" / "video-000.mp4")
    assert mp4.shape == (3, 16, 16, 3)
    one, two = (read_video(out / run / "video-001.gif")[0].astype(int) for run in ("0001", "0002"))
    assert abs(one - two).max() <= 1, "a video must not depend on the size of its batch"


def test_the_dry_runs_say_what_a_run_would_cost(trained):
    folder, _ = trained
    for script, args in (
        ("train.py", ["--config", folder / "tiny.yaml"]),
        ("infer.py", [f"weights={folder / 'run'}", "sample.steps=5"]),
    ):
        done = run(script, *args, "--dry_run")
        assert all(word in done.stdout for word in ("parameters", "FLOP", "peak memory", "plan")), (
            done.stdout
        )


@pytest.mark.parametrize(
    ("weights", "word"), [("shipped:nothing", "nothing"), ("no/such/folder", "no/such/folder")]
)
def test_weights_that_are_not_there_are_an_input_error(weights, word):
    done = run("infer.py", f"weights={weights}", code=3)
    assert word in done.stderr and "Traceback" not in done.stderr

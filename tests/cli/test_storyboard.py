"""The shipped twin of DynamiCrafter 512 interp: pictures in, a long video out."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import mindlong
from mindlong.cli.infer import main
from mindlong.data.shapes import ShapesWorld
from mindlong.media.read import read_image
from mindlong.scores.long_score import path_of, score
from mindlong.scores.seam_score import seams

ROOT = Path(__file__).parents[2]
CONFIG = str(ROOT / "configs/infer/quickstart_storyboard.yaml")
LOOK = ("circle", "square", "triangle"), ("red", "green", "blue", "yellow")


def test_the_dry_run_of_the_quickstart_says_lengths_and_rates(tmp_path, capsys):
    assert main(["--config", CONFIG, "--dry_run", f"output={tmp_path}"]) == 0
    said = capsys.readouterr().out
    assert "[2, 16, 16], 1 + 1 * 15 * 15 = 226" in said and "16 runs" in said
    assert "level 2: 24 frames a second, the network takes 24" in said
    assert "the network is used at" not in said  # 64x64 is its own size


def test_the_folder_is_small_and_names_the_shared_autoencoder():
    folder = ROOT / "mindlong/weights/storyboard_shapes"
    assert sum(p.stat().st_size for p in folder.glob("*.safetensors")) <= 2.6 * 2**20
    assert not (folder / "vae.safetensors").exists()
    assert "vae: shipped:base_shapes" in (folder / "config.yaml").read_text()


@pytest.fixture(scope="module")
def film():
    """A film that nothing was trained on, and what the twin makes of its ends."""
    clip = ShapesWorld((64, 64), 226, seed=41_000, speed=(0.0024, 0.0028)).clip(0)
    model = mindlong.load("shipped:storyboard_shapes", quiet=True)
    keys = {"hierarchical__images": list(clip.frames_FHWC[[0, -1]]), "frames": 226}
    keys |= {"hierarchical__level_steps": [1, 16, 4], "batch": 5, "fps": 24}
    keys |= {"level_strength": [1, 1, 0.15], "level_seams": ["free", "free", "fade"]}
    return clip, model.long(clip.caption, **keys).frames


@pytest.mark.slow
def test_two_pictures_become_226_frames_whose_joins_do_not_show(film):
    clip, made = film
    assert made.shape == clip.frames_FHWC.shape
    joins = range(15, 225, 15)
    found = score(made, clip.caption, joins, *LOOK)
    assert found.agreeing >= found.windows // 2 and found.moved > 15  # far corners are rounded
    assert found.join < 1.3, found  # 16 other videos: docs/long_real_video.md
    assert abs(seams(made, joins).contrast) < 0.02


@pytest.mark.slow
def test_the_object_goes_the_way_of_the_true_film(film):
    clip, made = film
    away = np.linalg.norm(path_of(made, *LOOK) - clip.truth.position_F2[:-1], axis=1)
    assert np.nanmean(away) < 1.5, np.nanmean(away)


@pytest.mark.slow
def test_a_killed_quickstart_goes_on_to_the_same_bits(tmp_path):
    line = [sys.executable, str(ROOT / "infer.py"), "--config", CONFIG, "level_steps=[2]"]
    line += ["formats=[frames]", "scale=1", "batch=2"]

    def start(out):
        return subprocess.Popen([*line, f"output={out}"], stdout=-3, stderr=-3, cwd=ROOT)

    assert start(tmp_path / "whole").wait() == 0
    for place in ("level1-node000000", "level2-node000004"):
        out = tmp_path / place
        victim, limit = start(out), time.monotonic() + 900
        while not list(out.glob(f"*/jobs/video/latents/{place}*")):
            assert victim.poll() is None and time.monotonic() < limit
            time.sleep(0.02)
        os.kill(victim.pid, signal.SIGKILL)
        victim.wait()
        assert start(out).wait() == 0
        whole, again = (next(p.glob("*/video.json")).parent for p in (tmp_path / "whole", out))
        assert json.loads((again / "video.json").read_text())["frames"] == 226
        for number in range(226):
            name = sorted(q.name for q in (whole / "video").glob("*.png"))[number]
            a, b = (read_image(folder / "video" / name) for folder in (whole, again))
            np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_two_processes_make_the_bits_of_one(tmp_path):
    line = ["bash", str(ROOT / "scripts/run_infer_distributed.sh"), CONFIG, "level_steps=[1]"]
    line += ["formats=[frames]", "scale=1", "batch=3"]
    venv = str(Path(sys.executable).parents[1])
    for processes in ("1", "2"):
        own = {**os.environ, "NPROC": processes, "MINDLONG_VENV": venv}
        subprocess.run([*line, f"output={tmp_path / processes}"], env=own, check=True, timeout=900)
    one, two = (next((tmp_path / p).glob("*/video.json")).parent for p in "12")
    names = sorted(p.name for p in (one / "video").glob("*.png"))
    assert len(names) == 226
    for name in names:
        a, b = (read_image(folder / "video" / name) for folder in (one, two))
        np.testing.assert_array_equal(a, b)
    assert (two / "jobs/video/journal-0001.jsonl").read_text().splitlines()

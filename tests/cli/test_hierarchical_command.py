"""infer.py with the hierarchical pipeline: plans without MindSpore, whole runs on tiny networks,
killed runs, two processes.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests/unit"))
import latent_toys  # noqa: E402

from mindlong.checkpoints.files import open_weights, write_safetensors  # noqa: E402
from mindlong.cli.infer import command, main  # noqa: E402
from mindlong.media.read import probe, read_video  # noqa: E402
from mindlong.networks.unet import control_spec as control  # noqa: E402
from mindlong.networks.unet import families  # noqa: E402

BRANCH = control.ControlSpec(hidden=4, fill="blend", told="place")


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """A pipeline's folder with a branch beside the networks, every number random."""
    folder = latent_toys.folder(tmp_path_factory.mktemp("toy") / "base")
    spec = families.family("modelscope").spec(**latent_toys.SIZES, entry_heads=2)
    arrays = {
        e.ours: 0.3 * latent_toys.drawn("control", e.ours, e.our_shape)
        for e in control.names(spec, BRANCH)
    }
    write_safetensors(folder / "branch.safetensors", arrays, {"control": json.dumps(vars(BRANCH))})
    return folder


def arguments(toy, out, *more):
    return [
        "pipeline=hierarchical",
        f"weights={toy}",
        "lengths=[4,4]",
        "size=[16,16]",
        "prompt=a circle",
        "sample.steps=2",
        "formats=[frames]",
        "batch=2",
        f"output={out}",
        *more,
    ]


def made(out):
    (folder,) = out.iterdir()
    return folder, json.loads((folder / "video.json").read_text())


@pytest.mark.parametrize(
    ("keys", "frames", "runs"),
    [
        (["lengths=[16,16]"], 226, 16),
        (["lengths=[16,16,16]"], 3376, 241),
        (["lengths=[6,6,6,6,6]"], 3126, 781),
        (["lengths=[]", "frames=7776"], 7776, None),
    ],
)
def test_the_plan_is_printed_in_under_a_second(toy, tmp_path, capsys, keys, frames, runs):
    start = time.process_time()
    assert main([*arguments(toy, tmp_path / "out", *keys), "--dry_run"]) == 0
    assert time.process_time() - start < 1
    said = capsys.readouterr().out
    assert f"{frames} frames" in said and (runs is None or f"{runs} runs" in said)
    assert "branch.safetensors" in said and not (tmp_path / "out").exists()


def test_the_plan_needs_no_mindspore(toy, tmp_path):
    code = (
        f"import sys; sys.argv = ['infer.py']; sys.path.insert(0, {str(ROOT)!r})\nfrom mindlong.cli.infer import main\n"
        f"main({[*arguments(toy, tmp_path / 'out'), '--dry_run']!r})\nassert 'mindspore' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120)


def test_a_video_is_made_and_the_same_command_makes_another(toy, tmp_path):
    words = ["level_videos=true", "env.mode=pynative"]
    assert command(arguments(toy, tmp_path / "out", *words)) == 0
    folder, record = made(tmp_path / "out")
    assert (record["frames"], record["runs"], len(read_video(folder / "video")[0])) == (10, 4, 10)
    assert probe(folder / "levels/video-level-0.mp4").frames == 4
    names = [
        json.loads(line)["job"]
        for line in (folder / "jobs/video/journal-0000.jsonl").read_text().splitlines()
    ]
    assert names == ["level0-node000000", *(f"level1-node{i:06d}" for i in range(3))]


@pytest.mark.slow
def test_pictures_are_the_ends_of_a_video_and_a_video_goes_on(toy, tmp_path):
    for name, colour in (("a", 40), ("b", 200)):
        Image.new("RGB", (16, 16), (colour,) * 3).save(tmp_path / f"{name}.png")
    assert (
        command(
            arguments(
                toy, tmp_path / "out", f"first={tmp_path / 'a.png'}", f"last={tmp_path / 'b.png'}"
            )
        )
        == 0
    )
    folder, record = made(tmp_path / "out")
    assert record["given"] == 2 and len(np.load(folder / "jobs/video/latents/given.npy")) == 2
    before, _ = read_video(folder / "video")
    assert command(arguments(toy, tmp_path / "more", f"video={folder / 'video'}", "overlap=1")) == 0
    again, record = made(tmp_path / "more")
    after, _ = read_video(again / "video")
    assert len(after) == record["frames"] == 19 and np.array_equal(after[:10], before)


RUN = """
import os, sys
sys.path.insert(0, {root!r})
from mindlong.pipelines import latents_on_disk
put, left = latents_on_disk.LatentFolder.put, [3]
def dying(self, job, latents):
    put(self, job, latents)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), 9)
latents_on_disk.LatentFolder.put = dying
from mindlong.cli.infer import main
main({arguments!r})
"""


@pytest.mark.slow
def test_kill_9_in_the_middle_then_the_same_bits(toy, tmp_path):
    keys = arguments(toy, tmp_path / "killed", "batch=1")
    child = subprocess.run(
        [sys.executable, "-c", RUN.format(root=str(ROOT), arguments=keys)],
        capture_output=True,
        timeout=400,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()[-2000:]
    assert command(keys) == 0 and command(arguments(toy, tmp_path / "whole", "batch=1")) == 0
    killed, whole = made(tmp_path / "killed")[0], made(tmp_path / "whole")[0]
    lines = (killed / "jobs/video/journal-0000.jsonl").read_text().splitlines()
    assert len(lines) == 4 and len({json.loads(line)["job"] for line in lines}) == 4
    for path in sorted((whole / "jobs/video/latents").iterdir()):
        assert np.array_equal(np.load(path), np.load(killed / "jobs/video/latents" / path.name)), (
            path.name
        )


@pytest.mark.slow
def test_two_processes_make_the_bits_of_one(toy, tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text("pipeline: hierarchical\n")
    for processes, name in ((1, "one"), (2, "two")):
        environment = {
            **os.environ,
            "NPROC": str(processes),
            "MINDLONG_VENV": str(Path(sys.executable).parents[1]),
        }
        subprocess.run(
            [
                "bash",
                str(ROOT / "scripts/run_infer_distributed.sh"),
                str(config),
                *arguments(toy, tmp_path / name)[1:],
            ],
            env=environment,
            check=True,
            timeout=900,
        )
    one, two = made(tmp_path / "one")[0], made(tmp_path / "two")[0]
    assert np.array_equal(read_video(one / "video")[0], read_video(two / "video")[0])
    assert len((two / "jobs/video/journal-0001.jsonl").read_text().splitlines()) >= 1


def test_without_a_branch_the_log_says_so_and_a_foreign_one_is_refused(toy, tmp_path, capsys):
    other = latent_toys.folder(tmp_path / "base")
    assert main([*arguments(other, tmp_path / "out"), "--dry_run"]) == 0
    assert "none: known frames are held to" in capsys.readouterr().out
    spec = families.family("modelscope").spec(
        **{**latent_toys.SIZES, "channels": (8, 16), "entry_heads": 2}
    )
    arrays = {e.ours: np.zeros(e.our_shape, np.float32) for e in control.names(spec, BRANCH)}
    write_safetensors(
        tmp_path / "b/branch.safetensors", arrays, {"control": json.dumps(vars(BRANCH))}
    )
    assert command(arguments(other, tmp_path / "out", f"branch={tmp_path / 'b'}")) == 3
    assert "do not fit the network" in capsys.readouterr().err
    assert "control" in open_weights(tmp_path / "b/branch.safetensors").metadata

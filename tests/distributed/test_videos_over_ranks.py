"""Independent videos dealt to processes: the bits of one process whatever their number, one sheet,
one record, and a run that a dead process ended goes on.
"""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from jobs import start, survivors
from latent_toys import folder

from mindlong.cli.infer import main
from mindlong.media.write import write_frames

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "run_infer_distributed.sh"
LAUNCHER = "mpirun" if shutil.which("mpirun") else "msrun"
COMMON = {
    "formats": ["gif", "png"],
    "size": [8, 8],
    "env": {"mode": "pynative", "native": "off", "threads": 1},
    "sample": {"steps": 2, "guidance": 2.0},
    "prompts": ["@prompts.csv", "a cat"],
}
CASES = {
    "pixel": {"weights": "shipped:vdm_shapes", "batch": 2, "size": [16, 16], "frames": 2},
    "text_to_video": {"weights": "modelscope", "frames": 2, "batch": 2},
    "edit": {"weights": "pictures", "frames": 3, "edit": {"video": "clip", "invert_steps": 2}},
    "extend": {
        "weights": "modelscope",
        "frames": 3,
        "extend": {"video": "clip", "run": 3},
    },
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("dealt")
    folder(root / "modelscope", "modelscope")
    folder(root / "pictures", "stable_diffusion")
    frames = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype(np.uint8)
    write_frames(root / "clip", frames)
    (root / "prompts.csv").write_text("prompt\na bird\na fish\n")
    for name, own in CASES.items():
        (root / f"{name}.yaml").write_text(yaml.safe_dump({"pipeline": name, **COMMON, **own}))
    return root


def job(place, name, processes, *more):
    command = ["env", f"LAUNCHER={LAUNCHER}", f"NPROC={processes}", "LOG_DIR=logs"]
    command += [f"MINDLONG_VENV={Path(sys.executable).parents[1]}", "bash", str(SCRIPT)]
    return start([*command, f"{name}.yaml", *more], place)


def content(made):
    """Every file by its bytes, but those that bear a time."""
    skipped = ("video.json", "log.txt", "config.yaml", "run.json", ".lock")
    found = {}
    for path in sorted(p for p in made.rglob("*") if p.is_file() and p.name not in skipped):
        name = str(path.relative_to(made))
        if path.suffix == ".npz":
            with np.load(path) as held:
                found |= {f"{name}/{key}": held[key].tobytes() for key in held}
        elif path.suffix == ".npy" or path.suffix in (".gif", ".png"):
            found[name] = path.read_bytes()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_one_two_and_three_processes_give_the_same_bytes(place, name, monkeypatch):
    monkeypatch.chdir(place)
    assert main(["--config", f"{name}.yaml", f"output=one/{name}"]) == 0
    want = content(place / "one" / name / "0001")
    record = json.loads((place / "one" / name / "0001/video.json").read_text())
    assert sum(key.endswith(".gif") for key in want) == 3 + (name == "edit")
    for processes in (2, 3):
        process, mark = job(place, name, processes, f"output=many{processes}/{name}")
        assert process.wait(timeout=300) == 0, (place / "output.txt").read_text()
        assert survivors(mark) == []
        made = place / f"many{processes}" / name / "0001"
        assert content(made) == want
        found = json.loads((made / "video.json").read_text())
        assert found["files"] == record["files"] and found["prompts"] == record["prompts"]
        assert not (made / ".work").exists()
        assert len(list(made.parent.iterdir())) == 1


@pytest.mark.slow
def test_a_dead_process_leaves_what_is_finished_and_the_rerun_goes_on(place):
    more = ("prompts=@many.txt", "output=dead", "batch=1", "formats=[gif]")
    (place / "many.txt").write_text("\n".join(f"prompt {n}" for n in range(14)))
    process, mark = job(place, "text_to_video", 2, *more)
    deadline, made = time.monotonic() + 120, place / "dead" / "0001"
    while len(list(made.glob("latents/[!.]*.npz"))) < 3:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    ranks = [pid for pid in survivors(mark) if rank_of(pid) == "1"]
    os.kill(ranks[0], signal.SIGKILL)
    assert process.wait(timeout=60) != 0
    finished = {p.name: p.stat().st_mtime_ns for p in made.glob("latents/[!.]*.npz")}
    assert 3 <= len(finished) < 14 and not (made / "video.json").exists()
    process, _ = job(place, "text_to_video", 3, *more)
    assert process.wait(timeout=300) == 0, (place / "output.txt").read_text()
    assert len(list(made.glob("*.gif"))) == 14 and (made / "video.json").exists()
    for name, modified in finished.items():
        assert (made / "latents" / name).stat().st_mtime_ns == modified
    assert len(list((place / "dead").iterdir())) == 1


def rank_of(pid):
    """The rank that a process was started with, if it is no launcher and no scheduler."""
    pairs = dict(
        p.partition("=")[::2] for p in Path(f"/proc/{pid}/environ").read_text().split("\0")
    )
    if "infer.py" not in Path(f"/proc/{pid}/cmdline").read_text():
        return None
    if pairs.get("MS_ROLE") == "MS_SCHED":
        return None
    return pairs.get("OMPI_COMM_WORLD_RANK") or pairs.get("MS_NODE_ID")

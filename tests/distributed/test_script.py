"""scripts/run_train_distributed.sh: one command from any folder, sentences for what is missing, a
request to stop.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from jobs import environment, start, survivors

from mindlong.checkpoints import saved_steps, store
from mindlong.training import metrics

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "run_train_distributed.sh"
CONFIG = """
model: {family: vdm, dim: 8, dim_mults: [1], attn_heads: 2, attn_dim_head: 8, cond_dim: 8,
        text: {encoder: caption, width: 8, layers: 1, heads: 2, length: 12}}
data: {kind: shapes, frames: 2, size: [16, 16]}
diffusion: {timesteps: 10, cond_drop: 0.5}
train: {steps: 6, batch_size: 4, save_every: 3, preview_every: 0, log_every: 1}
run_dir: run
"""


@pytest.fixture
def config(tmp_path):
    (tmp_path / "tiny.yaml").write_text(CONFIG)
    return tmp_path / "tiny.yaml"


@pytest.fixture
def tools(tmp_path):
    """A folder with what the script needs of the system, and no mpirun."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("bash", "dirname", "id", "sed", "ps", "setsid"):
        (folder / name).symlink_to(shutil.which(name))
    (folder / "python").symlink_to(sys.executable)
    return folder


def run(args, folder, **env):
    base = {**environment()[0], "MINDLONG_VENV": "/nowhere"}
    command = [shutil.which("bash"), str(SCRIPT), *map(str, args)]
    return subprocess.run(command, env=base | env, cwd=folder, capture_output=True, text=True)


def test_without_openmpi_one_sentence_with_the_command(config, tools):
    done = run([config], config.parent, PATH=str(tools))
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "mpirun is not installed" in done.stderr and "apt-get install openmpi-bin" in done.stderr


@pytest.mark.parametrize(
    "args, env, code, words",
    [
        ([], {}, 2, "no CONFIG given"),
        (["missing.yaml"], {}, 2, "no configuration file at missing.yaml"),
        (["tiny.yaml"], {"NPROC": "two"}, 2, "NPROC is 'two'; it must be a whole number"),
        (["tiny.yaml"], {"NPROC": "0"}, 2, "NPROC is '0'"),
        (
            ["tiny.yaml"],
            {"LAUNCHER": "slurm"},
            2,
            "LAUNCHER is 'slurm'; it must be mpirun or msrun",
        ),
    ],
)
def test_wrong_words_are_one_sentence(config, args, env, code, words):
    done = run(args, config.parent, **env)
    assert done.returncode == code and words in done.stderr.splitlines()[-1]


def test_help_names_every_switch():
    done = run(["--help"], ROOT)
    assert done.returncode == 0 and all(
        w in done.stdout for w in ("NPROC", "LAUNCHER", "LOG_DIR", "CONFIG")
    )


def script(config, launcher, *pairs):
    """Start the script from the folder of `config`; returns the job and its mark."""
    venv = Path(sys.executable).parents[1]
    command = [
        "env",
        f"LAUNCHER={launcher}",
        f"MINDLONG_VENV={venv}",
        "LOG_DIR=logs",
        "bash",
        str(SCRIPT),
    ]
    return start([*command, config.name, *pairs], config.parent)


LAUNCHERS = [name for name in ("mpirun", "msrun") if name == "msrun" or shutil.which(name)]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_stopped_job_goes_on_and_equals_one_process(config, launcher, number):
    folder = config.parent
    process, mark = script(config, launcher, "train.steps=100000")
    deadline = time.monotonic() + 300
    while not (folder / "run" / "checkpoints").exists():
        assert process.poll() is None and time.monotonic() < deadline, (
            folder / "output.txt"
        ).read_text()
        time.sleep(0.2)
    os.kill(process.pid, number)
    assert process.wait(timeout=60) == 128 + number, (folder / "output.txt").read_text()
    time.sleep(1)
    assert survivors(mark) == []
    step = int(saved_steps.latest(folder / "run").name[5:])
    assert step >= 3 and any((folder / "logs").rglob("*"))
    more = f"train.steps={step + 4}"
    process, _ = script(config, launcher, more)
    assert process.wait(timeout=300) == 0, (folder / "output.txt").read_text()
    alone = [sys.executable, str(ROOT / "train.py"), "--config", config.name, more, "run_dir=alone"]
    subprocess.run(alone, cwd=folder, check=True, capture_output=True)
    two, one = (store.load(saved_steps.latest(folder / name)) for name in ("run", "alone"))
    assert two.state["step"] == one.state["step"] == step + 4
    for name, value in one.files["network"].items():
        np.testing.assert_allclose(
            two.files["network"][name], value, rtol=0, atol=2e-5, err_msg=name
        )
    rows = [metrics.read(folder / name / "metrics.csv") for name in ("run", "alone")]
    losses = [[float(row["loss"]) for row in r] for r in rows]
    assert len(losses[0]) == step + 4
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_rank_killed_under_the_script_ends_it(config, launcher):
    folder = config.parent
    process, mark = script(config, launcher, "train.steps=100000")
    deadline = time.monotonic() + 300
    while not (folder / "run" / "checkpoints").exists():
        assert process.poll() is None and time.monotonic() < deadline, (
            folder / "output.txt"
        ).read_text()
        time.sleep(0.2)
    ranks = [pid for pid in survivors(mark) if rank_of(pid) == "1"]
    assert len(ranks) == 1
    os.kill(ranks[0], signal.SIGKILL)
    begun = time.monotonic()
    assert process.wait(timeout=60) != 0 and time.monotonic() - begun < 30
    while survivors(mark) and time.monotonic() - begun < 30:
        time.sleep(0.1)
    assert survivors(mark) == []


def rank_of(pid):
    """The rank in the environment a process was started with, None for launchers and the
    scheduler.
    """
    pairs = dict(
        p.partition("=")[::2] for p in Path(f"/proc/{pid}/environ").read_text().split("\0")
    )
    if (
        "train.py" not in Path(f"/proc/{pid}/cmdline").read_text()
        or pairs.get("MS_ROLE") == "MS_SCHED"
    ):
        return None
    return pairs.get("OMPI_COMM_WORLD_RANK") or pairs.get("MS_NODE_ID")


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["scheduler", "0", "1"])
def test_the_death_of_any_process_ends_the_job_and_the_same_command_goes_on(config, victim):
    folder = config.parent
    process, mark = script(config, LAUNCHERS[0], "train.steps=100000")
    saved(process, folder)
    wanted = [pid for pid in survivors(mark) if role_of(pid) == victim]
    assert len(wanted) == 1
    os.kill(wanted[0], signal.SIGKILL)
    begun = time.monotonic()
    assert process.wait(timeout=60) != 0 and time.monotonic() - begun < 20
    while survivors(mark) and time.monotonic() - begun < 20:
        time.sleep(0.1)
    assert survivors(mark) == []
    said = "".join(p.read_text() for p in (folder / "logs").rglob("std*") if p.is_file())
    assert (
        victim != "scheduler" or "scheduler has ended" in said + (folder / "output.txt").read_text()
    )
    step = int(saved_steps.latest(folder / "run").name[5:])
    process, _ = script(config, LAUNCHERS[0], f"train.steps={step + 1}")
    assert process.wait(timeout=300) == 0, (folder / "output.txt").read_text()
    assert saved_steps.latest(folder / "run").name == f"step-{step + 1:08d}"


@pytest.mark.slow
def test_a_rank_that_is_held_for_a_minute_costs_a_minute(config):
    folder = config.parent
    process, mark = script(config, LAUNCHERS[0], "train.steps=100000")
    saved(process, folder)
    held = next(pid for pid in survivors(mark) if role_of(pid) == "1")
    os.kill(held, signal.SIGSTOP)
    try:
        time.sleep(60)
        before = saved_steps.latest(folder / "run").name
        assert process.poll() is None, (folder / "output.txt").read_text()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(held, signal.SIGCONT)
    deadline = time.monotonic() + 60
    while saved_steps.latest(folder / "run").name == before:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.5)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(timeout=60) == 143


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_two_jobs_at_once_on_one_machine(config, launcher):
    jobs = [script(config, launcher, f"run_dir=run{k}", f"train.seed={k}") for k in range(2)]
    for process, _ in jobs:
        assert process.wait(timeout=300) == 0, (config.parent / "output.txt").read_text()
    steps = [store.load(saved_steps.latest(config.parent / f"run{k}")).state for k in range(2)]
    assert [(s["step"], s["seed"], s["world_size"]) for s in steps] == [(6, 0, 2), (6, 1, 2)]


@pytest.mark.slow
def test_two_trainers_in_one_folder(config):
    folder = config.parent
    first, _ = script(config, LAUNCHERS[0], "train.steps=100000")
    saved(first, folder)
    alone = [sys.executable, str(ROOT / "train.py"), "--config", config.name, "train.steps=100000"]
    second = subprocess.run(alone, cwd=folder, capture_output=True, text=True)
    assert second.returncode == 1 and "is trained in by process" in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1
    os.kill(first.pid, signal.SIGTERM)
    assert first.wait(timeout=60) == 143


def saved(process, folder):
    """Wait for the first checkpoint."""
    deadline = time.monotonic() + 300
    while saved_steps.latest(folder / "run") is None:
        assert process.poll() is None and time.monotonic() < deadline, (
            folder / "output.txt"
        ).read_text()
        time.sleep(0.2)


def role_of(pid):
    """ "scheduler", or the rank of a process, by the environment it was started with."""
    pairs = dict(
        p.partition("=")[::2] for p in Path(f"/proc/{pid}/environ").read_text().split("\0")
    )
    if pairs.get("MS_ROLE") == "MS_SCHED":
        return "scheduler"
    command = Path(f"/proc/{pid}/cmdline").read_text()
    parent = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1]
    above = Path(f"/proc/{parent}/cmdline").read_text()
    watcher = "train.py" in above and not any(launcher in above for launcher in LAUNCHERS)
    if "train.py" not in command or "mpirun" in command or watcher:
        return None
    return pairs.get("OMPI_COMM_WORLD_RANK") or pairs.get("MS_NODE_ID")

"""Several machines, for which network namespaces stand: bits of one machine, a machine that is cut
off or fails ends the job on all, and nothing listens where it was not asked to.
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
from hosts import CAN, hosts
from jobs import RANKS, launcher, start, survivors
from latent_toys import folder as latent_folder

from mindlong.cli.infer import main

ROOT = Path(__file__).parents[2]
LAUNCHERS = [name for name in ("mpirun", "msrun") if name == "msrun" or shutil.which(name)]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CAN, reason="needs root and iproute2, to stand machines up"),
]
TOY = (
    'ROOT={here}; usage() {{ :; }}; . {root}/scripts/_launch.sh; prepare host_ranks.py tiny.yaml "$@"; '
    'exec "${{COMMAND[@]}}"'
)


@pytest.fixture
def place(tmp_path):
    (tmp_path / "tiny.yaml").write_text("{}")
    return tmp_path


def begin(net, launcher_name, command, folder, counts=(1, 1)):
    """Start a job on all machines, as many processes on each as `counts` says; returns the
    processes that were started here, and the job's mark.
    """
    common = {"MINDLONG_VENV": str(Path(sys.executable).parents[1]), "LAUNCHER": launcher_name}
    if launcher_name == "mpirun":
        places = ",".join(f"{net.address(n)}:{count}" for n, count in enumerate(counts, 1))
        sets = {**common, **net.agent, "HOSTS": places, "LOG_DIR": "logs"}
        runs = [(1, sets)]
    else:
        sets = {**common, "NNODES": str(len(counts)), "MASTER_ADDR": net.address(1)}
        runs = [
            (n, {**sets, "NODE_RANK": str(n - 1), "NPROC": str(count), "LOG_DIR": f"logs{n}"})
            for n, count in enumerate(counts, 1)
        ]
    jobs = []
    for n, given in runs:
        words = ["env", *(f"{k}={v}" for k, v in given.items()), *command]
        (folder / str(n)).mkdir(exist_ok=True)
        jobs.append(
            start(net.on(n, "sh", "-c", f'cd {folder}; exec "$@"', "sh", *words), folder / str(n))
        )
    return jobs


def toy(case, folder):
    script = TOY.format(here=Path(__file__).parent, root=ROOT)
    return ["bash", "-euc", script, "bash", case, str(folder)]


def said(folder):
    """All that was printed."""
    files = [*folder.glob("*/output.txt"), *folder.glob("logs*/**/*")]
    return "\n".join(p.read_text(errors="replace") for p in files if p.is_file())


def finish(jobs, folder, timeout):
    """The exit codes; everything that was started must be gone soon after."""
    end = time.monotonic() + timeout
    codes = [process.wait(timeout=max(end - time.monotonic(), 1)) for process, _ in jobs]
    while left(jobs) and time.monotonic() < end:
        time.sleep(0.2)
    assert not left(jobs), said(folder)
    return codes


def left(jobs):
    return [pid for _, mark in jobs for pid in survivors(mark)]


def under_way(jobs, folder, ranks, timeout=300):
    """Wait until all ranks train; returns their process numbers."""
    files = [folder / f"pid{rank}" for rank in range(ranks)]
    end = time.monotonic() + timeout
    while not all(f.exists() and f.read_text() for f in files):
        assert all(p.poll() is None for p, _ in jobs) and time.monotonic() < end, said(folder)
        time.sleep(0.2)
    return [int(f.read_text().split()[0]) for f in files]


@pytest.mark.parametrize("name", LAUNCHERS)
def test_two_hosts_train_the_bits_of_one(place, name):
    """The test of .ci/run."""
    with hosts(place, 2) as net:
        listening = [set(), set()]
        jobs = begin(net, name, toy("where,equal", place), place)
        end = time.monotonic() + 400
        while any(p.poll() is None for p, _ in jobs) and time.monotonic() < end:
            for n in (1, 2):
                listening[n - 1] |= net.listening(n)
            time.sleep(0.3)
        assert finish(jobs, place, 30) == [0] * len(jobs), said(place)
        allowed = [f"{net.address(n)}:" for n in (1, 2)]
    where = [json.loads((place / f"where{rank}.json").read_text()) for rank in range(2)]
    assert [w[0] for w in where] == [f"{net.prefix}1", f"{net.prefix}2"]
    assert [w[1:3] for w in where] == [[0, 1], [0, 1]] and where[0][3] != where[1][3]
    for own, address in zip(listening, allowed, strict=True):
        foreign = {a for a in own if not a.startswith(("127.", address))}
        # mpirun's daemons listen everywhere on one port each; nothing else does
        assert len(foreign) <= (name == "mpirun"), foreign
    alone = place / "one"
    alone.mkdir()
    process, _ = start([*launcher(alone), str(RANKS), "equal", str(alone)], alone)
    assert process.wait(timeout=300) == 0, (alone / "output.txt").read_text()
    for rank in range(2):
        two, one = (np.load(f / f"rank{rank}.npz") for f in (place, alone))
        assert set(two) == set(one)
        assert all(np.array_equal(two[k], one[k]) for k in two)
    assert not list(place.glob(".mindlong_*"))


@pytest.mark.parametrize("name", LAUNCHERS)
def test_two_hosts_make_the_videos_of_one_process(place, name, monkeypatch):
    latent_folder(place / "weights", "modelscope")
    config = {
        "pipeline": "text_to_video",
        "weights": "weights",
        "prompts": ["a cat", "a dog", "a bird"],
        "batch": 1,
        "frames": 2,
        "size": [8, 8],
        "formats": ["gif", "png"],
        "env": {"mode": "pynative", "native": "off", "threads": 1},
        "sample": {"steps": 2},
    }
    (place / "t2v.yaml").write_text(yaml.safe_dump(config))
    script = ["bash", str(ROOT / "scripts/run_infer_distributed.sh"), "t2v.yaml", "output=two"]
    with hosts(place, 2) as net:
        jobs = begin(net, name, script, place)
        assert finish(jobs, place, 300) == [0] * len(jobs), said(place)
    monkeypatch.chdir(place)
    assert main(["--config", "t2v.yaml", "output=one"]) == 0
    for number in range(3):
        for file in (f"video-{number:03d}.gif", "contact_sheet.png"):
            assert (place / "two/0001" / file).read_bytes() == (
                place / "one/0001" / file
            ).read_bytes()


@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_host_that_is_cut_off_ends_the_job_everywhere(place, name):
    with hosts(place, 2) as net:
        jobs = begin(net, name, toy("endless", place), place)
        under_way(jobs, place, 2)
        net.link(2, "down")
        begun = time.monotonic()
        codes = finish(jobs, place, 60)
        print(f"link down, {name}: {time.monotonic() - begun:.1f} s")
        assert all(codes), said(place)
        told = said(place)
        ours = "the connection to" in told and "goes on from there" in told
        assert ours or "lost communication with a remote daemon" in told  # mpirun noticed first


@pytest.mark.parametrize("name", LAUNCHERS)
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_rank_ends_the_job_on_both_hosts(place, name, victim):
    with hosts(place, 2) as net:
        jobs = begin(net, name, toy("endless", place), place)
        pids = under_way(jobs, place, 2)
        os.kill(pids[victim], signal.SIGKILL)
        begun = time.monotonic()
        codes = finish(jobs, place, 60)
        print(f"rank {victim} killed, {name}: {time.monotonic() - begun:.1f} s")
        assert all(codes), said(place)


@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_rank_that_fails_ends_the_others(place, name):
    with hosts(place, 2) as net:
        jobs = begin(net, name, toy("fails", place), place)
        begun = time.monotonic()
        codes = finish(jobs, place, 200)
        print(f"a rank failed, {name}: {time.monotonic() - begun:.1f} s from the start")
        assert all(codes) and "error: this one fails" in said(place), said(place)

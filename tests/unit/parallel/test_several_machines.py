"""Several machines: who is where, the connection between them, the command lines of the scripts."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_dealt import Ranks

from mindlong.checkpoints import inputs_everywhere
from mindlong.checkpoints.inputs_everywhere import check_same_files
from mindlong.parallel import lifeline, scheduler, shared_folder, world
from mindlong.parallel.shared_folder import check_shared
from mindlong.utils.errors import ConfigError, UserError

ROOT = Path(__file__).parents[3]
NAME = lifeline.name_of("a job")


@pytest.fixture
def linked():
    """The two ends of a lifeline."""
    port = scheduler.free_port("127.0.0.1")
    first = lifeline.listen("127.0.0.1", port, NAME)
    other = lifeline.connect("127.0.0.1", port, NAME, 5)
    until(lambda: first.broken(0.1) == "" and first.peers)
    yield first, other, port
    for line in (first, other):
        line.leave(well=False)


def until(holds, seconds=10):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end


def test_whoever_leaves_well_breaks_nothing(linked):
    first, other, _ = linked
    other.leave(well=True)
    until(lambda: first.broken(0.1) == "" and not first.peers)
    assert first.broken(0.05) == ""


@pytest.mark.parametrize("end", [0, 1])
def test_whoever_goes_without_a_word_breaks_it(linked, end):
    linked[end].leave(well=False)
    left = linked[1 - end]
    until(lambda: left.broken(0.1) == "127.0.0.1")


def test_strangers_are_let_go_and_break_nothing(linked):
    first, other, port = linked
    for words in (b"", b"GET / HTTP/1.1\r\n\r\n", NAME[:7], lifeline.name_of("another job")):
        with socket.create_connection(("127.0.0.1", port)) as stranger:
            stranger.sendall(words)
            assert first.broken(0.05) == ""
    for _ in range(5):
        assert first.broken(0.05) == ""
    assert len(first.peers) == 1 and not first.strangers
    other.leave(well=False)
    until(lambda: first.broken(0.1))


def test_a_name_that_comes_in_pieces_is_a_name(linked):
    first, _, port = linked
    with socket.create_connection(("127.0.0.1", port)) as peer:
        for byte in NAME:
            peer.sendall(bytes([byte]))
            first.broken(0.02)
        until(lambda: first.broken(0.02) == "" and len(first.peers) == 2)


def test_a_machine_that_cannot_be_reached_and_a_port_that_is_taken_are_sentences(linked):
    _, _, port = linked
    with pytest.raises(UserError, match=f"127.0.0.1:{port} cannot be listened on .* MASTER_PORT"):
        lifeline.listen("127.0.0.1", port, NAME)
    closed = scheduler.free_port("127.0.0.1")
    with pytest.raises(UserError, match=f"does not reach 127.0.0.1:{closed} .* must be open"):
        lifeline.connect("127.0.0.1", closed, NAME, 0.1)


def test_the_kernel_probes_the_other_side(linked):
    for line in linked[:2]:
        peer = line.peers[0]
        assert peer.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        idle, every, probes = (
            peer.getsockopt(socket.IPPROTO_TCP, getattr(socket, f"TCP_KEEP{name}"))
            for name in ("IDLE", "INTVL", "CNT")
        )
        assert idle + every * probes <= 25


@pytest.mark.parametrize(
    ("given", "size", "several"),
    [
        ({"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_LOCAL_SIZE": "4"}, 4, False),
        ({"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_LOCAL_SIZE": "1"}, 1, True),
        ({"MS_WORKER_NUM": "6", "MS_NODE_ID": "3"}, 6, False),
        ({}, 1, False),
    ],
)
def test_what_the_launcher_says_of_machines(monkeypatch, given, size, several):
    for name in [n for n in os.environ if n.startswith(("OMPI_", "MS_"))]:
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert (world.local_size(), world.several_machines()) == (size, several)


def test_msrun_is_asked_how_many_it_started(tmp_path):
    script = tmp_path / "msrun"
    script.write_text(
        f"#!{sys.executable}\nimport subprocess, sys\n"
        "code = 'from mindlong.parallel import world; print(world.local_size())'\n"
        "sys.exit(subprocess.run([sys.executable, '-c', code]).returncode)\n"
    )
    script.chmod(0o755)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OMPI_", "MS_"))}
    env = {**kept, "MS_WORKER_NUM": "6", "PYTHONPATH": str(ROOT)}
    command = [str(script), "--worker_num=6", "--local_worker_num=2", "train.py"]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.stdout.strip() == "2", done.stderr


def test_a_loopback_address_is_none_for_others(monkeypatch):
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    with pytest.raises(UserError, match="other machines cannot reach; set MASTER_ADDR"):
        scheduler.own_address()
    monkeypatch.setenv("MASTER_ADDR", "10.1.2.3")
    assert scheduler.own_address() == "10.1.2.3"


def test_machines_meet_in_the_folder_of_the_run_or_above_it(tmp_path, monkeypatch):
    monkeypatch.setenv(scheduler.SAME_EVERYWHERE[0], "12-34")
    inside = tmp_path / "runs" / "mine"
    before = scheduler.meeting_folders(inside)
    assert before[0].parent == tmp_path
    inside.mkdir(parents=True)
    after = scheduler.meeting_folders(inside)
    assert after[0].parent == inside and set(before) <= set(after)
    before[0].mkdir()
    (before[0] / scheduler.PORT).write_text("10.0.0.1 20001")
    assert scheduler.find(inside, 1) == scheduler.Place("10.0.0.1", 20001)
    monkeypatch.setenv(scheduler.SAME_EVERYWHERE[0], "another job")
    with pytest.raises(UserError, match="must be one folder for all machines"):
        scheduler.find(inside, 0.1)


@pytest.fixture
def machines(monkeypatch):
    monkeypatch.setattr(shared_folder, "several_machines", lambda: True)
    monkeypatch.setattr(inputs_everywhere, "several_machines", lambda: True)
    monkeypatch.setattr(inputs_everywhere, "local_rank", lambda: 0)


@pytest.mark.usefixtures("machines")
def test_a_folder_that_is_not_shared_is_said_on_every_machine(tmp_path):
    folders = [tmp_path / name for name in ("same", "same", "other")]
    for folder in folders:
        folder.mkdir(exist_ok=True)
    ranks = Ranks(3)
    errors = ranks.run(lambda comm: check_shared(folders[comm.rank], comm, "run_dir", 0.3))
    assert all(isinstance(error, ConfigError) for error in errors)
    assert all("run_dir: " in str(e) and "all machines must share it" in str(e) for e in errors)
    assert Ranks(2).run(lambda comm: check_shared(folders[0], comm, "run_dir")) == [None, None]
    assert not list(folders[0].iterdir())


@pytest.mark.usefixtures("machines")
def test_files_that_differ_on_another_machine_are_named():
    known = {
        "weights": {"path": "w.npz", "sha256": "a"},
        "latent.vae": {"path": "v", "sha256": "b"},
    }
    other = {**known, "weights": {"path": "w.npz", "sha256": "c"}}
    same, differing = (
        Ranks(2).run(lambda comm, held=held: check_same_files(comm, known, lambda: held))
        for held in (known, other)
    )
    assert same == [None, None]
    assert "weights (w.npz) on" in str(differing[1]) and "latent.vae" not in str(differing[1])
    assert "process 1 failed with reading the files" in str(differing[0])


def command(tmp_path, *shown, **env):
    """What _launch.sh would start, by fake launchers; its sentence where it refuses."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir(exist_ok=True)
    (bin_folder / "python").unlink(missing_ok=True)
    (bin_folder / "python").symlink_to(sys.executable)
    for name in ("msrun", "mpirun"):
        (bin_folder / name).write_text("#!/bin/sh\n")
        (bin_folder / name).chmod(0o755)
    script = (
        f"set -euo pipefail; ROOT={ROOT}; usage() {{ :; }}; source {ROOT}/scripts/_launch.sh; "
        f'prepare train.py {ROOT}/configs/train/vdm_shapes.yaml; echo "${{COMMAND[@]}}"; '
        + "".join(f'echo "${name}"; ' for name in shown)
    )
    names = ("HOSTS", "HOSTFILE", "NNODES", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT", "NPROC")
    kept = {k: v for k, v in os.environ.items() if k not in names}
    path = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
    base = {**kept, "MINDLONG_VENV": str(tmp_path), "PATH": path}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=base | env)
    return done.stdout.splitlines() if done.returncode == 0 else done.stderr.strip()


def test_mpirun_over_hosts(tmp_path):
    words, address = command(tmp_path, "MASTER_ADDR", HOSTS="a:8,b:4,c", OMP_NUM_THREADS="3")
    assert " -n 13 " in words and "--host a:8,b:4,c --map-by slot" in words
    assert "--oversubscribe" not in words and "-x OMP_NUM_THREADS" in words
    assert "-x HCCL_CONNECT_TIMEOUT" in words and "-x MASTER_ADDR" in words and address == "a"
    (tmp_path / "hosts").write_text("# two\nnode1 slots=8 max_slots=8\n\nnode2\n")
    words, address = command(tmp_path, "MASTER_ADDR", HOSTFILE=str(tmp_path / "hosts"))
    assert " -n 9 " in words and "--hostfile" in words and address == "node1"
    words, address = command(
        tmp_path, "MASTER_ADDR", HOSTS="a:8,b:8", MASTER_ADDR="10.0.0.1", NPROC="9"
    )
    assert " -n 9 " in words and address == "10.0.0.1"


def test_msrun_on_a_machine_of_several(tmp_path):
    given = {"LAUNCHER": "msrun", "NNODES": "3", "NODE_RANK": "2", "MASTER_ADDR": "10.0.0.1"}
    (words,) = command(tmp_path, **given, NPROC="8")
    for word in ("worker_num=24", "local_worker_num=8", "node_rank=2", "master_addr=10.0.0.1"):
        assert f"--{word} " in words
    assert "--master_port=8118 " in words
    (alone,) = command(tmp_path, LAUNCHER="msrun", NPROC="2")
    assert "--master_addr=127.0.0.1" in alone and "node_rank" not in alone


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"HOSTS": "a:0"}, "'a:0' is not NAME:PROCESSES"),
        ({"HOSTS": "a:x"}, "'a:x' is not NAME:PROCESSES"),
        ({"HOSTS": "a", "HOSTFILE": "b"}, "both set"),
        ({"HOSTFILE": "/nowhere/h"}, "no file at /nowhere/h"),
        ({"HOSTFILE": "/dev/null"}, "no file at /dev/null"),
        ({"HOSTS": "a:2,b:2", "NPROC": "5"}, "room for 4 processes"),
        ({"NNODES": "2"}, "NNODES is msrun's"),
        ({"LAUNCHER": "msrun", "HOSTS": "a:1"}, "HOSTS and HOSTFILE are mpirun's"),
        ({"LAUNCHER": "msrun", "NNODES": "two"}, "NNODES is 'two'; it must be a whole number"),
        ({"LAUNCHER": "msrun", "NNODES": "2"}, "NODE_RANK is not set"),
        ({"LAUNCHER": "msrun", "NNODES": "2", "NODE_RANK": "2"}, "the last is 1"),
        ({"LAUNCHER": "msrun", "NNODES": "2", "NODE_RANK": "0"}, "MASTER_ADDR is not set"),
        (
            {
                "LAUNCHER": "msrun",
                "NNODES": "2",
                "NODE_RANK": "0",
                "MASTER_ADDR": "a",
                "MASTER_PORT": "80",
            },
            "MASTER_PORT is '80'; it must be at least 1024",
        ),
        (
            {
                "LAUNCHER": "msrun",
                "NNODES": "2",
                "NODE_RANK": "0",
                "MASTER_ADDR": "a",
                "MASTER_PORT": "65535",
            },
            "the next port is used too",
        ),
    ],
)
def test_machines_that_cannot_be_meant_are_a_sentence(tmp_path, env, words):
    said = command(tmp_path, **env)
    assert isinstance(said, str) and said.startswith("error: ") and words in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("fault", ["time.sleep(1)", "os.kill(os.getpid(), signal.SIGSTOP)"])
def test_a_watched_rank_ends_when_its_scheduler_does(fault):
    """The watcher of a rank whose scheduler dies, or is stopped for long."""
    code = (
        "import os, subprocess, sys, time\n"
        "from mindlong.parallel import watch\n"
        "watch.LAST_STEP, watch.HELD = 0.5, 1.0\n"
        f"code = 'import os, signal, time; {fault}'\n"
        "from mindlong.parallel import proc\n"
        "child = subprocess.Popen(\n"
        "    [sys.executable, '-c', code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,\n"
        "    preexec_fn=proc.die_with_parent)\n"
        "watch.watch_job(child.pid, None)\n"
        "import signal; signal.signal(signal.SIGUSR1, lambda *a: print('asked', flush=True))\n"
        "end = time.monotonic() + 60\n"
        "while time.monotonic() < end: time.sleep(0.1)\n"
    )
    begun = time.monotonic()
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.returncode == -9 and "asked" in done.stdout
    said = "ended" if "sleep" in fault else "been stopped for long"
    assert done.stderr.count(f"error: MindSpore's scheduler has {said}") == 1
    assert time.monotonic() - begun < 50

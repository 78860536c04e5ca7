"""What the launch scripts give to the processes that they start, and the scheduler among them."""

import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import pytest

from mindlong.parallel import proc, scheduler
from mindlong.training import signals

ROOT = Path(__file__).parents[3]
CONFIG = ROOT / "configs" / "train" / "vdm_shapes.yaml"


@pytest.mark.parametrize(("given", "seen"), [({}, "1800"), ({"HCCL_CONNECT_TIMEOUT": "77"}, "77")])
def test_processes_wait_for_a_first_compilation_unless_told_otherwise(tmp_path, given, seen):
    """HCCL's own 120 seconds end in EI0006 where one process compiles for longer than another."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "python").symlink_to(sys.executable)
    (bin_folder / "msrun").write_text("#!/bin/sh\n")
    (bin_folder / "msrun").chmod(0o755)
    script = (
        f"set -eu; ROOT={ROOT}; usage() {{ :; }}; source {ROOT}/scripts/_launch.sh; "
        f"prepare train.py {CONFIG}; bash -c 'echo $HCCL_CONNECT_TIMEOUT'"
    )
    kept = {k: v for k, v in os.environ.items() if k != "HCCL_CONNECT_TIMEOUT"}
    env = {**kept, "MINDLONG_VENV": str(tmp_path), "LAUNCHER": "msrun", **given}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == seen


def test_a_scheduler_heeds_no_request_to_stop(monkeypatch):
    """Its ranks need it until they have saved; it ends with them."""
    heard = {}
    module = types.SimpleNamespace(
        init=lambda: heard.update({n: signal.getsignal(n) for n in signals.SIGNALS})
    )
    monkeypatch.setitem(sys.modules, "mindspore.communication", module)
    monkeypatch.setattr(proc, "die_with_parent", lambda: None)
    before = {number: signal.getsignal(number) for number in signals.SIGNALS}
    try:
        with pytest.raises(SystemExit) as ended:
            scheduler.serve(os.getppid())
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert ended.value.code == 0 and set(heard.values()) == {signal.SIG_IGN}

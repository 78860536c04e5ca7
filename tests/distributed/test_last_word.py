"""MindSpore crashes now and then while a process signs off; a job whose work is done has not
failed.
"""

import subprocess

import pytest
from jobs import environment, launcher

from mindlong.ops.native import build

RANK = """
import atexit, os, signal, sys
from mindlong.parallel import launch, watch

def crash():  # registered before MindSpore's own, so it runs after it
    if launch.world()[0] == {who}:
        os.kill(os.getpid(), signal.SIGSEGV)

atexit.register(crash)
launch.join()
import mindspore
mindspore.set_context(mode=mindspore.GRAPH_MODE, device_target="CPU")
launch.connect()
watch.done({code})
sys.exit({code})
"""


@pytest.mark.slow
@pytest.mark.skipif(build.compiler() is None, reason="needs a C++ compiler")
@pytest.mark.parametrize("who, code", [(0, 0), (1, 0), (1, 3)])
def test_a_rank_that_crashes_at_its_end_does_not_fail_the_job(tmp_path, who, code):
    (tmp_path / "rank.py").write_text(RANK.format(who=who, code=code))
    done = subprocess.run(
        [*launcher(tmp_path), "rank.py"],
        env=environment()[0],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    assert code or "crashed while this process signed off" in said

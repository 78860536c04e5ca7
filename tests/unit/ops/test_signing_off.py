"""A crash after the work is done: the exit code is the work's."""

import os
import subprocess
import sys

import pytest

from mindlong.ops.native import build

CRASH = {
    "reads what is not there": "import ctypes; ctypes.string_at(0)",
    "in another thread": "import ctypes, threading; t = threading.Thread(target=ctypes.string_at, args=(0,)); "
    "t.start(); t.join()",
    "aborts": "import os; os.abort()",
}
ENDING = "from mindlong.ops import signing_off; signing_off.prepare()({code}); {crash}"


def ended(code, crash, **env):
    done = subprocess.run(
        [sys.executable, "-c", ENDING.format(code=code, crash=crash)],
        env=os.environ | {"GLOG_v": "3"} | env,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stderr


@pytest.mark.skipif(build.compiler() is None, reason="needs a C++ compiler")
@pytest.mark.parametrize(
    "code, crash",
    [(0, "in another thread"), pytest.param(7, "aborts", marks=pytest.mark.slow)],
)
def test_a_crash_leaves_the_code_of_the_work_and_says_so(code, crash):
    got, said = ended(code, CRASH[crash])
    assert got == code and "MindSpore crashed while this process signed off" in said


@pytest.mark.slow
def test_without_a_compiler_a_crash_is_a_crash(tmp_path):
    got, said = ended(
        0,
        CRASH["reads what is not there"],
        PATH=str(tmp_path),
        CXX="",
        MINDLONG_CACHE=str(tmp_path),
    )
    assert got < 0 and "signed off" not in said

"""The C++ operators under the address, undefined-behaviour and thread sanitizers, as a program of
their own.
"""

import subprocess
from pathlib import Path

import pytest

from mindlong.ops.native import build

DRIVER = Path(__file__).parents[1] / "native_driver.cc"
FLAGS = [f for f in build.FLAGS if f not in ("-shared", "-fPIC", "-O3")]


@pytest.mark.slow
@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_kernels_are_clean_under(sanitizer, tmp_path):
    program = tmp_path / "driver"
    command = [
        build.compiler(),
        "-O1",
        "-g",
        *FLAGS,
        f"-fsanitize={sanitizer}",
        "-fno-sanitize-recover=all",
        f"-I{build.HERE}",
        "-o",
        str(program),
        str(DRIVER),
        "-ldl",
        "-lpthread",
    ]
    made = subprocess.run(command, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr[-2000:]
    for threads in ("1", "4"):
        done = subprocess.run([str(program), threads], capture_output=True, text=True)
        assert done.returncode == 0 and done.stdout.endswith("done\n"), (
            done.stdout[-500:] + done.stderr[-4000:]
        )

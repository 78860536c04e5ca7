"""The C++ operators on machines that are not this one: for AVX2, for plain SSE2 and, by a cross
compiler and an emulator, for aarch64. Each build computes the numbers of this machine's.

Debian: apt-get install g++-aarch64-linux-gnu qemu-user-static
"""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from mindlong.ops.native import build

DRIVER = Path(__file__).parents[1] / "native_driver.cc"
FLAGS = [f for f in build.FLAGS if f not in ("-shared", "-fPIC") and not f.startswith("-m")]
CROSS = "aarch64-linux-gnu-g++"
EMULATOR = next(filter(shutil.which, ("qemu-aarch64-static", "qemu-aarch64")), None)
X86 = not build.ARM
TITLE = 32  # bytes of a kernel's name in the driver's record


def needs(found, what):
    return pytest.mark.skipif(not found, reason=f"{what} is not here")


BUILDS = [
    pytest.param("avx2", marks=needs(X86, "an x86 machine")),
    pytest.param("sse2", marks=needs(X86, "an x86 machine")),
    pytest.param("aarch64", marks=needs(shutil.which(CROSS) and EMULATOR, f"{CROSS} or qemu")),
]
MACHINE = {"avx2": "-march=haswell", "sse2": "-march=x86-64", "aarch64": "-march=armv8.2-a"}


def compiled(tool, flags, program, *more):
    """Build the driver."""
    command = [tool, *FLAGS, *flags, f"-I{build.HERE}", "-o", str(program), str(DRIVER)]
    made = subprocess.run([*command, "-ldl", "-lpthread", *more], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr[-2000:]
    return program


def recorded(command, path):
    """What the driver computed: (kernel, numbers) in order."""
    done = subprocess.run([*command, "3", str(path)], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.endswith("done\n"), done.stdout[-500:] + done.stderr
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        name = data[at : at + TITLE].rstrip(b"\0").decode()
        count = int.from_bytes(data[at + TITLE : at + TITLE + 8], "little")
        found.append((name, np.frombuffer(data, np.float32, count, at + TITLE + 8)))
        at += TITLE + 8 + 4 * count
    return found


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """The numbers of a build for this machine."""
    folder = tmp_path_factory.mktemp("ours")
    flags = [f for f in build.FLAGS if f.startswith("-m")]
    return recorded([compiled(build.compiler(), flags, folder / "driver")], folder / "record")


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILDS)
def test_another_machine_computes_the_same_numbers(name, ours, tmp_path):
    arm = name == "aarch64"
    program = compiled(CROSS if arm else build.compiler(), [MACHINE[name]], tmp_path / "driver")
    run = [EMULATOR, "-L", "/usr/aarch64-linux-gnu"] if arm else []
    theirs = recorded([*run, str(program)], tmp_path / "record")
    assert [n for n, _ in theirs] == [n for n, _ in ours]
    for (kernel, a), (_, b) in zip(ours, theirs, strict=True):
        assert np.isfinite(a).all()
        assert np.abs(a - b).max() <= 1e-5 * np.abs(a).max(), kernel


@needs(shutil.which(CROSS), CROSS)
def test_the_source_compiles_for_aarch64():
    flags = [f for f in build.FLAGS if not f.startswith("-m")]
    command = [CROSS, *flags, "-fsyntax-only", str(build.SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


# bf16_tiles.h drives a unit that only one machine has, and is empty for the others
SOURCES = [path for path in sorted(build.HERE.glob("*.h")) if path.name != "bf16_tiles.h"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_source_names_the_intrinsics_of_one_machine(path):
    found = re.findall(
        r"immintrin|arm_neon|\b_mm\w*|\b__m\d+\w*|\bv(?:ld|st)\dq?_\w+", path.read_text()
    )
    assert not found

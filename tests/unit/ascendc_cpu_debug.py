"""The kernels with the CPU debug library of an installed CANN (tools/tikicpulib), called as
`emulate.run` calls the twin.
"""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from pathlib import Path

from ascendc_cann import CHIP

from mindlong.ops.ascendc import emulate

SOURCE = CHIP / "cpu_debug"


def library(home: Path | None) -> Path | None:
    """The library's folder of CMake files in an installed CANN."""
    folder = home and home / "tools" / "tikicpulib" / "lib" / "cmake"
    return folder if folder and folder.is_dir() else None


def build(folder: Path, work: Path, kernels: Path = emulate.HERE / "op_kernel") -> Path:
    """The program, made in `work`. Raises RuntimeError with what CMake said."""
    prepare = ["cmake", "-S", SOURCE, "-B", work, f"-DCMAKE_PREFIX_PATH={folder}"]
    for command in ([*prepare, f"-DKERNELS={kernels}"], ["cmake", "--build", work]):
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError((done.stdout + done.stderr)[-2000:])
    return work / "run"


class CpuDebug:
    """A program of `build` in place of the twin."""

    def __init__(self, program: Path) -> None:
        self.program, self.said = program, ""

    def twin_run(self, kernel, shape, cores, pointers, sizes, *how) -> int:
        """As the twin's; of `how` only the text for an error counts."""
        error = how[3]
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder) / str(i) for i in range(len(sizes))]
            for file, pointer, size in zip(files, pointers, sizes, strict=True):
                file.write_bytes(ctypes.string_at(pointer, size))
            words = [self.program, kernel, cores, *shape, *files]
            done = subprocess.run(list(map(str, words)), capture_output=True, text=True)
            self.said = done.stdout + done.stderr
            if done.returncode:
                error.value = self.said.encode()[-399:]
                return 1
            for file, pointer, size in zip(files, pointers, sizes, strict=True):
                ctypes.memmove(pointer, file.read_bytes(), size)
        return 0

"""Builds the C++ operators with the user's compiler, once for each source, flags, compiler and
CPU.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

import mindspore

from mindlong.utils import log, system
from mindlong.utils.trust import distrust
from mindlong.utils.user_cache import cache_folder

HERE = Path(__file__).parent
SOURCE = HERE / "kernels.cc"
ARM = platform.machine() in ("aarch64", "arm64")
# No -ffast-math: in a shared library it changes the float mode of the whole process.
FLAGS = (
    "-O3",
    "-mcpu=native" if ARM else "-march=native",  # on Arm -march=native is not known to clang
    "-std=c++17",
    "-shared",
    "-fPIC",
    "-fopenmp-simd",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-w",
)


_refused: dict[Path, str] = {}  # what the compiler said where it failed in this process


class BuildError(Exception):
    """The compiler is missing or refused the source; the message says which."""


def compiler() -> str | None:
    """Path of the C++ compiler: `CXX`, else g++, else clang++."""
    return next(
        (p for p in map(shutil.which, (os.environ.get("CXX") or "g++", "g++", "clang++")) if p),
        None,
    )


def build(source: Path = SOURCE, flags: tuple[str, ...] = FLAGS) -> Path:
    """The shared library of `source`, compiled if it is not in the cache yet.

    A cache that is not this user's alone is left: what lies in it would run. The library is then
    built into a folder of its own, for this process.

    Raises:
        BuildError: no compiler, it refuses the source, or the cache cannot be written.
    """
    tool = compiler()
    if tool is None:
        raise BuildError("no C++ compiler found; with g++ installed they are built at once")
    try:
        return _built(cache_folder(), tool, source, flags)
    except OSError as error:
        raise BuildError(
            f"{system.sentence(error, cache_folder())}; MINDLONG_CACHE names a folder for them"
        ) from None


def _built(folder: Path, tool: str, source: Path, flags: tuple[str, ...]) -> Path:
    name = f"{source.stem}-{_key(source, flags, tool)}.so"
    how_often = "once"
    why = distrust(folder / name) or distrust(folder)
    if why:
        log.get_logger().warning(
            "the C++ operators in %s are not used, because %s; they are built for this run alone",
            folder,
            why,
        )
        folder, how_often = _private_folder(), "for this run"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / name
    if path in _refused:  # a minute each time
        raise BuildError(_refused[path])
    if not path.exists():
        if source == SOURCE:  # others are small
            log.get_logger().info("compiling the C++ operators (%s, about a minute) ...", how_often)
        _compile(tool, source, flags, path)
    return path


@functools.lru_cache(None)
def _private_folder() -> Path:
    """A folder that only this user can open; it goes with the process."""
    folder = tempfile.mkdtemp(prefix="mindlong-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _key(source: Path, flags: tuple[str, ...], tool: str) -> str:
    version = subprocess.run([tool, "--version"], check=True, capture_output=True, text=True).stdout
    parts = [p.read_bytes() for p in sorted([source, *source.parent.glob("*.h")])]
    parts += [" ".join(flags).encode(), version.encode(), _cpu().encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:20]


def _cpu() -> str:
    """What the compiler's `native` depends on: the features of x86 and Arm, and Arm's models."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    telling = ("flags", "Features", "CPU implementer", "CPU part")
    found = {" ".join(sorted(line.split())) for line in lines if line.startswith(telling)}
    return "\n".join(sorted(found)) or platform.processor()


def _compile(tool: str, source: Path, flags: tuple[str, ...], path: Path) -> None:
    handle, aside = tempfile.mkstemp(suffix=".so", dir=path.parent)
    os.close(handle)
    try:
        done = subprocess.run(
            [tool, *flags, "-o", aside, str(source), "-ldl", "-lpthread"],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            _refused[path] = f"{tool} refused {source.name}: {done.stderr.strip()[-400:]}"
            raise BuildError(_refused[path])
        os.chmod(aside, 0o755)
        os.replace(aside, path)  # whole or absent, also with several processes building at once
    finally:
        Path(aside).unlink(missing_ok=True)


_rounding: list[ctypes.CDLL] = []  # libraries that were told to round


def round_factors(threads: int) -> bool:
    """Have the library's products round their factors to bfloat16; whether this machine can.

    Raises BuildError.
    """
    told = ctypes.CDLL(library(threads))
    _rounding.append(told)
    return bool(told.nk_bf16(1))


def round_no_more() -> None:
    """Have products exact again, in whatever library was told otherwise."""
    while _rounding:
        _rounding.pop().nk_bf16(0)


@functools.lru_cache(None)
def library(threads: int = 0) -> str:
    """Path of the library, set up for `threads` (0: the cores this process may use). Raises
    BuildError.
    """
    path = str(build())
    dnnl = Path(mindspore.__file__).parent / "lib" / "libdnnl.so.3"
    count = threads or len(os.sched_getaffinity(0))
    # MindSpore opens the same path: one copy in the process, so the state set here is the one its
    # kernels see.
    ctypes.CDLL(path).nk_setup(str(dnnl).encode(), count, -1)
    return path

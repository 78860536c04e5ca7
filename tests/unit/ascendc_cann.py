"""CANN's own headers, where folders with them are given, and our sources compiled and run under
them.

    ASC_DEVKIT        include/ and impl/ of CANN's asc-devkit
    ASC_TOOLS         cpudebug/ of CANN's asc-tools: its half type and its checks of parameters
    ASC_METADEF       inc/ and pkg_inc/ of CANN's metadef
    ASC_GE            inc/graph_metadef/ of CANN's ge
    ASCEND_HOME_PATH  an installed CANN, for what of these is not given

Nothing of CANN's lies in this project. What its open folders lack (the built-ins of the compiler
and a few small headers) is in ascendc_c100, our own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from mindlong.ops.ascendc import emulate

CHIP = Path(__file__).with_name("ascendc_c100")
DEFINES = (
    "-D__CCE_KT_TEST__=1",
    "-DASCENDC_CPU_DEBUG=1",
    "-D__NPU_ARCH__=1001",
    "-D__CCE_AICORE__=100",
    "-D__DAV_C100__",
    "-DASCENDC_DUMP=0",
)
REFUSAL = re.compile(r'ASCENDC_REPORT_NOT_SUPPORT\(false,\s*"(\w+)"')


@dataclass(frozen=True)
class Cann:
    """The folders that are here; None for what is not."""

    devkit: Path | None
    tools: Path | None
    metadef: Path | None
    ge: Path | None
    home: Path | None

    @classmethod
    def here(cls) -> Cann:
        """From the environment."""

        def folder(name: str) -> Path | None:
            value = os.environ.get(name)
            return Path(value).resolve() if value and Path(value).is_dir() else None

        home = folder("ASCEND_HOME_PATH")
        installed = home / "asc" if home and (home / "asc" / "impl").is_dir() else None
        names = ("ASC_DEVKIT", "ASC_TOOLS", "ASC_METADEF", "ASC_GE")
        devkit, tools, metadef, ge = (folder(name) for name in names)
        return cls(devkit or installed, tools, metadef, ge, home)

    @property
    def no_kernels(self) -> str | None:
        """Why kernels cannot be compiled; None if they can."""
        if self.devkit is None:
            return "no ASC_DEVKIT or ASCEND_HOME_PATH with CANN's kernel headers"
        return None if self.cpu_headers else "no ASC_TOOLS with CANN's headers for a CPU"

    @property
    def no_host(self) -> str | None:
        """Why the host side cannot be compiled; None if it can."""
        given = self.devkit and self.metadef and self.ge
        installed = self.home and (self.home / "include" / "register").is_dir()
        return None if given or installed else "no ASC_METADEF and ASC_GE, nor ASCEND_HOME_PATH"

    @property
    def cpu_headers(self) -> Path | None:
        """The folder of the half type for a CPU."""
        homes = self.home and self.home / "tools" / "tikicpulib" / "lib" / "include"
        tools = self.tools and self.tools / "cpudebug" / "include"
        return next((p for p in (tools, homes) if p and (p / "stub_def.h").exists()), None)

    @property
    def checks(self) -> list[Path]:
        """The sources of CANN's own checks of parameters."""
        folder = self.tools and self.tools / "cpudebug" / "src" / "api_check"
        return sorted(folder.glob("*.cpp")) if folder else []

    def refused(self) -> set[str]:
        """The calls that CANN's headers for the 910A have and that do nothing."""
        headers = (self.devkit / "impl" / "basic_api" / "dav_c100").glob("*.h")
        return {name for h in headers for name in REFUSAL.findall(h.read_text(errors="replace"))}

    def kernel_flags(self, work: Path, kernels: Path) -> list[str]:
        """Compiler flags for ascendc_c100 and the kernels in the folder `kernels`; `work` takes
        what is generated.
        """
        d = self.devkit
        under = ("", "include", "include/basic_api", "include/utils", "include/adv_api")
        inside = ("include/c_api", "impl", "impl/basic_api", "impl/utils")
        own = [CHIP, CHIP / "kernel", CHIP / "common", work, kernels]
        flags = [*own, *(d / part for part in (*under, *inside)), self.cpu_headers]
        if self.tools:
            check = self.tools / "cpudebug" / "src" / "api_check"
            flags += [check, check / "inc", self.tools / "cpudebug" / "utils" / "include"]
        self._tiling_header(work)
        return ["-std=c++17", "-fPIC", "-w", *DEFINES, *(f"-I{p}" for p in flags)]

    def _tiling_header(self, work: Path) -> None:
        """kernel_tiling.h, which an installed CANN has and the devkit's own script makes."""
        made = work / "kernel_tiling" / "kernel_tiling.h"
        script = self.devkit / "impl/adv_api/cmake/scripts/gen_kernel_tiling_data_def.py"
        if script.exists() and not made.exists():
            made.parent.mkdir(parents=True, exist_ok=True)
            command = [sys.executable, str(script), str(self.devkit / "include/adv_api"), str(made)]
            subprocess.run(command, check=True, capture_output=True)

    def host_flags(self) -> list[str]:
        """Compiler flags for op_host."""
        folders = [CHIP / "common", CHIP / "host"]
        if self.metadef and self.ge:
            m = self.metadef
            folders += [m / "inc/external", m / "inc/external/asc", m / "inc", m / "pkg_inc"]
            folders += [self.devkit / "include/utils", self.devkit / "include"]
            folders += [self.ge / "inc/graph_metadef/external"]
        else:
            folders += [self.home / "include", self.home / "pkg_inc"]
        return [f"-I{p}" for p in folders]


def compiler(flags: list[str], *files: Path) -> subprocess.CompletedProcess:
    """g++ with `flags` on `files`; its output as text."""
    command = ["g++", *flags, *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True)


def build(cann: Cann, work: Path, kernels: Path = emulate.HERE / "op_kernel") -> Path:
    """A library of the kernels under CANN's headers, with CANN's checks. Raises RuntimeError with
    what the compiler said.
    """
    sources = [CHIP / "run.cpp", *cann.checks]
    half = cann.tools and cann.tools / "cpudebug" / "src" / "acl_stub" / "kernel_fp16.cpp"
    sources += [half] if half and half.exists() else []
    flags = cann.kernel_flags(work, kernels)
    objects = [work / f"{source.stem}.o" for source in sources]
    for source, target in zip(sources, objects, strict=True):
        if source.parent != CHIP and target.exists():
            continue  # CANN's own are the same for every folder of kernels
        done = compiler([*flags, "-O2", "-c", "-o", str(target)], source)
        if done.returncode:
            raise RuntimeError(f"{source.name}: {done.stderr[-2000:]}")
    library = work / "kernels.so"
    done = compiler(["-shared", "-o", str(library)], *objects)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return library

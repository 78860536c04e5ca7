"""Look at this machine: versions, compiler, memory, devices, launchers; what is missing, and the
command that installs it.

Nothing but Python's own library is imported, so that it also answers where nothing is installed.
Exit code 0: the main job runs here; 1: something that it needs is missing.
"""

from __future__ import annotations

import ast
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mindlong.cli.tool_parser import ToolParser
from mindlong.parallel.memory import limits
from mindlong.utils.trust import distrust
from mindlong.utils.user_cache import cache_folder

PACKAGE = Path(__file__).resolve().parents[1]
SETUP = PACKAGE.parent / "setup.py"
PYTHONS = (3, 10), (3, 12)
NPUS = Path("/dev")
CPU = Path("/proc/cpuinfo")
ANSWER_SECONDS = 20
MARKS = {"ok": "ok     ", "note": "note   ", "missing": "MISSING"}


@dataclass(frozen=True)
class Finding:
    """A line of the report: its kind, of MARKS, what it is about, what was found, what mends it."""

    kind: str
    subject: str
    text: str
    mend: str = ""

    def lines(self, width: int) -> Iterator[str]:
        """The finding as printed."""
        yield f"{MARKS[self.kind]}  {self.subject:<{width}}  {self.text}"
        if self.mend:
            yield f"{'':<{len(MARKS['ok'])}}  {'':<{width}}  -> {self.mend}"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the report. Returns 1 where something is missing that the main job needs."""
    ToolParser("doctor", __doc__).parse_args(argv)
    found = [finding for look in LOOKS for finding in look()]
    width = max(len(finding.subject) for finding in found)
    for finding in found:
        print("\n".join(finding.lines(width)))
    missing = [finding.subject for finding in found if finding.kind == "missing"]
    print()
    print("\n".join(_ending(missing)))
    return 1 if missing else 0


def _ending(missing: Sequence[str]) -> Iterator[str]:
    if not missing:
        yield "nothing is missing for the main job"
        return
    yield f"missing: {', '.join(missing)}"
    if SETUP.is_file():
        yield "all at once, into an environment of its own: bash scripts/quickstart.sh"


def python() -> Iterator[Finding]:
    """Python and the machine."""
    here = sys.version_info[:2]
    text = f"{platform.python_version()} in {sys.prefix}, {platform.system()} {platform.machine()}"
    if PYTHONS[0] <= here <= PYTHONS[1]:
        yield Finding("ok", "python", text)
    else:
        low, high = (".".join(map(str, version)) for version in PYTHONS)
        mend = f"install Python {low} to {high}; PYTHON=/path/to/it names one for the scripts"
        yield Finding("missing", "python", text, mend)
    yield Finding("ok", "mindlong", f"{_version_here()} in {PACKAGE.parent}")


def libraries() -> Iterator[Finding]:
    """What setup.py requires."""
    wanted = _required()
    if not wanted:
        yield Finding("note", "libraries", "neither setup.py nor an installed package lists them")
    for requirement in wanted:
        name = re.split(r"[<>=!~ ;\[]", requirement, maxsplit=1)[0]
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            mend = f"{sys.executable} -m pip install '{requirement}'"
            yield Finding("missing", name, f"not installed, {requirement} is needed", mend)
            continue
        if _fits(version, requirement[len(name) :]):
            yield Finding("ok", name, version)
        else:
            mend = f"{sys.executable} -m pip install '{requirement}'"
            yield Finding("missing", name, f"{version}, {requirement} is needed", mend)


def compiler() -> Iterator[Finding]:
    """The C++ compiler and the cache of what it builds."""
    tool = next(filter(None, map(shutil.which, (os.environ.get("CXX", ""), "g++", "clang++"))), "")
    if tool:
        yield Finding("ok", "C++ compiler", f"{tool}: {_answer([tool, '--version'])}")
    else:
        text = "none; without it the plain operators serve, several times slower on a CPU"
        yield Finding("note", "C++ compiler", text, "apt-get install g++")
    folder = cache_folder()
    why = distrust(folder)
    if why:
        text = f"{folder} is not used, because {why}; operators are built anew for every run"
        yield Finding("note", "cache", text, "MINDLONG_CACHE=FOLDER names another")
    elif not _is_writable(folder):
        text = f"{folder} cannot be written; the plain operators serve"
        yield Finding("note", "cache", text, "MINDLONG_CACHE=FOLDER names another")
    else:
        yield Finding("ok", "cache", f"{folder}, {_free(folder)} free")


def room() -> Iterator[Finding]:
    """Cores, memory and disk."""
    amx = "; AMX, for env.bf16=true with the C++ operators" if _has_amx() else ""
    yield Finding("ok", "cores", f"{len(os.sched_getaffinity(0))}{amx}")
    least = min(limits(), key=lambda limit: limit.bytes, default=None)
    if least is not None:
        yield Finding("ok", "memory", f"{least.bytes / 2**30:.1f} GiB, which {least.what}")
    here = Path.cwd()
    writable = _is_writable(here)
    text = f"{here}, {_free(here)} free" + ("" if writable else ", and it cannot be written")
    mend = "" if writable else "output=FOLDER names another for the results"
    yield Finding("ok" if writable else "note", "this folder", text, mend)
    temporary = Path(tempfile.gettempdir())
    yield Finding("ok", "temporary files", f"{temporary}, {_free(temporary)} free")


def _has_amx() -> bool:
    """Whether the processor multiplies bfloat16 by tiles."""
    try:
        text = CPU.read_text()
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return {"amx_bf16", "avx512_bf16"} <= set(flags.split())


def media() -> Iterator[Finding]:
    """ffmpeg."""
    tool = os.environ.get("IMAGEIO_FFMPEG_EXE") or _bundled_ffmpeg()
    if tool and shutil.which(tool):
        yield Finding("ok", "ffmpeg", f"{tool}: {_answer([tool, '-version'])}")
    else:
        mend = f"{sys.executable} -m pip install --force-reinstall imageio-ffmpeg"
        yield Finding("missing", "ffmpeg", "none is bundled here", mend)


def launchers() -> Iterator[Finding]:
    """What starts several processes."""
    for name, package in (("mpirun", "apt-get install openmpi-bin"), ("msrun", "")):
        tool = shutil.which(name) or _beside_python(name)
        if tool:
            asked = [tool, "--version"] if name == "mpirun" else []
            said = f": {_answer(asked)}" if asked else ""
            yield Finding("ok", name, f"{tool}{said}")
        else:
            mend = package or f"{sys.executable} -m pip install mindspore"
            yield Finding("note", name, "not found; it is for runs of several processes", mend)


def devices() -> Iterator[Finding]:
    """NPUs and CANN."""
    cards = sorted(p.name for p in NPUS.glob("davinci[0-9]*"))
    home = os.environ.get("ASCEND_HOME_PATH") or os.environ.get("ASCEND_TOOLKIT_HOME") or ""
    installed = Path(home or "/usr/local/Ascend/ascend-toolkit/latest")
    if not cards:
        yield Finding("ok", "devices", "CPU; no Ascend NPU is visible (/dev/davinci*)")
    else:
        yield Finding("ok", "devices", f"{len(cards)} Ascend NPU: {', '.join(cards)}")
    if installed.is_dir():
        yield Finding("ok", "CANN", f"{installed}{_cann_version(installed)}")
    elif cards:
        mend = "install CANN and `source .../ascend-toolkit/set_env.sh`, as docs/ascend.md says"
        yield Finding("missing", "CANN", f"nothing at {installed}", mend)


LOOKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    python,
    libraries,
    compiler,
    room,
    media,
    launchers,
    devices,
)


def _version_here() -> str:
    return (PACKAGE / "version.txt").read_text().strip()


def _required() -> list[str]:
    """The requirements: of setup.py in a checkout, else of the installed package."""
    if SETUP.is_file():
        for node in ast.parse(SETUP.read_text()).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "RUNTIME":
                return list(ast.literal_eval(node.value))
    try:
        listed = importlib.metadata.requires("mindlong") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [line for line in listed if "extra ==" not in line]


def _fits(version: str, bounds: str) -> bool:
    """Whether a version keeps within ">=1.25,<2" and the like."""
    compare = {
        "==": lambda a, b: a == b,
        ">=": lambda a, b: a >= b,
        "<": lambda a, b: a < b,
        "<=": lambda a, b: a <= b,
        ">": lambda a, b: a > b,
        "!=": lambda a, b: a != b,
    }
    for sign, bound in re.findall(r"(==|>=|<=|!=|<|>)\s*([\d.]+)", bounds):
        mine, other = _numbers(version), _numbers(bound)
        longest = max(len(mine), len(other))
        mine += [0] * (longest - len(mine))
        other += [0] * (longest - len(other))
        if not compare[sign](mine, other):
            return False
    return True


def _numbers(version: str) -> list[int]:
    """1.26.4 -> [1, 26, 4]; what follows the numbers (rc1, +cu) is left out."""
    found = re.match(r"\d+(\.\d+)*", version)
    return [int(part) for part in found[0].split(".")] if found else []


def _answer(command: Sequence[str]) -> str:
    """The first line that a program prints, or why there is none."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=ANSWER_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"it does not answer ({error})"
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[0].strip() if lines else f"it says nothing and ends with {done.returncode}"


def _is_writable(folder: Path) -> bool:
    """Whether a file could be made in `folder`, or the folder itself."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _free(folder: Path) -> str:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return f"{shutil.disk_usage(folder).free / 2**30:.1f} GiB"


def _bundled_ffmpeg() -> str:
    """The program inside imageio-ffmpeg, found without importing it."""
    try:
        files = importlib.metadata.files("imageio-ffmpeg") or []
    except importlib.metadata.PackageNotFoundError:
        return ""
    inside = (str(f.locate()) for f in files if "binaries/ffmpeg" in str(f))
    return next(inside, "")


def _beside_python(name: str) -> str:
    path = Path(sys.executable).with_name(name)
    return str(path) if os.access(path, os.X_OK) else ""


def _cann_version(folder: Path) -> str:
    try:
        text = (folder / "version.cfg").read_text(errors="replace")
    except OSError:
        return ""
    found = re.search(r"\[([\d.][^\]]*)\]", text)
    return f", version {found[1]}" if found else ""

"""Builds the 910A operators with the user's CANN and MindSpore's own compiler for custom operators,
and says how to use them.

    python -m mindlong.ops.ascendc.build [--cann FOLDER] [--install FOLDER]

Not run on an NPU by the authors: see docs/ascend.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from mindlong.utils.errors import UserError

HERE = Path(__file__).parent
VENDOR = "mindlong"
DEFAULT_CANN = (
    "/usr/local/Ascend/ascend-toolkit/latest",
    "/usr/local/Ascend/latest",
    "/usr/local/Ascend/cann",
)


def find_cann(given: str | None) -> Path:
    """The folder of CANN: `given`, else ASCEND_HOME_PATH, else where it is usually installed.
    Raises UserError.
    """
    tried = [p for p in (given, os.environ.get("ASCEND_HOME_PATH"), *DEFAULT_CANN) if p]
    for path in tried[:1] if given else tried:
        if Path(path).is_dir():
            return Path(path).resolve()
    raise UserError(
        f"CANN is not here (looked in {', '.join(tried[:1] if given else tried)}); install the toolkit, source its "
        "set_env.sh, or give --cann FOLDER"
    )


def find_compiler() -> Path:
    """MindSpore's folder custom_compiler. Raises UserError."""
    spec = importlib.util.find_spec("mindspore")
    folder = (
        Path(spec.origin).parent / "lib" / "plugin" / "ascend" / "custom_compiler"
        if spec and spec.origin
        else None
    )
    if folder is None or not (folder / "setup.py").exists():
        raise UserError(
            "MindSpore's compiler for custom operators (lib/plugin/ascend/custom_compiler) is not here; "
            "install mindspore 2.10.0"
        )
    return folder


def build(cann: Path, compiler: Path, install: Path) -> Path:
    """Compile and install; the folder that ASCEND_CUSTOM_OPP_PATH must hold. Raises UserError with
    what the compiler said.

    MindSpore's tool works beside itself and refuses links and unusual paths, so it and the sources
    are copied to a plain folder first.
    """
    install.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mindlong_ops_", dir="/tmp") as work:
        tool = Path(shutil.copytree(compiler, Path(work) / "compiler"))
        for part in ("op_host", "op_kernel"):
            shutil.copytree(HERE / part, Path(work) / part)
        command = [
            sys.executable,
            "setup.py",
            "-o",
            f"{work}/op_host",
            "-k",
            f"{work}/op_kernel",
            "--soc_version",
            "ascend910",
            "--vendor_name",
            VENDOR,
            "--ascend_cann_package_path",
            str(cann),
            "--install_path",
            str(install.resolve()),
            "-i",
        ]
        done = subprocess.run(command, cwd=tool, capture_output=True, text=True)
        if done.returncode:
            raise UserError(
                f"the operators were not built: {(done.stdout + done.stderr).strip()[-2000:]}"
            )
    return install.resolve() / "vendors" / VENDOR


def main(argv: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m mindlong.ops.ascendc.build", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--cann", help="CANN's folder (default: ASCEND_HOME_PATH or the usual places)"
    )
    parser.add_argument(
        "--install",
        default="~/.local/share/mindlong/opp",
        help="where the operators go (%(default)s)",
    )
    args = parser.parse_args(argv)
    try:
        folder = build(find_cann(args.cann), find_compiler(), Path(args.install).expanduser())
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(
        f"built. Before every run:\n  export ASCEND_CUSTOM_OPP_PATH={folder}:$ASCEND_CUSTOM_OPP_PATH\n"
        "then compare and time them:\n  python -m mindlong.ops.ascendc.verify"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The 910A operators under CANN's own headers, where folders with them are given (ascendc_cann.py
says which), and what can be held without: no call that the chip lacks, no stand-in kinder than
CANN.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import ascendc_cann as cann_folders
import pytest
from ascendc_cann_cases import CASES

from mindlong.ops.ascendc import emulate

HERE = Path(__file__).parents[1]
CANN = cann_folders.Cann.here()
KERNELS, HOST = emulate.HERE / "op_kernel", emulate.HERE / "op_host"
WARNING = re.compile(r"mindlong_attention\S*: (warning|error)")
with_kernels = pytest.mark.skipif(CANN.no_kernels is not None, reason=str(CANN.no_kernels))
with_host = pytest.mark.skipif(CANN.no_host is not None, reason=str(CANN.no_host))


def unsupported() -> set[str]:
    lines = (cann_folders.CHIP / "unsupported.txt").read_text().splitlines()
    return {line for line in lines if not line.startswith("#")}


def words(folder: Path) -> set[str]:
    """Every name in the sources of a folder, outside of comments."""
    text = "\n".join(p.read_text() for p in folder.rglob("*.*"))
    return set(re.findall(r"\w+", re.sub(r"//.*", "", text)))


# ---- without CANN ----


def test_the_kernels_call_nothing_that_the_chip_lacks():
    assert not words(KERNELS) & unsupported()


def test_the_twin_has_nothing_that_the_chip_lacks():
    assert not words(emulate.HERE / "twin") & unsupported()


def test_a_call_that_the_chip_lacks_is_noticed(tmp_path):
    """Maxs compiles to nothing on a 910A: neither an error nor an instruction."""
    (tmp_path / "kernel.h").write_text(
        "Maxs(x, x, half(0.0f), n), Step();  // Sort\nMins<float>(y, y, 0, n);"
    )
    assert words(tmp_path) & unsupported() == {"Maxs", "Mins"}


def test_the_twin_does_not_compile_it(tmp_path):
    text = '#include "kernel_operator.h"\nvoid f(AscendC::LocalTensor<half> x) {\n  '
    flags = ["-std=c++17", "-fsyntax-only", f"-I{emulate.HERE / 'twin'}"]
    for call, fine in (("Max(x, x, x, 8)", True), ("Maxs(x, x, half(0.0f), 8)", False)):
        source = tmp_path / "kernel.cpp"
        source.write_text(f"{text}AscendC::{call};\n}}\n")
        assert (cann_folders.compiler(flags, source).returncode == 0) == fine, call


HEADERS = ("register/tilingdata_base.h", "tiling/platform/platform_ascendc.h")


@pytest.mark.parametrize("used", ["ge::graphStatus x;", "gert::Shape x;", "ge::DataType x;"])
@pytest.mark.parametrize("header", HEADERS)
def test_only_the_registry_declares_what_cann_declares_there(tmp_path, header, used):
    flags = ["-std=c++11", "-fsyntax-only", f"-I{emulate.HERE / 'twin' / 'host'}"]
    source = tmp_path / "host.cpp"
    for first, fine in (("", False), ('#include "register/op_def_registry.h"\n', True)):
        source.write_text(f'{first}#include "{header}"\n{used}\n')
        assert (cann_folders.compiler(flags, source).returncode == 0) == fine


def test_the_registry_does_not_bring_the_macros_of_the_launch_data(tmp_path):
    flags = ["-std=c++11", "-fsyntax-only", f"-I{emulate.HERE / 'twin' / 'host'}"]
    source = tmp_path / "host.cpp"
    source.write_text(
        '#include "register/op_def_registry.h"\n#ifdef BEGIN_TILING_DATA_DEF\n#error kind\n#endif\n'
    )
    assert cann_folders.compiler(flags, source).returncode == 0


# ---- with CANN ----


@with_kernels
def test_the_list_of_what_the_chip_lacks_is_that_of_the_headers():
    assert CANN.refused() and CANN.refused() <= unsupported()
    assert not words(KERNELS) & CANN.refused()


@with_kernels
@pytest.mark.slow
def test_the_kernels_compile(tmp_path):
    flags = ["-fsyntax-only", *CANN.kernel_flags(tmp_path, KERNELS)]
    flags = [f for f in flags if f != "-w"] + ["-Wall", "-Wno-unused-parameter"]
    done = cann_folders.compiler(flags, cann_folders.CHIP / "compile.cpp")
    assert done.returncode == 0, done.stderr
    assert not WARNING.search(done.stderr), done.stderr


HOST_WAYS = [
    ("c++11", ["-D_GLIBCXX_USE_CXX11_ABI=0"]),
    ("c++11", ["-D_GLIBCXX_USE_CXX11_ABI=0", "-DOP_TILING_LIB"]),
    ("c++11", ["-D_GLIBCXX_USE_CXX11_ABI=0", "-DOP_PROTO_LIB"]),
    ("c++17", []),
]


@with_host
@pytest.mark.slow
@pytest.mark.parametrize(("standard", "defines"), HOST_WAYS)
def test_the_host_side_compiles_and_links(tmp_path, standard, defines):
    flags = [f"-std={standard}", *defines, "-fPIC", "-shared", "-Wall", *CANN.host_flags()]
    flags += ["-o", str(tmp_path / "host.so")]
    done = cann_folders.compiler(flags, *sorted(HOST.glob("*.cpp")))
    assert done.returncode == 0, done.stderr
    assert not WARNING.search(done.stderr), done.stderr


@with_host
@pytest.mark.slow
def test_another_order_of_headers_is_noticed(tmp_path):
    shutil.copytree(HOST, tmp_path, dirs_exist_ok=True)
    tiling = tmp_path / "mindlong_attention_tiling.h"
    text = tiling.read_text().replace('#include "register/op_def_registry.h"\n', "")
    tiling.write_text(text)
    flags = ["-std=c++11", "-fsyntax-only", *CANN.host_flags()]
    source = tmp_path / "mindlong_attention_forward.cpp"
    assert "does not name a type" in cann_folders.compiler(flags, source).stderr


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("cann")


def run_cases(library: Path, *names: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(HERE / "ascendc_cann_cases.py"), str(library), *names]
    return subprocess.run(command, capture_output=True, text=True, cwd=HERE.parents[1])


@pytest.fixture(scope="module")
def results(work):
    done = run_cases(cann_folders.build(CANN, work))
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {line["name"]: line for line in lines}, done.stderr


@with_kernels
@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_kernels_run_right_and_as_on_the_twin(results, name):
    lines, stderr = results
    assert name in lines, stderr[-2000:]
    assert max(lines[name]["errors"]) < 2e-3, lines[name]
    assert lines[name]["twin"]


FAULTS = {  # file, what, by what, and what must be said
    "a call that does nothing": (
        "mindlong_attention_vectors.h",
        "    Min(x, x, Number(value), Lanes<T>(), Repeats<T>(n), Against());",
        "    Mins(x, x, value, n);",
        "Mins is not supported",
    ),
    "a buffer that is short": (
        "mindlong_attention_reference.h",
        "peak_ = Take<half>(STRIP + 256);",
        "peak_ = Take<half>(STRIP);",
        "TransDataTo5HD",
    ),
    "a move that is not whole": (
        "mindlong_attention_tiles.h",
        "LoadFractals(right, b[k * columns * FRACTAL], n * columns, 1, false);",
        "LoadFractals(right, b[k * columns * FRACTAL], n * columns, 1, true);",
        "",
    ),
}


@with_kernels
@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_noticed(results, work, tmp_path, name):
    """Each of what CANN's checks or the numbers must refuse; `results` has built CANN's part."""
    file, old, new, said = FAULTS[name]
    kernels = shutil.copytree(KERNELS, tmp_path / "kernels")
    text = (kernels / file).read_text()
    assert old in text
    (kernels / file).write_text(text.replace(old, new))
    done = run_cases(cann_folders.build(CANN, work, kernels), "one tile")
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert said in done.stdout + done.stderr
    assert done.returncode or max(lines[0]["errors"]) > 2e-3

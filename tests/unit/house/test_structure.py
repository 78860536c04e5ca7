"""The figures of tools/structure_report.py stay where docs/architecture.md says they are."""

import importlib.util
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LONGEST_CHAIN = 15  # modules; 14 when this was written
LONGEST_FUNCTION = 50  # lines, with arguments and docstring


@pytest.fixture(scope="module")
def report():
    spec = importlib.util.spec_from_file_location("report", ROOT / "tools/structure_report.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def modules(report):
    return report.trees()


def test_no_way_along_imports_is_long(report, modules):
    chain = report.longest_chain(modules)
    assert len(chain) <= LONGEST_CHAIN, " > ".join(chain)


def test_functions_are_short(report, modules):
    lines = sorted(n for tree in modules.values() for n in report.function_lengths(tree))
    assert statistics.median(lines) <= 8 and lines[int(0.9 * len(lines))] <= 20
    assert lines[-1] <= LONGEST_FUNCTION


def test_no_ten_lines_stand_twice(report):
    assert report.duplicates() == []


def test_a_chain_is_the_longest_way(report):
    """Of a small package: c imports a and b, b imports a, which a circle would make endless."""
    import ast

    texts = {
        "mindlong.a": "",
        "mindlong.b": "from mindlong import a\nfrom typing import TYPE_CHECKING\n",
        "mindlong.c": "from mindlong.a import x\nimport mindlong.b\n",
        "mindlong.d": "if TYPE_CHECKING:\n    from mindlong import c\n",
    }
    trees = {name: ast.parse(text) for name, text in texts.items()}
    assert report.longest_chain(trees) == ["mindlong.c", "mindlong.b", "mindlong.a"]

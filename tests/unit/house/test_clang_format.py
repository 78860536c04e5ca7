"""The C++ of mindlong/ops follows .clang-format, one statement a line."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TOOL = Path(sys.executable).with_name("clang-format")  # of the test extra, one version for all
FOLDERS = ("mindlong/ops/ascendc", "mindlong/ops/native", "tests/unit/ascendc_c100")
FILES = sorted(
    p for f in FOLDERS for p in (ROOT / f).rglob("*") if p.suffix in (".h", ".cpp", ".cc")
)


def test_the_sources_are_formatted():
    command = [str(TOOL), "--dry-run", "-Werror", *map(str, FILES)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("file", FILES, ids=lambda p: p.name)
def test_no_statement_hides_behind_a_comma(file):
    found = hidden(file.read_text())
    assert not found, found


def test_hidden_statements_are_found():
    text = "void f() {\n  int a = 1, *b = g(1, 2);\n  h(a, b);\n  for (a = 0, b = 0; a; ++a, ++b) h(a);\n"
    assert hidden(text + "}") == []
    assert hidden(text + "  a = 2, b = g<int>(1);\n}") == ["a = 2, b = g;"]
    assert hidden(text + "  if (a) g<A, B>(1), x[1] = 2;\n}") == ["if g, x = 2;"]


def hidden(text: str) -> list[str]:
    """Statements where a comma outside of brackets joins two expressions, which the formatter takes
    for one: without their brackets.
    """
    text = re.sub(r'//.*|"[^"\n]*"|^\s*#.*(\\\n.*)*', "", text, flags=re.MULTILINE)
    bare = (strip(m[0]) for m in re.finditer(r"[^;{}]*;", " ".join(text.split())))
    keyword = r"(?:(?:static|const|constexpr|thread_local|extern|typedef)\s+)*"
    declared = re.compile(
        rf"(?!if|else|return)(?:\w+:\s+)?{keyword}[\w:]+[*&]?\s+[*&]?\w+\s*(?:=|,)"
    )
    joined = (s for s in bare if "," in s and not re.search("[()]", s) and s[0] not in ",)")
    return [s for s in joined if not declared.match(s)]


def strip(statement: str) -> str:
    """Without what stands in brackets."""
    inner = re.compile(r"\([^()]*\)|\[[^\[\]]*\]|<[\w\s,:*&<>]*>")
    while inner.search(statement):
        statement = inner.sub("", statement)
    return " ".join(statement.split())

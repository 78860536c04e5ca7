"""Who may import whom (docs/architecture.md), held over the syntax trees."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "mindlong"
ORDER = (  # a room imports those before it, and itself
    "utils",
    "plans",
    "media",
    "ops",
    "diffusion",
    "networks",
    "parallel",
    "config",
    "checkpoints",
    "data",
    "scores",
    "pipelines",
    "training",
    "cli",
)
ALLOWED = {room: set(ORDER[: i + 1]) for i, room in enumerate(ORDER)}
FREE_OF_MINDSPORE = ("utils", "plans", "config", "media")
FREE_FILES = ("data/shapes.py", "checkpoints/store.py", "checkpoints/torch_reader.py")
LIGHT = (  # the last words of files in networks that are no cells
    "spec",
    "names",
    "files",
    "families",
    "layouts",
    "measure",
    "cost",
    "traffic",
    "keys",
    "lone",
    "format",
    "network",
    "table",
    "choices",
    "customs",
    "sharded",
    "streams",
    "strangers",
    "tokenizer",
)


def imports(path: Path) -> set[str]:
    """Every module name a file imports, wherever the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative imports hide who imports whom"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def rooms_imported(path: Path) -> set[str]:
    return {
        name.split(".")[1]
        for name in imports(path)
        if name.startswith("mindlong.") and name != "mindlong.__version__"
    }


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_a_room_imports_only_the_rooms_below_it(room):
    files = sorted((PACKAGE / room).rglob("*.py"))
    assert files
    for path in files:
        wrong = rooms_imported(path) - ALLOWED[room]
        assert not wrong, f"{path.relative_to(PACKAGE)} imports {sorted(wrong)}"


def test_every_room_has_a_rule():
    rooms = {p.name for p in PACKAGE.iterdir() if p.is_dir() and (p / "__init__.py").exists()}
    assert rooms == set(ORDER)


def test_training_and_pipelines_meet_in_one_place_only():
    found = {
        str(path.relative_to(PACKAGE))
        for path in (PACKAGE / "training").rglob("*.py")
        if "pipelines" in rooms_imported(path)
    }
    assert found == {"training/tasks/pixel.py"}


def test_the_light_rooms_never_name_mindspore():
    files = [p for room in FREE_OF_MINDSPORE for p in (PACKAGE / room).rglob("*.py")]
    files += [PACKAGE / name for name in FREE_FILES]
    files += [p for p in (PACKAGE / "networks").rglob("*.py") if p.stem.split("_")[-1] in LIGHT]
    for path in files:
        heavy = [n for n in imports(path) if n.split(".")[0] in ("mindspore", "torch")]
        assert not heavy, f"{path.relative_to(PACKAGE)} imports {heavy}"


def test_torch_is_never_imported_by_the_package():
    for path in PACKAGE.rglob("*.py"):
        heavy = [
            n for n in imports(path) if n.split(".")[0] in ("torch", "diffusers", "transformers")
        ]
        assert not heavy, f"{path.relative_to(PACKAGE)} imports {heavy}"


@pytest.mark.parametrize(
    "module",
    ["mindlong.config.schema", "mindlong.config.load", "mindlong.cli.train", "mindlong.cli.infer"],
)
def test_commands_load_without_mindspore(module):
    code = f"import sys, {module}; sys.exit('mindspore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent).returncode == 0

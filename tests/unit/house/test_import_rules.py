"""Who may import whom (docs/architecture.md), held over the syntax trees."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[3] / "mindlong"
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
    "face",
    "app",
    "cli",
)
ALLOWED = {room: set(ORDER[: i + 1]) for i, room in enumerate(ORDER)}
ALLOWED["training"] -= {"pipelines"}  # they share diffusion.sample, not each other
FREE_OF_MINDSPORE = ("utils", "plans", "config", "media")
FREE_FILES = (
    "data/shapes.py",
    "data/film.py",
    "data/film_reader.py",
    "checkpoints/store.py",
    "checkpoints/torch_reader.py",
)
LIGHT = (  # the last words of files in networks that are no cells
    "spec",
    "checks",
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


def samplers_called(path: Path) -> list[str]:
    """Calls of what `sampler(...)`, `sampler_of(...)` or `SAMPLERS[...]` give, and of a rule."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        made = node.func.func if isinstance(node.func, ast.Call) else None
        made = node.func.value if isinstance(node.func, ast.Subscript) else made
        if made is not None and ast.unparse(made).split(".")[-1] in GIVE_SAMPLERS:
            found.append(ast.unparse(node.func))
        if isinstance(node.func, ast.Attribute) and node.func.attr == "rule":
            found.append(ast.unparse(node.func))
    return found


GIVE_SAMPLERS = {"sampler", "sampler_of", "SAMPLERS"}


def test_samplers_are_called_in_one_place_only():
    """All others call mindlong.diffusion.sample, which passes noise, file and options on."""
    walks = {"walk", "sampler", "SAMPLERS", "Denoiser"}
    allowed = {
        "diffusion/sample.py": {"sampler", "SAMPLERS"},
        "diffusion/inversion.py": {"Denoiser"},
        "diffusion/block_queue.py": {"Denoiser"},
        "config/infer_options/edit.py": {"SAMPLERS"},
    }
    tools = PACKAGE.parent / "tools"
    for path in [*PACKAGE.rglob("*.py"), *tools.glob("*.py"), *(tools / "bench").rglob("*.py")]:
        name = str(path.relative_to(PACKAGE if PACKAGE in path.parents else PACKAGE.parent))
        if name.startswith("diffusion/samplers/"):
            continue
        found = {
            module.rsplit(".", 1)[1]
            for module in imports(path)
            if module.startswith("mindlong.diffusion.samplers.")
        }
        assert found & walks <= allowed.get(name, set()), f"{name} calls a sampler itself"
        if name != "diffusion/sample.py":
            assert not samplers_called(path), f"{name} calls {samplers_called(path)}"


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

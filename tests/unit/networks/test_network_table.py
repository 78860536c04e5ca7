"""The table of networks: a family's facts stand in its own folder, and nowhere else."""

import ast
import dataclasses
import importlib
import re
from pathlib import Path

import pytest

from mindlong.networks import table
from mindlong.networks.network import FEATURES, NULLS, ROLES, SPACES, made
from mindlong.utils.errors import ConfigError

PACKAGE = Path(__file__).parents[3] / "mindlong"
FAMILIES = table.families()
CLASSES = sorted({n.hub.name for n in table.networks() if n.hub})
PIPELINES = sorted({n.hub.pipeline for n in table.networks() if n.hub and n.hub.pipeline})
ALSO = {  # file -> words that are a family's name and mean something else there
    # a way of DDIM, of spacing timesteps, called after the program it stems from
    "diffusion/samplers/flavours.py": {"modelscope", "animatediff"},
    "diffusion/samplers/spacing.py": {"modelscope"},
    # whose bugs `compat` reproduces
    "config/tune_options.py": {"tune_a_video"},
    "config/infer_options/edit.py": {"tune_a_video"},
    "pipelines/edit/make.py": {"tune_a_video"},
}
PLACE = re.compile(r"[\w.]+:\w+")  # "module:name", where code stands
CELLS = {  # file outside networks -> cells it may import: runs that need layers of one network
    "training/tasks/autoencoder.py": {"vae", "unet"},
    "training/tasks/infinet.py": {"unet"},
    "training/tasks/interpolation.py": {"unet"},
    "pipelines/hierarchical/controlled_model.py": {"unet"},
    "pipelines/edit/make.py": {"unet"},
    "scores/clip.py": {"clip"},
    "scores/video.py": {"clip"},
}


def outside():
    """Files of the package that are not of networks, with their syntax trees."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = str(path.relative_to(PACKAGE))
        if not name.startswith("networks/"):
            yield name, ast.parse(path.read_text())


def strings(tree):
    """Every text in the code, help of keys included; docstrings explain and may name names."""
    said = {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        text = getattr(node, "value", None) if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and node not in said and not PLACE.fullmatch(text):
            yield text


def words_found(words):
    """(file, word) of every text outside networks that holds one of `words` whole."""
    pattern = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, words))})(?![\w-])")
    for name, tree in outside():
        for text in strings(tree):
            for word in pattern.findall(text):
                yield name, word


def test_no_familys_name_stands_outside_of_networks():
    found = {(name, word) for name, word in words_found(FAMILIES)}
    allowed = {(name, word) for name, words in ALSO.items() for word in words}
    assert found == allowed


def test_no_class_of_a_hub_folder_is_named_outside_of_networks():
    assert not set(words_found([*CLASSES, *PIPELINES]))


def test_cells_are_built_through_the_table():
    """Only a run that needs layers of one network imports them."""
    for name, tree in outside():
        found = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                "mindlong.networks."
            ):
                folder, *rest = node.module.split(".")[2:]
                module = importlib.import_module(node.module)
                if rest and "mindspore" in Path(module.__file__).read_text().split("class ")[0]:
                    found.add(folder)
        assert found <= CELLS.get(name, set()), name


def test_every_entry_says_what_its_role_asks_for():
    for network in table.networks():
        assert network.role in ROLES and network.formats and network.our_markers
        assert dataclasses.is_dataclass(network.keys) and network.keys(family=network.family)
        asked = {
            "network": network.denoiser,
            "vae": network.codec,
            "text_encoder": network.text,
            "image_encoder": network.image,
            "motion": network.module,
        }
        assert network.role == "projector" or asked.get(network.role) is not None
        if network.denoiser:
            assert network.denoiser.space in SPACES
            assert set(network.denoiser.null.values()) <= set(NULLS)
            assert network.denoiser.features <= set(FEATURES)
            assert ("focus" in network.denoiser.features) == bool(network.denoiser.focused)


def places(value):
    """Every "module:name" in an entry."""
    if isinstance(value, str) and PLACE.fullmatch(value):
        yield value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            if field.name != "owner":
                yield from places(getattr(value, field.name))
    elif isinstance(value, tuple):
        for each in value:
            yield from places(each)


def test_everything_that_an_entry_names_is_there():
    found = {place for network in table.networks() for place in places(network)}
    assert len(found) > 10
    for place in found:
        assert callable(made(place)), place


def test_a_described_network_is_that_network_again():
    from mindlong.config.section import spec_of

    for network in table.networks():
        spec = network.keys(family=network.family).spec()
        assert spec_of(network.section(spec)) == spec


def test_a_name_is_taken_once():
    entry = table.get(FAMILIES[0])
    with pytest.raises(ValueError, match="already"):
        table.register(entry)


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(ConfigError, match="'modelskope'.*mean 'modelscope'"):
        table.get("modelskope")
    with pytest.raises(ConfigError, match="no family 'modelscope' in the role vae"):
        table.get("modelscope", "vae")
    with pytest.raises(ConfigError, match="no part 'text_encodr'.*mean 'text_encoder'"):
        table.role_of("text_encodr")

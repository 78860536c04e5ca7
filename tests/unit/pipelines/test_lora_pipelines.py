"""LoRAs in runs: the key lora=, the dry run, the record, and swapping them in a model that runs."""

from __future__ import annotations

import json
import shutil

import latent_toys
import lora_files as files
import mindspore as ms
import numpy as np
import pytest
from mindspore.common import api

import mindlong
from mindlong.checkpoints.latent_parts import find_latent_parts
from mindlong.checkpoints.load import arrays_of
from mindlong.checkpoints.lora.read import stamp
from mindlong.cli.infer import command
from mindlong.config.infer_options.latent import LatentModelOptions
from mindlong.ops import device
from mindlong.pipelines.load_model import load_latent_model
from mindlong.pipelines.loras import swap_loras
from mindlong.pipelines.models import Models
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.remember import remembering

X = np.random.default_rng(0).standard_normal((1, 4, 1, 6, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def where(tmp_path_factory):
    return latent_toys.folder(tmp_path_factory.mktemp("lora") / "tiny", "stable_diffusion")


@pytest.fixture(scope="module")
def loras(where, tmp_path_factory):
    """Two files; the second has no text encoder."""
    parts = find_latent_parts(str(where), LatentModelOptions())
    base = {"network": parts.network, "text_encoder": parts.text_encoder}
    folder = tmp_path_factory.mktemp("files")
    one = files.write(folder / "one.safetensors", files.kohya(base))
    two = files.write(folder / "two.safetensors", files.processors(base))
    return str(one), str(two)


@pytest.fixture
def compilations(monkeypatch):
    """Grows by one with each graph that is compiled, in graph mode."""
    found, compile_ = [], api._CellGraphExecutor.compile

    def counted(self, obj, *arguments, **named):
        phase, compiled = compile_(self, obj, *arguments, **named)
        found.extend([phase] if compiled else [])
        return phase, compiled

    monkeypatch.setattr(api._CellGraphExecutor, "compile", counted)
    before = ms.get_context("mode")
    ms.set_context(mode=ms.GRAPH_MODE)
    yield found
    ms.set_context(mode=before)


def answers(model):
    context = model.encode_text(["a dog"])
    return context, model.predict(X, np.array([7]), context)


def same(one, two):
    return all(
        np.array_equal(a.view(np.int32), b.view(np.int32)) for a, b in zip(one, two, strict=True)
    )


def test_swapping_compiles_nothing_and_gives_the_bits_of_a_fresh_load(where, loras, compilations):
    one, two = loras
    model = load_latent_model(str(where))
    plain = answers(model)
    compiled = len(compilations)
    assert compiled == 2  # the network and the text encoder
    found = {}
    for words in ((one,), (f"{two}:0.3", f"{one}:-0.5:0.2"), (two,)):
        swap_loras(model, words)
        found[words] = answers(model)
        assert not same(found[words], plain)
    assert same(found[(two,)][:1], plain[:1])  # the text encoder is the base's again
    swap_loras(model, ())
    assert same(answers(model), plain)
    assert len(compilations) == compiled
    words = (f"{two}:0.3", f"{one}:-0.5:0.2")
    swap_loras(model, words)
    fresh = load_latent_model(str(where), loras=words)
    for mine, new in ((model.network, fresh.network), (model.text_encoder, fresh.text_encoder)):
        mine, new = arrays_of(mine), arrays_of(new)
        assert same([mine[name] for name in new], new.values())


def test_models_that_a_program_keeps_change_their_loras_in_place(where, loras):
    models, options = Models(keep=True), LatentModelOptions()
    with remembering({}):
        first = models.latent(str(where), options, [loras[0]])
        network = first.network
        second = models.latent(str(where), options, [f"{loras[1]}:0.3"])
        assert second is first and second.network is network
        assert models.latent(str(where), options).loras == (f"{loras[1]}:0.3",)
        fresh = load_latent_model(str(where), loras=[f"{loras[1]}:0.3"])
        mine, new = arrays_of(second.network), arrays_of(fresh.network)
        assert same([mine[name] for name in new], new.values())
        plain = models.latent(str(where), options, ())
        mine, new = arrays_of(plain.network), arrays_of(load_latent_model(str(where)).network)
        assert same([mine[name] for name in new], new.values())


def test_a_file_whose_content_has_changed_is_read_again(where, loras, tmp_path, monkeypatch):
    """Also one of the same name in another working folder."""
    path = tmp_path / "style.safetensors"
    models, options = Models(keep=True), LatentModelOptions()

    def network(words):
        cell = models.latent(str(where), options, [words]).network
        return {name: array.copy() for name, array in arrays_of(cell).items()}

    with remembering({}):
        for source in loras:
            shutil.copy(source, path)
            mine = network(str(path))
            new = arrays_of(load_latent_model(str(where), loras=[source]).network)
            assert same([mine[name] for name in new], new.values())
        other = tmp_path / "other"
        other.mkdir()
        shutil.copy(loras[0], other / path.name)
        monkeypatch.chdir(tmp_path)
        network(path.name)
        monkeypatch.chdir(other)
        new = arrays_of(load_latent_model(str(where), loras=[loras[0]]).network)
        mine = network(path.name)
        assert same([mine[name] for name in new], new.values())


def test_a_stamp_tells_the_description_beside_a_file_too(loras, tmp_path):
    path = tmp_path / "adapter_model.safetensors"
    shutil.copy(loras[0], path)
    before = stamp(str(path))
    assert stamp(str(path)) == before == stamp(str(tmp_path))
    (tmp_path / "adapter_config.json").write_text('{"lora_alpha": 2}')
    assert stamp(str(path)) != before


def test_a_model_that_cannot_take_a_file_is_as_it_was(where, loras, tmp_path):
    model = load_latent_model(str(where), loras=[loras[0]])
    before = model.held["network"]
    strange = files.write(
        tmp_path / "x.safetensors",
        {"unet.none.lora_A.weight": np.ones((2, 4)), "unet.none.lora_B.weight": np.ones((4, 2))},
    )
    with pytest.raises(InputFileError, match="no layer for 1 of 1 pairs: unet.none"):
        swap_loras(model, [str(strange)])
    assert model.held["network"] is before


def run(where, out, *more):
    return command(
        [
            "pipeline=text_to_video",
            f"weights={where}",
            "prompt=a dog",
            "frames=2",
            "size=[12,12]",
            "sample.steps=1",
            "formats=[png]",
            "env.mode=pynative",
            f"output={out}",
            *more,
        ]
    )


def record(out):
    folder = sorted(out.iterdir())[-1]
    return json.loads((folder / "video.json").read_text())


def test_a_run_uses_them_and_remembers_their_content(where, loras, tmp_path, capsys):
    one, two = loras
    out = tmp_path / "out"
    assert run(where, out, f"lora=[{one}:0.5,{two}]", "--dry_run") == 0
    said = capsys.readouterr().out
    assert "one.safetensors (kohya), strength 0.5" in said and "two.safetensors" in said
    assert not out.exists()
    assert run(where, out, f"lora=[{one}:0.5,{two}]") == 0
    inputs = record(out)["inputs"]
    assert {"lora[0]", "lora[1]"} <= set(inputs) and inputs["lora[0]"]["path"] == one
    assert len(inputs["lora[0]"]["sha256"]) == 64


def test_an_unfinished_run_goes_on_with_the_same_loras_only(where, loras, tmp_path):
    from mindlong.pipelines.inputs import without_places

    trees = [
        without_places(f"lora: {words}\nlora_strict: true\n")
        for words in ([loras[0]], ["elsewhere.safetensors"], [f"{loras[0]}:0.5"], [])
    ]
    assert trees[0] == trees[1] != trees[2]
    assert trees[3] == {}


def test_a_recipe_finds_the_files_and_keeps_their_strengths(loras, tmp_path):
    from mindlong.pipelines import recipe

    text = f"pipeline: text_to_video\nweights: w\nlora: ['{loras[0]}:0.3', '{loras[1]}:-1:0.5']\n"
    inputs = {f"lora[{n}]": {"path": path, "sha256": "0" * 64} for n, path in enumerate(loras)}
    held = json.loads(recipe.text_of(text, inputs, "video"))
    assert not any(str(path) in json.dumps(held) for path in loras)
    folder = tmp_path
    for path in loras:
        (folder / path.rsplit("/")[-1]).write_bytes(b"")
    made = recipe.Recipe(folder / "v.mp4", "0", held["config"], held["files"], "video")
    found = recipe.tree_of(made, {}).values["lora"]
    assert found == [f"{folder}/one.safetensors:0.3:0.3", f"{folder}/two.safetensors:-1.0:0.5"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (":0.5", "FILE:STRENGTH"),
        ("nowhere.safetensors", "lora: no file at nowhere.safetensors"),
    ],
)
def test_what_is_no_lora_is_one_sentence_before_the_run(where, tmp_path, capsys, words, told):
    assert run(where, tmp_path / "out", f"lora=[{words}]", "--dry_run") != 0
    err = capsys.readouterr().err
    assert told in err and "Traceback" not in err


def test_weights_that_are_a_lora_are_told_where_they_go(loras, tmp_path, capsys):
    assert run(loras[0], tmp_path / "out") != 0
    err = capsys.readouterr().err
    assert "a LoRA file" in err and "lora=FILE" in err


def test_a_network_in_pixels_takes_them(tmp_path, capsys):
    from mindlong.checkpoints.find import find_trained
    from mindlong.networks import table
    from mindlong.networks.lora_names import layers

    trained = find_trained("shipped:vdm_shapes")
    network, spec = table.get("vdm"), trained.config.model.spec()
    arrays = {}
    for layer in layers(network, spec):
        arrays[f"{layer.source}.lora_A.weight"], arrays[f"{layer.source}.lora_B.weight"] = (
            files.matrices(layer, 2, 0)
        )
    path = files.write(tmp_path / "x.safetensors", arrays)
    from mindlong.checkpoints.lora.latent import over_trained, stamps_of
    from mindlong.pipelines.pixel.make import network_for

    found = over_trained(trained, [f"{path}:0.1"])
    changed = [n for n, a in trained.arrays.items() if not np.array_equal(found.arrays[n], a)]
    assert len(changed) == len(arrays) // 2 > 20
    models = Models(keep=True)
    cells = [
        network_for(models, "shipped:vdm_shapes", found, "", [str(path)], stamps_of([str(path)]))
        for content in (1, 1, 2)
        if files.write(path, {name: array * content for name, array in arrays.items()})
    ]
    assert len(set(map(id, cells))) == 3, "a file that was written anew is another"
    again = network_for(
        models, "shipped:vdm_shapes", found, "", [str(path)], stamps_of([str(path)])
    )
    assert again is cells[-1]
    shown = command(["weights=shipped:vdm_shapes", "prompt=a", f"lora=[{path}]", "--dry_run"])
    assert shown == 0 and "x.safetensors" in capsys.readouterr().out


@pytest.fixture
def in_order():
    """A loaded model sets the device of the whole process."""
    yield
    ms.set_context(mode=ms.GRAPH_MODE, pynative_synchronize=False)
    device.configure()


def test_a_loaded_model_takes_loras_for_its_calls(where, loras, in_order):
    model = mindlong.load(where, quiet=True, env__mode="pynative", env__native="off")
    keys = {"frames": 1, "size": [12, 12], "sample__steps": 1, "seed": 1}

    def made(**more):
        return model("a dog", **keys, **more).latents

    plain = made()
    network = model.network
    model.lora(f"{loras[0]}:2")
    with_one = made()
    assert not np.array_equal(with_one, plain)
    with_two = made(lora=[f"{loras[1]}:2"])
    assert not np.array_equal(with_two, plain) and not np.array_equal(with_two, with_one)
    assert np.array_equal(made(), with_one)
    model.lora()
    assert np.array_equal(made(), plain) and model.network is network
    with pytest.raises(ConfigError, match="FILE:STRENGTH"):
        model.lora(":1")
    model.lora("nowhere.safetensors")
    with pytest.raises(InputFileError, match="lora: no file at nowhere"):
        made()

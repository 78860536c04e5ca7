"""CLIP's image encoder: an extra of a file, converted where it is asked for."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from mindlong.checkpoints.files import open_weights
from mindlong.checkpoints.parts import read_part
from mindlong.checkpoints.torch_writer import write_torch
from mindlong.cli.convert import command
from mindlong.cli.inspect import command as inspect
from mindlong.cli.run_network import command as run_network
from mindlong.networks import table
from mindlong.networks.clip import text_names, vision_spec
from mindlong.networks.clip.text_spec import ClipTextSpec
from mindlong.networks.clip.vision_cell import ImageEncoder
from mindlong.networks.init import initialise
from mindlong.networks.network import made
from mindlong.utils import rng

IMAGE = vision_spec.ClipVisionSpec(
    size=8,
    patch=4,
    width=128,
    layers=2,
    heads=2,
    hidden=96,
    projection=10,
    text_width=64,
    activation="gelu",
)
TEXT = ClipTextSpec(
    vocabulary=30, width=64, layers=2, heads=1, hidden=96, length=5, activation="gelu", pad_id=0
)
HEADS = "heads=2"


@pytest.fixture(params=["transformers", "open_clip"])
def file(request, tmp_path) -> Path:
    """A whole CLIP in one naming."""
    entries = vision_spec.names(IMAGE, request.param) + text_names.names(TEXT, request.param)
    state = {e.source: rng.normal(e.source_shape, 0, "clip", e.source) for e in entries}
    write_torch(tmp_path / "clip.bin", {**state, "logit_scale": np.ones((), np.float32)})
    return tmp_path / "clip.bin"


def test_it_is_shown_and_left_out_of_a_conversion_that_does_not_name_it(file, tmp_path, capsys):
    assert inspect([str(file)]) == 0
    assert "clip_vision image_encoder" in capsys.readouterr().out
    assert command(["--src", str(file), "--dst", str(tmp_path / "all.safetensors")]) == 0
    assert set(open_weights(tmp_path / "all.safetensors")) == {
        f"text_encoder.{e.ours}" for e in text_names.names(TEXT)
    }


def test_it_comes_to_our_names_and_back_bit_for_bit(file, tmp_path):
    ours, back = tmp_path / "ours.safetensors", tmp_path / "back.bin"
    arguments = ["--src", str(file), "--dst", str(ours), "--part", "image_encoder", HEADS]
    assert command([*arguments, "activation=gelu"]) == 0
    section = yaml.safe_load((tmp_path / "ours.yaml").read_text())
    assert table.get(section["family"]).keys(**section).spec() == IMAGE
    assert command(["--src", str(ours), "--dst", str(back)]) == 0
    first, again = open_weights(file), open_weights(back)
    assert all(np.array_equal(first.read(name), again.read(name)) for name in again)
    assert {e.ours for e in vision_spec.names(IMAGE)} == {
        name.removeprefix("image_encoder.") for name in open_weights(ours)
    }


def test_a_tensor_that_nobody_knows_is_not_passed_over(file, tmp_path, capsys):
    """The text encoder's patterns for what else its files hold do not hide it."""
    held = {name: open_weights(file).read(name) for name in open_weights(file)}
    inside = "visual." if any(n.startswith("visual.") for n in held) else "vision_model."
    write_torch(tmp_path / "more.bin", {**held, f"{inside}new.weight": np.ones(3, np.float32)})
    arguments = ["--src", str(tmp_path / "more.bin"), "--dst", str(tmp_path / "x.safetensors")]
    assert command([*arguments, "--part", "image_encoder", HEADS]) == 3
    assert f"{inside}new.weight" in capsys.readouterr().err


def test_it_runs_alone_as_the_cell_does(file, tmp_path):
    entry = table.get("clip_vision")
    part = read_part(open_weights(file), "image_encoder", overrides={"heads": 2})
    cell = initialise(ImageEncoder(part.spec), 0)
    for p in cell.get_parameters():
        p.set_data(p.init_data() if p.has_init else p)
    from mindlong.checkpoints.load import load_into

    load_into(cell, {n: lazy.read() for n, lazy in part.arrays.items()})
    frames = rng.generator(0, "frames").integers(0, 256, (2, 12, 9, 3), np.uint8)
    x = made(entry.image.prepare)(frames, part.spec)
    assert x.shape == (2, 3, 8, 8)
    from mindspore import Tensor

    want = cell.set_train(False)(Tensor(x)).asnumpy()
    np.savez(tmp_path / "in.npz", x=x)
    (tmp_path / "m.yaml").write_text(yaml.safe_dump(entry.section(part.spec)))
    files = ["--weights", str(file), "--inputs", str(tmp_path / "in.npz")]
    files += ["--model", str(tmp_path / "m.yaml"), "--out", str(tmp_path / "out.npz")]
    assert run_network(files) == 0
    with np.load(tmp_path / "out.npz") as found:
        np.testing.assert_allclose(found["out"], want, atol=1e-5)

"""Looking at a file says what it is and what is wrong with it, and runs nothing of it."""

import argparse
import pickle
import string
from pathlib import Path

import numpy as np
import pytest
import torch_files as tf

from mindlong.checkpoints.files import write_safetensors, write_torch
from mindlong.cli.inspect import command

TRAINER = Path(__file__).parents[2] / "golden" / "checkpoints" / "vdm_trainer.pt"


def look(capsys, *arguments):
    code = command([str(a) for a in arguments])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_a_trainers_file_is_described(capsys):
    code, out, _ = look(capsys, TRAINER)
    assert code == 0
    for line in (
        "PyTorch, 113,",
        "tensors    212, ",
        "212 float32",
        "beside     step = 4321",
        "vdm unet: Unet3D of video-diffusion-pytorch (it has ema.denoise_fn.time_rel_pos_bias",
        "(it has model.denoise_fn.time_rel_pos_bias",
        "{'dim': 4, ",
        "91 mapped, 0 missing, 0 extra, 0 misshaped",
        "the largest 12 of 212 tensors",
        "asks for 3 names",
    ):
        assert line in out, line
    assert "SUSPICIOUS" not in out


def test_every_tensor_is_listed_on_demand(capsys, tmp_path):
    write_safetensors(
        tmp_path / "a.safetensors", {f"t{i}": np.zeros((i, 2), np.float16) for i in range(30)}
    )
    code, out, _ = look(capsys, tmp_path / "a.safetensors", "--names")
    assert code == 0 and out.count("float16   [") == 30 and "none of the networks known here" in out
    assert look(capsys, tmp_path / "a.safetensors")[1].count("float16   [") == 12


def test_what_does_not_fit_its_network_is_shown(capsys, tmp_path):
    from mindlong.networks.unet3d.names import names
    from mindlong.networks.unet3d.spec import Unet3DSpec

    state = {
        e.source: np.zeros(e.source_shape, np.float32)
        for e in names(Unet3DSpec(dim=8, dim_mults=(1,)))
    }
    state["final_conv.1.bios"] = state.pop("final_conv.1.bias")
    write_torch(tmp_path / "a.pt", state)
    _, out, _ = look(capsys, tmp_path / "a.pt")
    assert "1 missing, 1 extra" in out and "final_conv.1.bias   (nearest: final_conv.1.bios)" in out


def test_a_file_of_ours_is_recognised(capsys, tmp_path):
    from mindlong.networks.unet3d.names import names
    from mindlong.networks.unet3d.spec import Unet3DSpec

    state = {
        f"unet.{e.ours}": np.zeros(e.our_shape, np.float32)
        for e in names(Unet3DSpec(dim=8, dim_mults=(1,)))
    }
    write_safetensors(tmp_path / "a.safetensors", state)
    assert "network    ours of vdm unet" in look(capsys, tmp_path / "a.safetensors")[1]


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_every_suspicious_name_is_listed_with_what_it_can_do(capsys, tmp_path, protocol):
    tree = {
        "w": tf.tensor(0, np.ones(2)),
        "x": tf.Call(eval, "1"),
        "args": string.Template("a"),
        "beside": argparse.Namespace(a=1),
        "y": tf.Call(print, "harm done"),
    }
    code, out, _ = look(capsys, tf.write(tmp_path / "a.pt", tree, protocol))
    assert code == 3 and "harm done" not in out and "not read   " in out
    name = "__builtin__.eval" if protocol < 3 else "builtins.eval"
    assert f"SUSPICIOUS {name}: can run programs" in out
    assert "SUSPICIOUS string.Template: not a tensor; --inert steps over it" in out
    assert "SUSPICIOUS argparse" not in out and "argparse.Namespace" in out
    assert name.replace("eval", "print") in out
    assert "torch.DoubleStorage" not in out


def test_harmless_names_can_be_stepped_over(capsys, tmp_path):
    path = tf.write(
        tmp_path / "a.pt", {"w": tf.tensor(0, np.ones(2)), "args": string.Template("a")}
    )
    assert look(capsys, path)[0] == 3
    code, out, _ = look(capsys, path, "--inert", "string.*")
    assert code == 0 and "tensors    1, 2 numbers" in out and "SUSPICIOUS string.Template" in out


def test_an_old_pickle_is_named_and_searched(capsys, tmp_path):
    parts = (
        0x1950A86A20F9469CFC6C,
        1001,
        {"little_endian": True},
        [tf.Call(exec, "harm = 1")],
        ["0"],
    )
    (tmp_path / "old.pth").write_bytes(
        b"".join(pickle.dumps(part, 2) for part in parts) + bytes(100)
    )
    code, out, _ = look(capsys, tmp_path / "old.pth")
    assert code == 3 and "PyTorch before 1.6" in out and "SUSPICIOUS __builtin__.exec" in out


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "git-lfs"),
        (b"", "empty"),
        (b"<html>", "HTML"),
        (b"PK\3\4 cut", "cut short"),
    ],
)
def test_what_is_no_weight_file_is_named(capsys, tmp_path, data, word):
    (tmp_path / "a.ckpt").write_bytes(data)
    code, out, _ = look(capsys, tmp_path / "a.ckpt")
    assert code == 3 and word in out


def test_several_files_and_a_missing_one(capsys, tmp_path):
    assert look(capsys, TRAINER, TRAINER)[0] == 0
    code, _, err = look(capsys, tmp_path / "nowhere.pt")
    assert code == 3 and "there is no such file" in err


def test_a_deep_or_endless_pickle_is_no_way_to_hang_the_look(capsys, tmp_path):
    for data in (
        b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b".",
        b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s.",
    ):
        assert look(capsys, tf.write_raw(tmp_path / "a.pt", data))[0] == 3

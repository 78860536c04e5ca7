"""What a packaged run writes, and what it refuses to write over or to read."""

import shutil

import pytest

from mindlong.checkpoints.locate import SHIPPED
from mindlong.cli.package_weights import command


@pytest.fixture
def run(tmp_path):
    """A folder of a run in pixels."""
    return shutil.copytree(SHIPPED / "vdm_shapes", tmp_path / "run")


def package(*words):
    return command([str(word) for word in words])


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_nothing_is_written_over_unless_asked_for(run, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "README.md").write_text("a card")
    assert package(run, out) == 0
    assert (out / "README.md").read_text() == "a card" and (out / "model.safetensors").is_file()
    (out / "config.yaml").write_text("my own")
    before = files(out)
    assert package(run, out) == 2
    assert "config.yaml exists; give another OUT, or --overwrite" in capsys.readouterr().err
    assert files(out) == before
    assert package(run, out, "--overwrite") == 0
    assert (out / "config.yaml").read_text() != "my own"
    assert (out / "README.md").read_text() == "a card"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "run"]


def test_a_run_is_not_packaged_onto_itself(run, capsys):
    before = files(run)
    for out in (run, run / ".." / "run"):
        assert package(run, out, "--overwrite") == 2
        assert "the folder that is packaged; name another folder" in capsys.readouterr().err
    assert package(run / "model.safetensors", run, "--overwrite") == 2
    assert files(run) == before


def test_what_is_no_folder_is_told(run, tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    for out in ("file", "file/deeper"):
        assert package(run, tmp_path / out) == 2
        assert "file is a file; name a folder" in capsys.readouterr().err


def test_weights_without_a_run_are_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert package("shipped:vdm_shapes", "out") == 3
    assert "shipped:vdm_shapes is in no folder with a config.yaml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "why"), [([], "is a network in pixels"), (["--changed"], "with --changed only")]
)
def test_an_autoencoder_is_left_out_only_where_there_is_one(run, words, why, tmp_path, capsys):
    assert package(run, tmp_path / "out", "--refer_vae", *words) == 2
    said = capsys.readouterr().err
    assert "--refer_vae leaves an autoencoder out, and " in said and why in said
    assert not (tmp_path / "out").exists()


def test_whole_weights_are_not_written_as_what_changed(run, tmp_path, capsys):
    assert package(run, tmp_path / "out", "--changed") == 3
    assert "is no file of tuned tensors: it has no base" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()

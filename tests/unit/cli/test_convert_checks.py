"""What the converter refuses before it reads tensors: what nothing would read, and mixed models."""

import shutil

import latent_toys
import pytest

from mindlong.checkpoints.locate import SHIPPED
from mindlong.cli.convert import command

OURS = str(SHIPPED / "latent_shapes")


def run(*words):
    return command([str(word) for word in words])


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A whole diffusers folder: UNet, VAE, text encoder, tokenizer, scheduler."""
    ours = latent_toys.folder(tmp_path_factory.mktemp("hub") / "tiny", "stable_diffusion")
    assert run("--src", ours, "--dst", ours.with_name("hub"), "--layout", "diffusers") == 0
    return ours.with_name("hub")


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


INWARDS = {
    ("vea.scaling=0.5",): "vea.scaling: nothing called vea is converted. Did you mean 'vae'?",
    ("--layout", "guoyww"): "--layout is read on the way from ours",
    ("--layout", "nonsense"): "--layout is read on the way from ours",
    ("--form", "trainer"): "--form is read on the way from ours",
    ("--model", "/nonexistent.yaml"): "--model is read on the way from ours",
}
OUTWARDS = {
    ("vea.scaling=0.5",): "vea.scaling: nothing called vea is converted. Did you mean 'vae'?",
    ("--form", "trainer"): "--form is read where --dst is a file",
    ("--part", "vae", "--family", "tune_a_video"): "--family is tune_a_video, a unet, and a vae is",
    ("--part", "vae", "vea.scaling=1"): "vea.scaling: nothing called vea is converted",
}


@pytest.mark.parametrize("words", INWARDS)
def test_what_the_way_to_ours_does_not_read_is_refused(words, hub, tmp_path, capsys):
    assert run("--src", hub, "--dst", tmp_path / "out", "--dry_run", *words) == 2
    assert INWARDS[words] in capsys.readouterr().err


@pytest.mark.parametrize("words", OUTWARDS)
def test_what_the_way_to_the_original_does_not_read_is_refused(words, tmp_path, capsys):
    assert run("--src", OURS, "--dst", tmp_path / "out", "--dry_run", *words) == 2
    assert OUTWARDS[words] in capsys.readouterr().err


def test_a_key_without_its_part_is_refused_where_parts_go_into_one_file(tmp_path, capsys):
    words = ("--src", OURS, "--dst", tmp_path / "a.safetensors", "--dry_run")
    assert run(*words, "scaling=0.5") == 2
    assert "say of which it is: " in capsys.readouterr().err


def test_keys_of_parts_that_are_converted_are_read(hub, tmp_path):
    out = tmp_path / "out"
    assert run("--src", hub, "--dst", out, "vae.scaling=0.5") == 0
    assert "scaling: 0.5" in (out / "vae.yaml").read_text()


def test_no_part_of_another_model_stays_beside_new_ones(hub, tmp_path, capsys):
    out = tmp_path / "ours"
    assert run("--src", hub, "--dst", out) == 0
    before = files(out)
    assert run("--src", hub / "unet", "--dst", out, "--overwrite") == 2
    said = capsys.readouterr().err
    assert "scheduler/scheduler_config.json, text_encoder.safetensors" in said
    assert "which would stay beside what is written and be read with it" in said
    assert files(out) == before
    shutil.copyfile(out / "vae.safetensors", out / "branch.safetensors")
    assert run("--src", hub, "--dst", out, "--overwrite") == 2
    assert "holds branch.safetensors, which would stay" in capsys.readouterr().err
    (out / "branch.safetensors").unlink()
    (out / "notes.txt").write_text("mine")
    assert run("--src", hub, "--dst", out, "--overwrite") == 0
    assert files(out) == before | {"notes.txt": b"mine"}


def test_an_export_does_not_go_between_parts_of_ours(hub, tmp_path, capsys):
    """Ours would still be read, and not what was written."""
    out = tmp_path / "ours"
    assert run("--src", hub, "--dst", out) == 0
    assert run("--src", OURS, "--dst", out, "--layout", "diffusers", "--overwrite") == 2
    assert "text_encoder.safetensors" in capsys.readouterr().err
    again = tmp_path / "again"
    for _ in range(2):
        assert run("--src", out, "--dst", again, "--layout", "diffusers", "--overwrite") == 0

"""What an autoencoder gives back, measured by the shipped one of the shapes world."""

import json
import re

import cv2
import numpy as np
import pytest

from mindlong.cli.evaluate_autoencoder import command, main
from mindlong.config.latent_options import LatentOptions
from mindlong.data.shapes import ShapesWorld
from mindlong.media.write import write_frames
from mindlong.networks.cogvideox_vae.spec import VideoVaeSpec
from mindlong.scores import autoencoder
from mindlong.scores.autoencoder import fidelity
from mindlong.training.tasks.latent_networks import build_autoencoder
from mindlong.utils.errors import ConfigError

SHIPPED = "shipped:base_shapes"


def test_the_shipped_autoencoder_gives_its_own_world_back_and_noise_not():
    streams, _, _ = build_autoencoder(LatentOptions(vae=SHIPPED))
    clip = ShapesWorld((64, 64), 4).sample(10**9).frames_FHWC
    found, first = fidelity(streams, [clip[:2], clip[2:]])
    assert found.images == 4 and first.shape == (2, 2, 64, 64, 3)
    assert found.psnr > 38 and found.ssim > 0.98 and 0.5 < found.deviation < 2.5
    error = np.square(first[1].astype(float) - first[0]).mean()
    alone, _ = fidelity(streams, [clip[:2]])
    assert alone.psnr == pytest.approx(10 * np.log10(255**2 / error))
    noise = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    assert fidelity(streams, [noise])[0].psnr < 20
    with pytest.raises(ConfigError, match="what is given has no images to measure"):
        fidelity(streams, [])


def test_the_deviation_is_that_of_all_latents_though_none_is_kept(monkeypatch):
    latents = [np.random.default_rng(i).normal(3, 2, (2, 4, 8, 8)).astype("f") for i in range(3)]
    given, held = iter(latents), np.zeros_like(latents[0])

    def encode(*_):
        held[:] = next(given)  # what was kept of the batch before is gone
        return held

    monkeypatch.setattr(autoencoder, "encode_frames", encode)
    monkeypatch.setattr(autoencoder, "_decoded", lambda *a: np.zeros((2, 8, 8, 3), np.uint8))
    found, _ = fidelity(None, [np.zeros((2, 8, 8, 3), np.uint8)] * 3)
    assert found.deviation == pytest.approx(np.concatenate(latents).astype(float).std(), rel=1e-9)


def test_an_autoencoder_that_takes_frames_together_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(
        "mindlong.training.tasks.latent_networks.build_autoencoder",
        lambda *a: (None, VideoVaeSpec(), ""),
    )
    assert command([SHIPPED, "--world", "shapes"]) == 2
    assert "makes one latent of several frames" in capsys.readouterr().err


def test_the_tool_measures_videos_and_a_world(tmp_path, capsys):
    write_frames(tmp_path / "clip", ShapesWorld((96, 128), 5).sample(3).frames_FHWC)
    out, sheet = tmp_path / "out.json", tmp_path / "sheet.png"
    asked = [SHIPPED, str(tmp_path / "clip"), "--every", "2", "--world", "shapes", "--count", "3"]
    assert main([*asked, "--threads", "1", "--json", str(out), "--sheet", str(sheet)]) == 0
    found = json.loads(out.read_text())
    assert {name: row["images"] for name, row in found.items()} == {"clip": 3, "shapes world": 3}
    assert found["shapes world"]["psnr"] > 38
    assert cv2.imread(str(sheet)).shape[0] > 4 * 64, "two rows for each"
    assert "deviation" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "nothing to measure"),
        (
            ["--world", "shapes", "--size", "30", "64"],
            2,
            r"\[30, 64\]; both must be multiples of 4",
        ),
        (["--world", "shapes", "--count", "0"], 2, "count is 0; it must be at least 1"),
        (["--world", "shapes", "--size", "0", "64"], 2, "size is 0; it must be at least 1"),
        (["--world", "shapes", "--threads", "-3"], 2, "threads is -3; it must be at least 0"),
        (["a.mp4", "--every", "9" * 26], 2, "9999; it must be at most 100000"),
        (["a.mp4", "--max_frames", "9" * 26], 2, "9999; it must be at most 100000"),
        (["a.mp4", "--size", "64", "100000"], 2, "size is 100000; it must be at most 8192"),
        (["a.mp4", "a.mp4"], 2, "a video is named twice"),
        (["nowhere.mp4"], 3, "nowhere.mp4"),
    ],
)
def test_what_cannot_be_measured_is_refused(words, code, said, capsys):
    assert command([SHIPPED, *words]) == code
    assert re.search(said, capsys.readouterr().err)

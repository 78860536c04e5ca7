"""The image encoder of CLIP and the scores made with it, against transformers
(tools/golden/clip_vision.py).
"""

from pathlib import Path

import numpy as np
import pytest
from mindspore import Tensor

from mindlong.checkpoints.files import write_safetensors
from mindlong.cli.evaluate_video import flicker, likeness, main, measure
from mindlong.networks.clip.vision_cell import ImageEncoder, prepared
from mindlong.networks.clip.vision_spec import ClipVisionSpec, names
from mindlong.scores.video import consistency, load_clip
from mindlong.utils import rng
from mindlong.utils.errors import ConfigError, InputFileError

GOLDEN = Path(__file__).parents[2] / "golden" / "clip_vision.npz"
SPEC = ClipVisionSpec(
    size=32, patch=8, width=64, layers=2, heads=1, hidden=96, projection=24, text_width=64
)


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny CLIPModel with a tokenizer of single letters, as transformers would lay it out."""
    from latent_toys import tokenizer

    where = tmp_path_factory.mktemp("clip")
    write_safetensors(where / "model.safetensors", weights())
    tokenizer(where / "tokenizer")
    return where


def weights():
    """Random numbers for every tensor of both encoders, by transformers' names."""
    from mindlong.networks.clip import text_names as clip_names
    from mindlong.networks.clip import text_spec as clip_text

    text = clip_text.ClipTextSpec(vocabulary=300, width=64, layers=2, heads=1, hidden=96, length=8)
    entries = [*names(SPEC), *clip_names.names(text)]
    made = {
        e.source: rng.normal(e.source_shape, 5, "clip", e.source) * np.float32(0.15)
        for e in entries
    }
    near = {n: a + 1 for n, a in made.items() if "norm" in n and n.endswith("weight")}
    return {**made, **near, "logit_scale": np.float32(2.6).reshape(())}


def pictures():
    return np.random.default_rng(3).integers(0, 256, (3, 40, 52, 3)).astype(np.uint8)


def test_embeddings_of_pictures_equal_transformers(golden, folder):
    scorer = load_clip(folder)
    assert scorer.image.spec == SPEC
    x = prepared(pictures(), SPEC.size)
    np.testing.assert_allclose(x, golden["prepared"], atol=1e-5)
    ours = scorer.image(Tensor(x)).asnumpy()
    np.testing.assert_allclose(
        ours, golden["image_embeds"], atol=2e-5 * np.abs(golden["image_embeds"]).max()
    )


def test_embeddings_of_texts_equal_transformers(golden, folder):
    scorer = load_clip(folder)
    assert np.array_equal(scorer.tokenizer(["a cat", "dog"]), golden["ids"])
    want = golden["text_embeds"] / np.linalg.norm(golden["text_embeds"], axis=1, keepdims=True)
    np.testing.assert_allclose(scorer.texts(["a cat", "dog"]), want, atol=2e-5)


def test_every_parameter_has_an_entry_and_the_published_size_its_count():
    ours = {p.name: p.shape for p in ImageEncoder(SPEC).get_parameters()}
    assert ours == {e.ours: e.our_shape for e in names(SPEC)}
    count = sum(
        int(np.prod(e.our_shape))
        for e in names(ClipVisionSpec())
        if not e.ours.startswith("text_projection")
    )
    assert count == 87_849_216  # CLIPVisionModelWithProjection of openai/clip-vit-base-patch32


@pytest.mark.slow
def test_scores_say_what_they_should(folder):
    scorer, frames = load_clip(folder, chunk=2), pictures()
    units = scorer.frames(frames)
    np.testing.assert_allclose(np.linalg.norm(units, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(units, load_clip(folder, chunk=3).frames(frames), atol=1e-5)
    assert (
        consistency(units[[0, 0, 0]]) == pytest.approx(1)
        and consistency(units) < 1
        and consistency(units[:1]) == 1
    )
    pairs = [units[i] @ units[j] for i in range(3) for j in range(3) if i != j]
    assert consistency(units, True) == pytest.approx(np.mean(pairs), abs=1e-6)
    found = scorer.scores(frames, "a cat", "dog")
    assert found["text_agreement"] == pytest.approx(
        float((units @ scorer.texts(["a cat"])[0]).mean()), abs=1e-6
    )
    assert found["edit_accuracy"] == 1 - scorer.scores(frames, "dog", "a cat")["edit_accuracy"]


def test_measures_without_weights():
    frames = np.zeros((4, 24, 24, 3), np.uint8)
    frames += np.arange(4, dtype=np.uint8)[:, None, None, None] * 10
    assert flicker(frames) == 0 and flicker(frames[[0, 3, 0]]) == 60
    same = likeness(frames, frames)
    assert same["psnr"] == 100 and same["ssim"] == pytest.approx(1) and same["compared_frames"] == 4
    assert set(measure(frames, None, None, "", "")) == {"frames", "flicker"}


def test_the_tool_measures_files_and_names_what_is_missing(tmp_path, folder, capsys):
    from mindlong.media.write import write_frames

    a, b = write_frames(tmp_path / "a", pictures()), write_frames(tmp_path / "b", pictures()[::-1])
    given = [
        str(a),
        str(b),
        "--source",
        str(a),
        "--clip",
        str(folder),
        "--prompt",
        "cat",
        "--source_prompt",
        "dog",
    ]
    assert main([*given, "--json", str(tmp_path / "out.json")]) == 0
    text = capsys.readouterr().out
    assert (
        "frame_consistency" in text
        and "edit_accuracy" in text
        and "psnr                     100.0000" in text
    )
    with pytest.raises(ConfigError, match="--prompt needs --clip"):
        main([str(a), "--prompt", "cat"])
    with pytest.raises(ConfigError, match="given 2 times for 1 videos"):
        main([str(a), "--prompt", "cat", "--prompt", "dog", "--clip", str(folder)])
    with pytest.raises(InputFileError, match="--clip: nothing at"):
        main([str(a), "--clip", "nowhere"])
    write_safetensors(
        tmp_path / "text.safetensors", {n: w for n, w in weights().items() if "vision" not in n}
    )
    with pytest.raises(InputFileError, match="is not a whole CLIPModel"):
        load_clip(tmp_path / "text.safetensors")


@pytest.mark.parametrize("more", [[], ["--clip", "c", "--prompt", "x", "--prompt", "y"]])
def test_a_video_named_twice_is_refused(more):
    with pytest.raises(ConfigError, match="a video is named twice"):
        main(["a.mp4", "a.mp4", *more])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--activation", "gelu"], "--activation belongs to --clip"),
        (["--tokenizer", "nowhere"], "--tokenizer belongs to --clip"),
        (["--clip", "c", "--source_prompt", "x"], "--source_prompt belongs to --prompt"),
    ],
)
def test_what_nothing_would_read_is_refused(words, said):
    with pytest.raises(ConfigError, match=said):
        main(["a.mp4", *words])

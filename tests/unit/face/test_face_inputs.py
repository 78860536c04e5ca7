"""What a program gives to a call: prompts that go on, rates of plain frames, and one sentence for
ordinary mistakes.
"""

from pathlib import Path

import latent_toys
import numpy as np
import pytest
from eager_face import EAGER, in_order  # noqa: F401

import mindlong
from mindlong.face import inputs
from mindlong.utils.errors import ConfigError, UserError

FAST = {"size": [8, 8], "sample__steps": 1, "seed": 7}
FRAMES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    where = latent_toys.folder(tmp_path_factory.mktemp("inputs") / "video", "videocrafter2")
    return mindlong.load(where, quiet=True, **EAGER)


def video(**told):
    return mindlong.Video(FRAMES, 4, **told)


def test_the_prompt_of_a_video_goes_on_as_it_was_read(tmp_path):
    own = inputs.own_prompt
    assert own(video(prompt="a"), {}) == {"prompt": "a", "prompt_syntax": "plain"}
    weighted = video(prompt="a (cat:1.5)", prompt_syntax="weighted")
    assert own(weighted, {})["prompt_syntax"] == "weighted"
    assert own(video(prompt="@home"), {})["prompt"] == "@@home"
    assert own(video(prompt="@@home"), {})["prompt"] == "@@@home"
    for nothing in (video(), video(prompt="a -> b", titled=True), FRAMES):
        assert own(nothing, {}) == {}
    for keys in ({"prompt": ""}, {"prompts": ["b"]}):
        assert own(video(prompt="a"), keys) == {}
    path = tmp_path / "mine.yaml"
    path.write_text("prompts: [b]\n")
    assert own(video(prompt="a"), {}, path) == {}, "the file says something else"


@pytest.mark.slow
def test_a_video_goes_on_with_its_prompt_and_not_with_its_title(model):
    keys = {**FAST, "frames": 2}
    weighted = model("a (cat:1.5)", prompt_syntax="weighted", **keys)
    assert (weighted.prompt_syntax, weighted.titled) == ("weighted", False)
    more = {**FAST, "frames": 2, "run": 2, "overlap": 1}
    alone = model.extend(weighted, **more)
    told = model.extend(weighted, weighted.prompt, prompt_syntax="weighted", **more)
    assert np.array_equal(alone.latents, told.latents)
    home = model.extend(mindlong.Video(weighted.frames, prompt="@home"), **more)
    assert home.prompt == "@home"
    changing = model(scenes=[{"0": "spring", "1": "autumn"}], **keys)
    assert changing.titled and changing.prompt == "spring -> autumn"
    with pytest.raises(ConfigError, match="several prompts, 'spring -> autumn'.*prompt= says"):
        model.extend(changing, **more)
    assert model.extend(changing, "autumn", **more).prompt == "autumn"
    assert model.extend(changing, "", **more).prompt == ""
    assert len(model.between(changing, factor=2, method="flow")) == 3, "which reads no prompt"


def test_plain_frames_have_the_rate_of_the_call_or_of_its_file(model, tmp_path):
    keys = {"factor": 2, "method": "flow"}
    assert model.between(FRAMES, **keys).fps == 16
    assert model.between(FRAMES, fps=24, **keys).fps == 48
    path = tmp_path / "mine.yaml"
    path.write_text("fps: 12\n")
    assert model.between(FRAMES, config=path, **keys).fps == 24
    assert model.between(FRAMES, config=path, fps=5, **keys).fps == 10
    with pytest.raises(ConfigError, match="has a rate of its own"):
        model.between(video(), fps=24, **keys)
    path.write_text("seed: 1\nfps: fast\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml, line 2: fps is 'fast'"):
        model.between(FRAMES, config=path, **keys)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda m: m("a", fps="fast"), "the call: fps is 'fast'; it must be a whole number"),
        (lambda m: m.extend(FRAMES, "a", fps="fast"), "the call: fps is 'fast'; it must be a num"),
        (lambda m: m.extend(FRAMES, "a", fps=0), "the call: fps is 0.0; it must be a number of"),
        (lambda m: m.extend(FRAMES, "a", fps=float("nan")), "it must be a finite number"),
        (lambda m: m.extend(mindlong.Video(FRAMES, fps=0), "a"), "fps of a Video is 0; it must"),
        (lambda m: mindlong.Video(FRAMES, fps=float("nan")), "fps of a Video is nan; it must"),
        (lambda m: mindlong.Video(FRAMES, fps="fast"), "fps of a Video is 'fast'; it must"),
        (lambda m: m(3), "prompt is 3; it must be a text, or a list of texts"),
        (lambda m: m([3]), r"prompt is \[3\]; it must be a text"),
        (lambda m: m("a", callback=3), "callback is 3; it must be a function"),
        (lambda m: m("a", config=3), "config is 3; it must be the path of a file"),
        (lambda m: mindlong.load(3), "source is 3; it must be a path"),
        (lambda m: m.lora(["a", "b"]), r"lora is \['a', 'b'\]; it must be FILE"),
        (lambda m: m("a", sample={"steps": 1}, sample__steps=2), "sample.steps is given twice"),
        (lambda m: m(["a"], prompts=["b"]), "prompts is given twice"),
        (lambda m: m.between(FRAMES, factor=2, interpolate__factor=3), "factor is given twice"),
        (lambda m: m.between(FRAMES, factor=2, interpolate={"factor": 3}), "factor is given twice"),
        (lambda m: m.extend(FRAMES, "a", extend__video="b"), "extend.video is given twice"),
    ],
)
def test_an_ordinary_mistake_is_one_sentence(model, call, sentence):
    with pytest.raises(UserError, match=sentence):
        call(model)


def test_a_lora_may_be_a_path(model):
    with pytest.raises(UserError, match="lora: no file at nowhere.safetensors"):
        model.lora(Path("nowhere.safetensors"))("a", **FAST)
    model.lora()


@pytest.mark.parametrize("scale", [1.5, 2.0, "2", 0, True, None])
def test_a_scale_that_is_none_is_refused(tmp_path, scale):
    for name in ("a.gif", "a.png", "a.npz", "a"):
        with pytest.raises(ConfigError, match="scale is .*; it must be a whole number"):
            video().save(tmp_path / name, scale=scale)
    assert not list(tmp_path.iterdir())


def test_latents_are_not_enlarged(tmp_path):
    held = video(latents=np.zeros((4, 6, 2, 2), np.float32))
    with pytest.raises(ConfigError, match=r"scale is 4; .*a\.npz holds latents"):
        held.save(tmp_path / "a.npz", scale=4)
    assert held.save(tmp_path / "b.gif", scale=np.int64(2)).is_file()

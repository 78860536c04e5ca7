"""mindlong.load and the calls of a model: what infer.py makes, to the last bit, and nothing on
disk.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import latent_toys
import mindspore as ms
import numpy as np
import pytest
from eager_face import EAGER, in_order  # noqa: F401

import mindlong
from mindlong.cli.infer import main
from mindlong.media.read import read_video
from mindlong.media.recipe import read_comment
from mindlong.media.write import write_frames
from mindlong.utils.errors import ConfigError, InputFileError, UserError

ROOT = Path(__file__).parents[3]
SIZE = {"size": [8, 8], "sample__steps": 2, "seed": 7}


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    root = tmp_path_factory.mktemp("face")
    frames = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3)).astype(np.uint8)
    write_frames(root / "clip", frames, 4)
    return {
        "video": latent_toys.folder(root / "video", "videocrafter2"),
        "image": latent_toys.folder(root / "image", "stable_diffusion"),
        "clip": root / "clip",
        "frames": frames,
    }


@pytest.fixture(scope="module")
def model(places):
    return mindlong.load(places["video"], quiet=True, **EAGER)


def by_command(out, name="video", **keys):
    """The frames and the rate of what infer.py makes with the same keys."""
    pairs = [f"{key.replace('__', '.')}={value}" for key, value in {**keys, **EAGER}.items()]
    assert main([*pairs, f"output={out}", "formats=[frames]"]) == 0
    return read_video(sorted(out.glob("0*"))[-1] / name)


def equal(video, found):
    frames, fps = found
    assert np.array_equal(video.frames, frames)
    assert video.fps == fps


def test_a_plain_call_is_text_to_video(model, places, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keys = {**SIZE, "frames": 4, "sample__guidance": 2.0}
    steps = []
    video = model("a cat", callback=steps.append, **keys)
    assert not list(tmp_path.iterdir()), "a call writes nothing"
    out = tmp_path / "out"
    equal(
        video,
        by_command(out, weights=places["video"], pipeline="text_to_video", prompt="a cat", **keys),
    )
    with np.load(next(out.glob("0*/latents/video.npz"))) as held:
        assert np.array_equal(video.latents, held["latents"])
    assert (video.prompt, video.seed, len(video)) == ("a cat", 7, 4)
    assert [(s.number, s.total) for s in steps] == [(1, 2), (2, 2)]
    last = steps[-1].preview()
    assert last.shape == (1, *video.frames.shape) and last.dtype == np.uint8
    assert np.abs(last[0].astype(int) - video.frames).max() < 10, "the last guess is near the video"


@pytest.mark.slow
def test_infer_makes_the_same_bits_of_a_saved_video(model, places, tmp_path):
    video = model(["a cat", "a dog"], frames=2, **SIZE)[1]
    path = video.save(tmp_path / "dog.gif")
    again = ["--from", str(path), f"weights={places['video']}", f"output={tmp_path / 'out'}"]
    eager = [f"{key.replace('__', '.')}={value}" for key, value in EAGER.items()]
    assert main([*again, *eager, "formats=[frames]"]) == 0
    assert np.array_equal(read_video(tmp_path / "out/0001/video-001")[0], video.frames)


def test_a_saved_video_keeps_its_recipe(model, places, tmp_path):
    """Without a path; what frames in memory went into has none."""
    keys = {"factor": 2, "method": "flow"}
    video = model.between(places["clip"], **keys)
    assert "interpolate" in video.recipe and str(places["clip"].parent) not in video.recipe
    for name in ("a.gif", "a.mp4", "a.png"):
        assert read_comment(video.save(tmp_path / name)) == video.recipe
    assert read_comment(video.save(tmp_path / "plain.gif", recipe=False)) == ""
    assert model.between(video, **keys).recipe == ""


def test_a_recipe_names_the_weights_that_were_loaded(places, tmp_path):
    """Not those that lie there when the call ends; of a video, what it is now."""
    weights, clip = tmp_path / "weights", tmp_path / "clip"
    shutil.copytree(places["video"], weights)
    shutil.copytree(places["clip"], clip)
    keys = {"factor": 2, "method": "flow"}
    loaded = mindlong.load(weights, quiet=True, **EAGER)
    first = loaded.between(clip, **keys).recipe
    (weights / "unet.safetensors").write_bytes((weights / "vae.safetensors").read_bytes())
    assert loaded.between(clip, **keys).recipe == first != ""
    (clip / "000001.png").write_bytes((clip / "000002.png").read_bytes())
    other = loaded.between(clip, **keys).recipe
    kept, now = (json.loads(text)["files"] for text in (first, other))
    assert kept.keys() == now.keys() and kept["weights"] == now["weights"]
    assert kept["interpolate.video"]["sha256"] != now["interpolate.video"]["sha256"]


@pytest.mark.slow
def test_several_prompts_are_a_list_and_each_is_the_commands(model, places, tmp_path):
    keys = {**SIZE, "frames": 2, "batch": 2}
    videos = model(["a", "b", "c"], **keys)
    found = [
        by_command(
            tmp_path,
            f"video-{i:03d}",
            weights=places["video"],
            pipeline="text_to_video",
            prompts="[a,b,c]",
            **keys,
        )
        for i in (0, 2)
    ]
    assert [v.number for v in videos] == [0, 1, 2]
    equal(videos[0], found[0])
    equal(videos[2], found[1])
    assert isinstance(model(["a"], **keys), list)


@pytest.mark.slow
def test_a_call_in_pixels(places, tmp_path):
    keys = {"frames": 2, "size": [8, 8], "sample__steps": 2, "seed": 3}
    model = mindlong.load("shipped:vdm_shapes", quiet=True, **EAGER)
    steps = []
    video = model("a red circle moving right", callback=steps.append, **keys)
    equal(
        video,
        by_command(
            tmp_path, weights="shipped:vdm_shapes", prompt="a red circle moving right", **keys
        ),
    )
    assert video.latents is None and model.vae is None
    assert np.array_equal(steps[-1].preview()[0], video.frames)


@pytest.mark.slow
@pytest.mark.parametrize(
    "keys",
    [
        {"frames": 5, "lengths": [3, 3]},
        {"frames": 5, "lengths": [3, 3], "scenes": {"0-2": "a", "3-4": "b"}},
        {"lengths": [3, 3], "video": True},
    ],
)
def test_a_long_video_is_hierarchical(model, places, tmp_path, keys):
    given = dict(keys)
    command = {k: str(v) for k, v in given.items()}
    if "video" in given:
        given["video"], command["video"] = mindlong.Video(places["frames"], 4), places["clip"]
    prompt = {} if "scenes" in keys else {"prompt": "a"}
    video = model.long(**prompt, **SIZE, **given)
    equal(
        video,
        by_command(
            tmp_path, weights=places["video"], pipeline="hierarchical", **prompt, **SIZE, **command
        ),
    )
    new = 5 if "video" not in given else len(video) - 6
    assert video.latents.shape[1] == new


@pytest.mark.slow
def test_extend_continues_frames_in_memory_as_the_command_does_a_folder(model, places, tmp_path):
    keys = {**SIZE, "frames": 3, "run": 3}
    video = model.extend(mindlong.Video(places["frames"], 4, prompt="a"), **keys)
    equal(
        video,
        by_command(
            tmp_path,
            pipeline="extend",
            weights=places["video"],
            video=places["clip"],
            prompt="a",
            **keys,
        ),
    )
    assert len(video) == 9 and np.array_equal(video.frames[:5], places["frames"][:5])
    image = model.extend(places["frames"][0], "a", **keys)
    path = places["clip"] / "000000.png"
    equal(
        image,
        by_command(
            tmp_path,
            pipeline="extend",
            weights=places["video"],
            images=f"[{path}]",
            prompt="a",
            **keys,
        ),
    )
    assert np.array_equal(model.extend(path, "a", **keys).frames, image.frames)


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        {"sample__steps": 2},
        {"method": "flow"},
        {"sample__steps": 2, "detail": "flow", "deflicker": 1},
    ],
)
def test_between_interpolates(model, places, tmp_path, more):
    keys = {"factor": 2, **more}
    given = mindlong.Video(places["frames"], 4, prompt="a")
    video = model.between(given, **keys)
    named = {} if "method" in more else {"weights": places["video"], "prompt": "a"}
    equal(
        video,
        by_command(tmp_path, pipeline="interpolate", video=places["clip"], **named, **keys),
    )
    assert len(video) == 11 and video.fps == 8


@pytest.mark.slow
@pytest.mark.parametrize("inject", [{}, {"space": 0.5, "text": 0.5}])
def test_edit(places, tmp_path, inject):
    keys = {**SIZE, "frames": 3, "invert_steps": 2, "sample__guidance": 2.0, "inject": inject}
    model = mindlong.load(places["image"], quiet=True, **EAGER)
    videos = model.edit(places["frames"], ["a cat", "a dog"], **keys)
    words = {
        "pipeline": "edit",
        "weights": places["image"],
        "video": places["clip"],
        "prompts": "[a cat,a dog]",
    }
    for video, name in zip(videos, ("edit-000", "edit-001"), strict=True):
        equal(
            video, by_command(tmp_path, name, **words, **{**keys, "inject": str(inject), "fps": 8})
        )
    again = model.edit(places["clip"], "a cat", **keys)
    assert np.array_equal(again.frames, videos[0].frames), "gates of the first call do not stay"


@pytest.mark.slow
def test_an_originals_file_and_a_hubs_folder(places, tmp_path):
    from mindlong.cli.convert import main as convert

    original = tmp_path / "model-10.pt"
    shutil.copy(ROOT / "tests/golden/checkpoints/vdm_trainer.pt", original)
    keys = {"frames": 2, "size": [8, 8], "sample__steps": 1}
    video = mindlong.load(original, quiet=True, **EAGER)(**keys)
    equal(video, by_command(tmp_path, weights=original, **keys))
    hub = tmp_path / "hub"
    assert convert(["--src", str(places["image"]), "--dst", str(hub), "--layout", "diffusers"]) == 0
    assert (hub / "model_index.json").is_file()
    video = mindlong.load(hub, quiet=True, **EAGER)("a", **keys)
    words = {"weights": hub, "pipeline": "text_to_video", "prompt": "a"}
    equal(video, by_command(tmp_path / "out", **words, **keys))


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["exact", "free_noise"])
def test_clip_parallel(model, places, tmp_path, strategy):
    more = {"window": 4, "stride": 2} if strategy == "free_noise" else {}
    keys = {**SIZE, "frames": 6, "clips": 3, "strategy": strategy, **more}
    video = model.clip_parallel("a", **keys)
    equal(
        video,
        by_command(tmp_path, pipeline="clip_parallel", weights=places["video"], prompt="a", **keys),
    )


def test_a_configuration_file_and_keywords_over_it(model, places, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("prompts: [a, b]\nframes: 2\nsize: [8, 8]\nsample: {steps: 4}\n")
    video = model("c", config=path, sample={"steps": 2}, seed=7)
    assert np.array_equal(video.frames, model("c", frames=2, **SIZE).frames)


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"framez": 2}, "the call: unknown key 'framez'. Did you mean 'frames'"),
        ({"sample__stepz": 2}, "unknown key 'sample.stepz'. Did you mean 'sample.steps'"),
        ({"frames": "x"}, "the call: frames is 'x'; it must be a whole number"),
        ({"frames": [1]}, "frames is"),
        ({"clips": 2}, "clips belongs to pipeline=clip_parallel"),
        ({"output": "here"}, "output is not read by a call"),
        ({"env__threads": 2}, "give it to mindlong.load"),
        ({"weights": "x"}, "weights is the model's own"),
        ({"size": [7, 8]}, "multiples of 2"),
    ],
)
def test_wrong_keywords_are_one_sentence(model, keys, sentence):
    with pytest.raises(ConfigError, match=sentence):
        model("a", **{**SIZE, "frames": 2, **keys})


@pytest.mark.parametrize(
    ("source", "keys", "error", "sentence"),
    [
        ("shipped:vdm_shape", {}, InputFileError, "shipped:latent_shapes.*mean 'vdm_shapes'"),
        ("nowhere.pt", {}, InputFileError, "nothing at nowhere.pt.*shipped:vdm_shapes"),
        ("shipped:vdm_shapes", {"device": "cuda"}, ConfigError, "device is 'cuda'; it must be"),
        ("shipped:vdm_shapes", {"device": "CPU:1"}, ConfigError, "device is 'CPU:1'"),
        ("shipped:vdm_shapes", {"device": "Ascend:0"}, ConfigError, "no NPU device file"),
        ("shipped:vdm_shapes", {"dtype": "float16"}, ConfigError, "a network in pixels"),
        ("shipped:latent_shapes", {"dtype": "half"}, ConfigError, "latent.dtype is 'half'"),
        ("shipped:latent_shapes", {"frames": 2}, ConfigError, "frames is given to a call"),
        ("shipped:latent_shapes", {"latent__va": "x"}, ConfigError, "Did you mean 'latent.vae'"),
    ],
)
def test_what_cannot_be_loaded_is_one_sentence(source, keys, error, sentence):
    with pytest.raises(error, match=sentence):
        mindlong.load(source, **keys)


@pytest.mark.slow
def test_a_dtype_and_the_cells(places, tmp_path):
    model = mindlong.load(places["video"], dtype="float16", quiet=True, **EAGER)
    keys = {**SIZE, "frames": 2}
    video = model("a", **keys)
    words = {"weights": places["video"], "pipeline": "text_to_video", "latent__dtype": "float16"}
    equal(video, by_command(tmp_path, prompt="a", **words, **keys))
    assert {p.dtype for p in model.network.get_parameters()} == {ms.float16}
    for cell in (model.network, model.vae, model.text_encoder):
        assert isinstance(cell, ms.nn.Cell) and len(list(cell.get_parameters()))
    with pytest.raises(ConfigError, match="no NPU device file"):
        model.to("Ascend:0")
    assert model.to("CPU") is model and np.array_equal(model("a", **keys).frames, video.frames)


@pytest.mark.slow
def test_models_do_not_meet(places, tmp_path):
    """Two models in one process; and a model stays what it was, whatever becomes of its files."""
    weights = tmp_path / "weights"
    shutil.copytree(places["video"], weights)
    model = mindlong.load(weights, quiet=True, **EAGER)
    alone = model("a", frames=2, **SIZE)
    other = mindlong.load("shipped:vdm_shapes", quiet=True, **EAGER)
    other("a red circle moving left", frames=2, size=[8, 8], sample__steps=1)
    for path in weights.rglob("*.*"):
        path.unlink()
    assert np.array_equal(model("a", frames=2, **SIZE).frames, alone.frames)


def test_a_video_is_saved_by_the_commands_writers_and_nothing_is_overwritten(places, tmp_path):
    video = mindlong.Video(places["frames"], 4, np.zeros((4, 6, 2, 2), np.float32), "a <cat>", 1)
    for name in ("video.mp4", "video.gif", "video", "sheet.png", "video.npz"):
        path = video.save(tmp_path / name, scale=1 if name.endswith("npz") else 2)
        with pytest.raises(UserError, match="is there already|nothing is overwritten"):
            video.save(path)
        assert video.save(path, overwrite=True) == path
    assert np.array_equal(read_video(tmp_path / "video")[0], places["frames"])
    assert read_video(tmp_path / "video.gif")[1] == 4
    with np.load(tmp_path / "video.npz") as held:
        assert held["latents"].shape == (4, 6, 2, 2)
    with pytest.raises(ConfigError, match="Did you mean '.mp4'"):
        video.save(tmp_path / "video.mp")
    with pytest.raises(ConfigError, match="not made from latents"):
        mindlong.Video(places["frames"]).save(tmp_path / "none.npz")
    page = video._repr_html_()
    assert "data:image/gif;base64," in page and "a &lt;cat&gt;" in page and "<cat>" not in page


def test_frames_that_are_none_are_refused(model):
    for wrong in (
        np.zeros((3, 8, 8, 3)),
        np.zeros((3, 8, 8), np.uint8),
        np.zeros((0, 8, 8, 3), np.uint8),
    ):
        with pytest.raises(ConfigError, match="is needed"):
            model.between(wrong, factor=2)


def test_importing_the_package_loads_no_mindspore():
    code = """
import sys, mindlong
assert not {"mindspore", "numpy"} & set(sys.modules)
mindlong.Video
assert "mindspore" not in sys.modules
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0

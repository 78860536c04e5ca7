"""infer.py with networks that are conditioned on images: animate, hierarchical, interpolate,
extend. Tiny random networks; most run with an oracle in the network's place.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests/unit"))
import latent_toys  # noqa: E402

from mindlong.cli.infer import command, main  # noqa: E402
from mindlong.media.read import read_image  # noqa: E402
from mindlong.media.write import write_frames  # noqa: E402
from mindlong.pipelines.latent_model import LatentModel  # noqa: E402

SIZE = 16


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    """Folders of tiny networks by the family's last word, and pictures."""
    place = tmp_path_factory.mktemp("toys")
    made = {
        name: latent_toys.folder(place / name, f"dynamicrafter_{name}")
        for name in ("512", "interp", "256")
    }
    made["vc1"] = latent_toys.folder(place / "vc1", "videocrafter1_i2v")
    made["text"] = latent_toys.folder(place / "text", "videocrafter2")
    for number in range(4):
        row = np.arange(SIZE * SIZE * 3).reshape(SIZE, SIZE, 3) * (number + 1)
        Image.fromarray((row % 256).astype(np.uint8)).save(place / f"{number}.png")
        made[str(number)] = place / f"{number}.png"
    Image.fromarray(np.zeros((SIZE, 3 * SIZE, 3), np.uint8)).save(place / "wide.png")
    made["wide"] = place / "wide.png"
    frames = np.random.default_rng(0).integers(0, 256, (31, SIZE, SIZE, 3)).astype(np.uint8)
    made["film"] = write_frames(place / "film", frames, 8)
    return made


class Oracle:
    """What a network is asked, and zeros or what a test wants for an answer."""

    def __init__(self):
        self.asked, self.tokens = [], []

    def predict(self, model, x, t, context, fps=None):
        self.asked.append((np.array(x), np.array(context), fps))
        return 0.1 * np.asarray(x)[:, :4] + 0.01 * np.asarray(context).mean(axis=-1).reshape(
            len(x), -1
        ).mean(1).reshape(-1, 1, 1, 1, 1)

    def tokens_of(self, model, image):
        self.tokens.append(np.array(image))
        spec = model.parts["projector"][1]
        return np.full((spec.tokens, spec.gives), float(np.mean(image)), np.float32)


@pytest.fixture
def oracle(monkeypatch):
    found = Oracle()
    monkeypatch.setattr(LatentModel, "predict", lambda self, *a, **k: found.predict(self, *a, **k))
    monkeypatch.setattr(LatentModel, "_tokens_of", lambda self, image: found.tokens_of(self, image))
    return found


def run(out, *keys):
    usual = [f"size=[{SIZE},{SIZE}]", "sample.steps=2", "formats=[frames]", "env.mode=pynative"]
    return main([*usual, f"output={out}", *map(str, keys)])


def result(out):
    (folder,) = [p for p in out.iterdir() if p.is_dir()]
    return folder, json.loads((folder / "video.json").read_text())


def refused(capsys, out, *keys):
    """The sentence that a command line is refused with."""
    usual = [f"size=[{SIZE},{SIZE}]", "sample.steps=2", "env.mode=pynative", f"output={out}"]
    assert command([*usual, *map(str, keys)]) in (2, 3)
    said = capsys.readouterr().err
    assert "Traceback" not in said and len(said.strip().splitlines()) == 1, said
    return said


def test_an_image_becomes_a_video_and_guidance_drops_text_and_image_but_not_the_latents(
    toys, tmp_path, oracle
):
    keys = ["pipeline=animate", f"weights={toys['512']}", f"image={toys['1']}", "prompt=a boat"]
    assert run(tmp_path, *keys, "sample.guidance=7.5", "batch=1") == 0
    folder, record = result(tmp_path)
    assert len(list((folder / "video").glob("*.png"))) == 16
    (x, with_image, fps), (other, without, _) = oracle.asked[:2]
    assert x.shape == (1, 8, 16, 8, 8) and fps == 24
    assert with_image.shape == (1, 16, 8 + 2, 24)  # two tokens of the image for each frame
    np.testing.assert_array_equal(x, other)
    beside = x[:, 4:]
    assert np.ptp(beside, axis=2).max() == 0 and np.abs(beside).max() > 0  # on all frames
    image, grey = oracle.tokens
    np.testing.assert_array_equal(image, read_image(toys["1"]))
    assert (grey == 127.5).all()
    assert with_image[0, 0, 8:].mean() != without[0, 0, 8:].mean()
    assert record["prompts"][0]["image"] == str(toys["1"])


def test_videocrafter1_knows_an_image_by_tokens_that_all_frames_read(toys, tmp_path, oracle):
    keys = ["pipeline=animate", f"weights={toys['vc1']}", f"image={toys['1']}", "prompt=a boat"]
    assert run(tmp_path, *keys, "sample.guidance=12", "batch=1") == 0
    (x, context, fps), (_, without, _) = oracle.asked[:2]
    assert x.shape == (1, 4, 16, 8, 8) and fps == 8
    assert context.shape == (1, 8 + 32, 24)  # all tokens for all frames
    np.testing.assert_array_equal(oracle.tokens[0], read_image(toys["1"]))
    assert (oracle.tokens[1] == 127.5).all() and (context[:, 8:] != without[:, 8:]).all()
    folder, _ = result(tmp_path)
    assert len(list((folder / "video").glob("*.png"))) == 16


def test_three_way_guidance_asks_three_times(toys, tmp_path, oracle):
    keys = ["pipeline=animate", f"weights={toys['512']}", f"image={toys['1']}", "prompt=a boat"]
    assert run(tmp_path, *keys, "sample.guidance=7.5", "image_guidance=3", "fs=20") == 0
    contexts = [context for _, context, _ in oracle.asked]
    assert len(contexts) == 2 * 3 and oracle.asked[0][2] == 20
    both, alone, neither = contexts[:3]
    np.testing.assert_array_equal(both[:, :, 8:], alone[:, :, 8:])
    np.testing.assert_array_equal(alone[:, :, :8], neither[:, :, :8])
    assert (alone[:, :, 8:] != neither[:, :, 8:]).any() and (
        both[:, :, :8] != alone[:, :, :8]
    ).any()


def test_several_images_have_a_video_each_that_does_not_depend_on_the_others(
    toys, tmp_path, oracle
):
    keys = ["pipeline=animate", f"weights={toys['512']}", "prompts=[a,b]"]
    assert run(tmp_path / "two", *keys, f"images=[{toys['0']},{toys['1']}]", "batch=2") == 0
    assert run(tmp_path / "one", *keys, f"images=[{toys['0']},{toys['1']}]", "batch=1") == 0
    two, one = (result(tmp_path / name)[0] for name in ("two", "one"))
    for name in ("video-000", "video-001"):
        a, b = (np.load(folder / "latents" / f"{name}.npz")["latents"] for folder in (two, one))
        np.testing.assert_array_equal(a, b)


def test_a_loop_ends_in_the_very_latents_it_begins_with_and_has_15_frames(toys, tmp_path, oracle):
    keys = ["pipeline=animate", f"weights={toys['interp']}", f"image={toys['1']}", "loop=true"]
    assert run(tmp_path, *keys) == 0
    folder, _ = result(tmp_path)
    assert len(list((folder / "video").glob("*.png"))) == 15
    beside = oracle.asked[0][0][0, 4:]
    np.testing.assert_array_equal(beside[:, 0], beside[:, -1])
    assert not beside[:, 1:-1].any() and oracle.asked[0][2] == 5


def test_encoding_by_a_sample_of_the_posterior_is_keyed_by_the_image(toys, tmp_path, oracle):
    keys = ["pipeline=animate", f"weights={toys['512']}", f"images=[{toys['1']},{toys['1']}]"]
    assert run(tmp_path, *keys, "encode=sample", "batch=2") == 0
    first, second = oracle.asked[0][0][:, 4:]
    assert (first != second).any()


def test_a_storyboard_is_filled_and_its_frames_stay_bit_for_bit(toys, tmp_path, oracle):
    images = ",".join(str(toys[str(i)]) for i in range(3))
    keys = ["pipeline=hierarchical", f"weights={toys['interp']}", f"hierarchical.images=[{images}]"]
    assert run(tmp_path / "a", *keys, "prompt=x", "sample.guidance=2", "batch=1", "fps=8") == 0
    folder, record = result(tmp_path / "a")
    assert (record["frames"], record["runs"], record["given"]) == (31, 2, 3)
    x, context, fps = oracle.asked[0]
    assert fps == 8 and not x[0, 4:, 1:-1].any() and x[0, 4:, [0, -1]].any()
    assert run(tmp_path / "b", *keys, "prompt=x", "sample.guidance=2", "batch=2", "fps=8") == 0
    for name in sorted(p.name for p in (folder / "video").glob("*.png")):
        a, b = (read_image(result(tmp_path / n)[0] / "video" / name) for n in "ab")
        np.testing.assert_array_equal(a, b)


def test_ends_are_those_of_the_level_above_to_the_last_bit(toys, tmp_path, oracle):
    keys = ["pipeline=hierarchical", f"weights={toys['interp']}", "lengths=[3,4,4]", "fps=24"]
    images = ",".join(str(toys[str(i)]) for i in range(3))
    keys += [f"hierarchical.images=[{images}]", "fs=[5,6,9]", "node_prompts={1/1: a dog}"]
    for pin in ("each_step", "final"):
        assert run(tmp_path / pin, *keys, f"pin={pin}", "prompt=x") == 0
    assert {fps for _, _, fps in oracle.asked} == {6, 9}
    frames = [
        [read_image(p) for p in sorted((result(tmp_path / pin)[0] / "video").glob("*.png"))]
        for pin in ("each_step", "final")
    ]
    for place in (0, 9, 18):  # the pictures', decoded
        np.testing.assert_array_equal(frames[0][place], frames[1][place])
    said = {row[:8].tobytes() for _, context, _ in oracle.asked for row in context}
    assert len(said) == 2  # the node's prompt is its own


def test_key_frames_come_from_a_video(toys, tmp_path, oracle):
    keys = ["pipeline=hierarchical", f"weights={toys['interp']}", f"key_video={toys['film']}"]
    assert run(tmp_path, *keys, "key_every=15") == 0
    _, record = result(tmp_path)
    assert (record["frames"], record["runs"], record["given"]) == (31, 2, 3)


@pytest.mark.parametrize(
    ("key", "more", "level0"),
    [("text", [], 4), ("512", ["first"], 8)],
)
def test_key_frames_come_from_other_networks(toys, tmp_path, oracle, key, more, level0):
    keys = ["pipeline=hierarchical", f"weights={toys['interp']}", f"key_weights={toys[key]}"]
    keys += [f"first={toys['1']}"] if more else []
    assert run(tmp_path, *keys, "lengths=[3,4]", "prompt=a boat") == 0
    assert result(tmp_path)[1]["frames"] == 7
    channels = [x.shape[1] for x, _, _ in oracle.asked]
    assert channels[0] == level0 and channels[-1] == 8


@pytest.mark.parametrize(("factors", "frames"), [("[15]", 31), ("[3,5]", 31), ("[5]", 11)])
def test_gaps_are_runs_of_16_frames_of_which_a_stage_keeps_what_it_needs(
    toys, tmp_path, oracle, factors, frames
):
    images = ",".join(str(toys[str(i)]) for i in range(3))
    keys = ["pipeline=interpolate", f"weights={toys['interp']}", f"images=[{images}]"]
    assert run(tmp_path, *keys, f"factors={factors}", "prompt=x", "batch=2") == 0
    assert result(tmp_path)[1]["frames"] == frames
    assert {x.shape[2] for x, _, _ in oracle.asked} == {16}


def test_a_video_gets_frames_between(toys, tmp_path, oracle):
    keys = ["pipeline=interpolate", f"weights={toys['interp']}", f"video={toys['film']}"]
    assert run(tmp_path, *keys, "max_frames=3", "factor=15") == 0
    assert result(tmp_path)[1]["frames"] == 31


def test_an_image_is_continued_run_after_run(toys, tmp_path, oracle):
    keys = ["pipeline=extend", f"weights={toys['512']}", f"images=[{toys['1']}]", "frames=30"]
    assert run(tmp_path, *keys, "prompt=x", "sample.guidance=2") == 0
    assert result(tmp_path)[1]["added"] == 30
    x = oracle.asked[0][0]
    assert np.ptp(x[:, 4:], axis=2).max() == 0
    starts = {x[0, 4:, 0].tobytes() for x, _, _ in oracle.asked}
    assert len(starts) == 2  # the second run begins with the first one's last frame


REFUSALS = {
    "interp with one image": (
        ["pipeline=animate", "weights=interp", "image=1"],
        "between two given images",
    ),
    "i2v with an end": (
        ["pipeline=animate", "weights=512", "image=1", "last=2"],
        "makes video from one image",
    ),
    "no image": (["pipeline=animate", "weights=512"], "nothing to animate"),
    "prompts": (["pipeline=animate", "weights=512", "image=1", "prompts=[a,b]"], "2 prompts are"),
    "no weights": (["pipeline=animate", "image=1"], "weights is empty"),
    "text": (["pipeline=animate", "weights=text", "image=1"], "reads no image"),
    "size": (["pipeline=animate", "weights=512", "image=1", "size=[17,16]"], "multiples of 2"),
    "missing": (["pipeline=animate", "weights=512", "image=none.png"], "none.png"),
    "as text": (["pipeline=text_to_video", "weights=512", "prompt=a"], "conditioned on images"),
    "said to be": (
        [
            "pipeline=animate",
            "weights=512",
            "image=1",
            "loop=true",
            "latent.family=dynamicrafter_interp",
        ],
        "says that it is of the family dynamicrafter_512",
    ),
    "gated said to be": (
        [
            "pipeline=animate",
            "weights=256",
            "image=1",
            "loop=true",
            "latent.family=dynamicrafter_interp",
        ],
        "dynamicrafter_256",
    ),
    "storyboard of one": (
        ["pipeline=hierarchical", "weights=interp", "hierarchical.images=[1]"],
        "names one image",
    ),
    "storyboard and lengths": (
        ["pipeline=hierarchical", "weights=interp", "hierarchical.images=[1,2]", "lengths=[16,16]"],
        "lengths=[2, 16]",
    ),
    "nothing known": (
        ["pipeline=hierarchical", "weights=interp", "lengths=[4,4]"],
        "level0-node000000 does not know both",
    ),
    "one end": (
        ["pipeline=hierarchical", "weights=interp", "lengths=[4,4]", "first=1"],
        "does not know both",
    ),
    "i2v below": (
        ["pipeline=hierarchical", "weights=512", "lengths=[4,4]", "first=1"],
        "level1-node000000 knows frames behind its first",
    ),
    "factor": (
        ["pipeline=interpolate", "weights=interp", "images=[1,2]", "factor=4"],
        "must be one of 15, 5, 3",
    ),
    "i2v between": (
        ["pipeline=interpolate", "weights=512", "images=[1,2]", "factor=15"],
        "makes video from one image",
    ),
    "interp onwards": (
        ["pipeline=extend", "weights=interp", "images=[1]", "frames=15"],
        "of what comes next none is given",
    ),
    "no room between": (
        ["pipeline=animate", "weights=interp", "image=1", "last=2", "frames=2"],
        "a run has at least 3",
    ),
    "a loop of nothing": (
        ["pipeline=animate", "weights=interp", "image=1", "loop=true", "frames=1"],
        "a run has at least 3",
    ),
    "rates of no level": (
        ["pipeline=animate", "weights=512", "image=1", "fs=[20,15]"],
        "names 2 rates",
    ),
    "rates of no level below": (
        ["pipeline=hierarchical", "weights=interp", "hierarchical.images=[1,2]", "fs=[5,6,7]"],
        "there are 2 levels",
    ),
    "rates of no run": (
        ["pipeline=extend", "weights=512", "images=[1]", "frames=15", "fs=[20,15]"],
        "all runs take the first",
    ),
    "rates of no stage": (
        ["pipeline=interpolate", "weights=interp", "images=[1,2]", "factor=15", "fs=[5,6]"],
        "names 2 rates",
    ),
    "one key frame": (
        ["pipeline=hierarchical", "weights=interp", "key_video=film", "key_every=40"],
        "hierarchical.key_every can be at most 30",
    ),
    "a folder": (["pipeline=animate", "weights=512", "image=film"], "is a folder"),
    "one image between": (
        ["pipeline=interpolate", "weights=interp", "images=[1]", "factor=15"],
        "at least 2 key frames",
    ),
    "images of different sizes": (
        ["pipeline=interpolate", "weights=interp", "images=[1,wide]", "factor=15"],
        "all need one size",
    ),
    "videocrafter1 and a key that it does not read": (
        ["pipeline=animate", "weights=vc1", "image=1", "encode=sample"],
        "animate.encode is not read",
    ),
    "videocrafter1 as text": (
        ["pipeline=text_to_video", "weights=vc1", "prompt=a"],
        "it serves pipeline=animate",
    ),
    "videocrafter1 with an end": (
        ["pipeline=animate", "weights=vc1", "image=1", "last=2"],
        "makes video from one image",
    ),
    "videocrafter1 onwards": (
        ["pipeline=extend", "weights=vc1", "images=[1]", "frames=15"],
        "does not begin with the image itself",
    ),
    "videocrafter1 in a hierarchy": (
        ["pipeline=hierarchical", "weights=vc1", "lengths=[4,4]", "first=1"],
        "its frames are not the image itself",
    ),
    "videocrafter1 between": (
        ["pipeline=interpolate", "weights=vc1", "images=[1,2]", "factor=15"],
        "makes video from one image",
    ),
    "fs of text": (
        ["pipeline=hierarchical", "weights=text", "lengths=[4,4]", "fs=8"],
        "conditioning.fs is not read",
    ),
}


def filled(toys, keys):
    """A command line with the places of toys in the place of their names."""
    found = []
    for key in keys:
        head, _, tail = key.partition("=")
        if head in ("weights", "image", "last", "first", "key_video"):
            tail = str(toys.get(tail, tail))
        elif head in ("images", "hierarchical.images"):
            tail = "[" + ",".join(str(toys[n]) for n in tail.strip("[]").split(",")) + "]"
        found.append(f"{head}={tail}")
    return found


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_be_is_said_in_one_sentence(toys, tmp_path, capsys, name):
    keys, said = REFUSALS[name]
    assert said in refused(capsys, tmp_path, *filled(toys, keys))
    assert not list(tmp_path.iterdir())


NOTES = {
    "fs": (["pipeline=animate", "weights=512", "image=1", "fs=99"], "is used at 15 to 30"),
    "fs of a level": (
        ["pipeline=hierarchical", "weights=interp", "hierarchical.images=[1,2]", "fs=99"],
        "is used at 5 to 30",
    ),
    "a wide image": (
        ["pipeline=animate", "weights=interp", "image=1", "last=wide"],
        "wide.png: 16x48 pixels become 16x16, and 67% of the image are cut off",
    ),
    "a wide key frame": (
        ["pipeline=hierarchical", "weights=interp", "hierarchical.images=[1,wide]"],
        "67% of the image are cut off",
    ),
    "wide frames": (
        ["pipeline=interpolate", "weights=interp", "images=[wide,wide]", "factor=15"],
        "67% of the image are cut off",
    ),
    "a wide start": (
        ["pipeline=extend", "weights=512", "images=[wide]", "frames=15", "fs=2"],
        "67% of the image are cut off",
    ),
    "a small image": (
        ["pipeline=animate", "weights=512", "image=1", "size=[80,80]"],
        "16x16 pixels become 80x80, 5 times as large",
    ),
    "a long prompt": (
        ["pipeline=animate", "weights=512", "image=1", "prompt=many words in a row"],
        "the text encoder takes 6",
    ),
    "a long prompt of a node": (
        [
            "pipeline=hierarchical",
            "weights=interp",
            "hierarchical.images=[1,2]",
            "node_prompts={1/0: many words in a row}",
        ],
        "the text encoder takes 6",
    ),
}


@pytest.mark.parametrize("name", NOTES)
def test_what_may_go_wrong_is_said_before_it_is_made(toys, tmp_path, capsys, name):
    keys, said = NOTES[name]
    size = [] if any(key.startswith("size=") for key in keys) else [f"size=[{SIZE},{SIZE}]"]
    assert main([*filled(toys, keys), *size, f"output={tmp_path}", "--dry_run"]) == 0
    assert said in capsys.readouterr().out


def test_a_dry_run_says_rates_calls_and_slow_motion(toys, tmp_path, capsys):
    keys = ["pipeline=hierarchical", f"weights={toys['interp']}", f"key_weights={toys['512']}"]
    keys += [f"first={toys['1']}", "lengths=[16,16]", "fps=24", f"size=[{SIZE},{SIZE}]"]
    assert main([*keys, f"output={tmp_path}", "--dry_run"]) == 0
    out = capsys.readouterr().out
    assert "level 0: 1.6 frames a second, the network takes 15" in out
    assert (
        "9.4 times slow motion" in out
        and "level 1: 24 frames a second, the network takes 24" in out
    )


@pytest.mark.slow
def test_a_killed_storyboard_goes_on_to_the_same_bits(toys, tmp_path):
    """The true networks, in processes of their own."""
    images = ",".join(str(toys[str(i)]) for i in range(3))
    keys = ["pipeline=hierarchical", f"weights={toys['interp']}", f"hierarchical.images=[{images}]"]
    keys += [f"size=[{SIZE},{SIZE}]", "sample.steps=2", "formats=[frames]", "prompt=x", "batch=1"]
    line = [sys.executable, str(ROOT / "infer.py"), *keys, "sample.guidance=2"]

    def start(out):
        return subprocess.Popen([*line, f"output={out}"], stdout=-3, stderr=-3, cwd=ROOT)

    assert start(tmp_path / "whole").wait() == 0
    victim, limit = start(tmp_path / "killed"), time.monotonic() + 900
    while not list((tmp_path / "killed").glob("*/jobs/video/latents/level1-node000000*")):
        assert victim.poll() is None and time.monotonic() < limit
        time.sleep(0.05)
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    assert start(tmp_path / "killed").wait() == 0
    whole, killed = (result(tmp_path / name)[0] / "video" for name in ("whole", "killed"))
    names = sorted(p.name for p in whole.glob("*.png"))
    assert len(names) == 31
    for name in names:
        np.testing.assert_array_equal(read_image(whole / name), read_image(killed / name))


@pytest.mark.slow
def test_the_true_networks_animate_in_graph_mode(toys, tmp_path):
    keys = ["pipeline=animate", f"weights={toys['256']}", f"image={toys['1']}", "prompt=a boat"]
    assert run(tmp_path, *keys, "sample.guidance=7.5", "sample.eta=1", "env.mode=graph") == 0
    folder, _ = result(tmp_path)
    assert np.isfinite(np.load(folder / "latents/video.npz")["latents"]).all()

"""What is wrong with the data of a training, known without MindSpore and before it starts."""

import json
import logging
import re
import subprocess
import sys

import numpy as np
import pytest

from mindlong.config.data_options import DataOptions
from mindlong.config.load import load
from mindlong.config.schema import TrainConfig
from mindlong.data.build import open_source
from mindlong.data.check import check, problems_of
from mindlong.data.needs import Needs, needs_of
from mindlong.data.shapes import ShapesWorld
from mindlong.media.write import write_video
from mindlong.utils.errors import ConfigError

CLIP = ShapesWorld((16, 16), 6).clip(0).frames_FHWC
TINY = [
    "model.dim=8", "model.dim_mults=[1,2]", "model.attn_heads=1", "data.frames=4", "data.size=[16,16]",
    "train.steps=2", "train.warmup=0", "train.batch_size=2", "train.preview_every=0",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    for i in range(3):
        write_video(tmp_path / f"{i}.gif", CLIP, 8).with_suffix(".txt").write_text("a red circle")
    return tmp_path


def config_of(folder, *pairs):
    pairs = [*TINY, f"data.folder={folder}", *pairs]
    return load("configs/train/clips.yaml", pairs, TrainConfig).values


def checked(folder, *pairs):
    config = config_of(folder, *pairs)
    return check(config.data, needs_of(config))


def test_good_data_have_no_problem_and_are_described(folder):
    report = checked(folder, "model.text.encoder=caption", "model.cond_dim=16")
    assert report.problems == [] and len(report.notes) == 1
    assert "3 clips, 3 captioned, 0 bad" in report.notes[0]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda f: f / "none", "does not exist"),
        (lambda f: f / "0.gif", "is not a folder"),
        (lambda f: (f / "empty").mkdir() or f / "empty", "holds no clip"),
        (
            lambda f: [p.write_bytes(b"x") for p in f.glob("*.gif")] and f,
            "no clip of .* can be read",
        ),
    ],
)
def test_a_folder_without_a_clip_is_a_problem(folder, make, words):
    [problem] = checked(make(folder)).problems
    assert re.search(words, problem)


def test_channels_that_no_video_has_are_a_problem(folder):
    assert checked(folder, "model.channels=1").problems == [
        "model.channels is 1; videos have 3 channels: red, green and blue"
    ]
    pairs = [*TINY, "model=configs/model/vdm_tiny.yaml", "model.channels=1", "data.kind=shapes"]
    shapes = load(None, pairs, TrainConfig).values
    assert problems_of(shapes.data, needs_of(shapes))
    with (
        pytest.raises(ConfigError, match="model.channels is 1"),
        open_source(shapes.data, 0, 0, needs_of(shapes)),
    ):
        pass


def test_captions_without_use_are_said_with_the_keys_that_use_them(folder):
    [_, note] = checked(folder).notes
    assert note.startswith(
        "3 clips (0.gif, 1.gif, 2.gif) have a caption, which this model does not take"
    )
    assert "model.text.encoder=caption model.cond_dim=64" in note
    used = [word for word in note.split() if word.startswith("model.")]
    assert len(checked(folder, *used).notes) == 1


def test_a_training_says_what_the_check_says(folder, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("mindlong"), "propagate", True)
    config = config_of(folder)
    with open_source(config.data, 0, 0, needs_of(config)) as source:
        assert source.sample(0).frames_FHWC.shape == (4, 16, 16, 3)
    assert "which this model does not take" in caplog.text


def test_a_check_says_nothing_itself(folder, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("mindlong"), "propagate", True)
    (folder / "0.gif").write_bytes(b"x")
    report = checked(folder)
    assert any("skipped: " in note for note in report.notes) and not caplog.records


def test_long_captions_are_notes_and_long_previews_problems(folder):
    (folder / "1.txt").write_text("a red circle " * 9)
    text = ("model.text.encoder=caption", "model.cond_dim=16")
    report = checked(folder, *text, f"preview.prompts=['{'a circle ' * 9}']")
    assert any("caption of 1.gif is longer than the 16 tokens" in note for note in report.notes)
    [problem] = report.problems
    assert "preview.prompts has" in problem and "18 tokens long" in problem


def test_captions_that_a_tokenizer_cuts_are_notes(folder):
    report = check(config_of(folder).data, Needs(overlong=lambda text: len(text) - 99))
    assert len(report.notes) == 1
    (folder / "1.txt").write_text("x" * 200)
    report = check(config_of(folder).data, Needs(overlong=lambda text: max(len(text) - 99, 0)))
    assert "1.gif has a caption longer than the text encoder takes" in report.notes[1]


def test_embeddings_that_are_missing_everywhere_are_a_problem(folder):
    pairs = ("model.text.encoder=embedding", "model.cond_dim=6")
    assert "no clip of" in checked(folder, *pairs).problems[0]
    np.save(folder / "0.npy", np.ones(6))
    assert checked(folder, *pairs).problems == []
    np.save(folder / "1.npy", np.ones(5))
    assert any("has 5 numbers" in note for note in checked(folder, *pairs).notes)


def test_small_and_short_clips_are_said(folder):
    report = checked(folder, "data.size=[32,32]")
    assert any("smaller than 32x32 (data.size) and enlarged" in note for note in report.notes)
    write_video(folder / "long.avi", list(CLIP) * 3, 8)
    refuse = ("data.short=refuse", "data.stride=1", "data.frames=20")
    assert checked(folder, *refuse[:2], "data.frames=4").problems == []
    for path in folder.glob("*.gif"):  # how long they are is not known before they are read
        path.unlink()
    [problem] = checked(folder, *refuse).problems
    assert "no clip of" in problem and "the 20 frames" in problem
    write_video(folder / "longer.avi", list(CLIP) * 4, 8)
    report = checked(folder, *refuse)
    assert not report.problems and any("long.avi has fewer than 20" in n for n in report.notes)


def test_a_colour_that_is_none_is_refused_by_the_configuration(folder):
    with pytest.raises(ConfigError, match="data.alpha_background is 'nocolour'"):
        config_of(folder, "data.alpha_background=nocolour")


def test_videos_and_indexes_named_one_by_one_are_opened(folder):
    (folder / "bad.mp4").write_bytes(b"x")
    data = DataOptions()
    assert check(data, Needs(videos=(str(folder / "0.gif"),))).problems == []
    [problem] = check(data, Needs(videos=(str(folder / "0.gif"), str(folder / "bad.mp4")))).problems
    assert "bad.mp4 cannot be decoded" in problem
    node = {"level": 0, "node": 0, "frames": [0, 1, 2]}
    for name, words in (("0.gif", None), ("none.mp4", "does not exist"), (7, "no index of nodes")):
        films = [{"video": name, "caption": "", "nodes": [node]}]
        (folder / "i.json").write_text(json.dumps({"lengths": [3], "films": films}))
        found = check(data, Needs(index=str(folder / "i.json"), clips=False)).problems
        assert found == [] if words is None else words in found[0]
    assert check(data, Needs(index=str(folder / "no.json"))).problems


def test_the_check_needs_no_mindspore():
    code = "import sys, mindlong.data.check; sys.exit('mindspore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

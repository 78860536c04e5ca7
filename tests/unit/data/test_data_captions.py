"""What lies beside a clip; captions cut to what an encoder holds, before the first step."""

import logging
import os

import numpy as np
import pytest

from mindlong.data.caption_means import CaptionMeans
from mindlong.data.captions import cut, read_caption, read_embedding
from mindlong.data.clips import ClipFolder
from mindlong.data.shapes import ShapesWorld
from mindlong.media.write import write_video
from mindlong.networks.caption.spec import caption_ids, tokens
from mindlong.utils.errors import InputFileError

LONG = "a red circle moving right and " * 4 + "extraordinarily"
CLIP = ShapesWorld((16, 16), 5).clip(0).frames_FHWC


@pytest.fixture
def folder(tmp_path):
    for name, caption in (("a", "a red circle"), ("b", LONG), ("c", "")):
        write_video(tmp_path / f"{name}.gif", CLIP, 8).with_suffix(".txt").write_text(caption)
    return tmp_path


@pytest.mark.parametrize("length", [1, 2, 5, 16, 30, 40, 500])
def test_a_caption_is_cut_after_the_last_word_that_fits(length):
    text, needed = cut(LONG, length)
    assert needed == len(tokens(LONG)) and LONG.startswith(text) and len(tokens(text)) <= length
    assert caption_ids(text, length).shape == (length,)
    rest = LONG[len(text) :].split()
    assert not rest or len(tokens(f"{text} {rest[0]}")) > length
    assert text == LONG or needed > length


def test_a_first_word_that_does_not_fit_leaves_nothing():
    assert cut("extraordinarily", 4) == ("", 16)


def test_captions_that_are_too_long_are_cut_and_named_before_the_first_step(
    folder, caplog, monkeypatch
):
    monkeypatch.setattr(logging.getLogger("mindlong"), "propagate", True)
    source = ClipFolder(folder, 4, (16, 16), longest=16)
    [said] = [r.getMessage() for r in caplog.records]
    assert "caption of b.gif is longer than the 16 tokens" in said
    assert f"model.text.length={len(tokens(LONG))}" in said and said in source.sentences
    captions = {source.sample(n).caption for n in range(3)}
    assert captions == {"a red circle", cut(LONG, 16)[0], ""}
    for caption in captions:
        caption_ids(caption, 16)
    assert "3 clips, 2 captioned" in source.describe()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xff\xfea\0", "not a text in UTF-8"),
        (b"a\0b", "no caption"),
        (b"x" * (1 << 21), "no caption"),
    ],
)
def test_what_is_no_caption_makes_a_clip_bad(folder, data, words):
    (folder / "a.txt").write_bytes(data)
    with pytest.raises(InputFileError, match=words):
        read_caption(folder / "a.gif")
    assert list(ClipFolder(folder, 4, (16, 16)).bad) == [str(folder / "a.gif")]


def test_a_pipe_or_a_folder_beside_a_clip_is_not_waited_for(folder):
    (folder / "a.txt").unlink()
    os.mkfifo(folder / "a.txt")
    (folder / "b.npy").mkdir()
    for read, name in ((read_caption, "a.gif"), (read_embedding, "b.gif")):
        with pytest.raises(InputFileError, match="no plain file"):
            read(folder / name)


def test_captions_lose_marks_and_line_breaks(folder):
    (folder / "a.txt").write_bytes("\ufeffein  Kreis,\r\n rot\n".encode())
    assert read_caption(folder / "a.gif") == "ein Kreis, rot"


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_embedding_is_a_sentence(folder, seed):
    np.save(folder / "a.npy", np.ones(6, np.float32))
    data, draw = bytearray((folder / "a.npy").read_bytes()), np.random.default_rng(seed)
    for place in draw.integers(0, 120, 3):
        data[place] ^= 1 << draw.integers(8)
    (folder / "a.npy").write_bytes(bytes(data))
    try:
        assert read_embedding(folder / "a.gif").ndim == 1
    except InputFileError as error:
        assert "a.npy" in str(error)


def test_an_embedding_of_another_width_makes_a_clip_bad(folder):
    np.save(folder / "a.npy", np.ones(6))
    assert read_embedding(folder / "a.gif", 6).shape == (6,)
    source = ClipFolder(folder, 4, (16, 16), width=8)
    assert "has 6 numbers; model.cond_dim asks for 8" in source.bad[str(folder / "a.gif")]


def test_the_mean_of_a_caption_is_over_its_clips_among_the_first():
    world = ShapesWorld((16, 16), 2, ("circle",), ("red", "blue"), ("left",))
    means, first = CaptionMeans(world, 6), [world.clip(i) for i in range(6)]
    for clip in first:
        same = [c.frames_FHWC for c in first if c.caption == clip.caption]
        assert np.allclose(means.of(clip), np.mean(same, axis=0), atol=1e-4)
    stranger = world.clip_of("a green star moving up", 0)
    assert np.array_equal(means.of(stranger), stranger.frames_FHWC)

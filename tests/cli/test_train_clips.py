"""A training on a folder as people have it: odd names, bad files, captions that nobody reads."""

import os
import subprocess
import sys

import pytest

from mindlong.data.shapes import ShapesWorld
from mindlong.media.write import write_frames, write_video

WORLD = ShapesWorld((16, 16), 8)
TINY = [
    "model.dim=8", "model.dim_mults=[1,2]", "model.attn_heads=1", "data.frames=4", "data.size=[16,16]",
    "train.warmup=0", "train.batch_size=2", "train.preview_every=0",
]  # fmt: skip


def trained(folder, run_dir, *pairs):
    command = [sys.executable, "train.py", "--config", "configs/train/clips.yaml", *TINY]
    command += [f"data.folder={folder}", f"run_dir={run_dir}", *pairs]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "clips"
    for i, name in enumerate(["a.gif", "\u65e5\u672c.mp4", os.fsdecode(b"\xff\xfe.mp4")]):
        write_video(folder / name, WORLD.clip(i).frames_FHWC, 8)
    (folder / "a.txt").write_text("a red circle")
    data = (folder / "a.gif").read_bytes()
    (folder / "late.gif").write_bytes(data[: len(data) * 7 // 8])  # its first frame is whole
    (folder / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\nother.mp4\n")
    (folder / "notes.xyz").write_text("")
    os.mkfifo(folder / "pipe.mp4")
    return folder


@pytest.mark.slow
def test_bad_files_and_odd_names_cost_no_training(folder, tmp_path):
    code, said = trained(folder, tmp_path / "run", "train.steps=4", "train.workers=2")
    assert code == 0 and "step-00000004" in said and "Traceback" not in said
    for words in (
        "list.mp4 cannot be decoded: it is a playlist (HLS)",
        "late.gif ends or breaks in frame",
        "a.gif has a caption, which this model does not take; model.text.encoder=caption",
        "4 clips, 1 captioned, 1 bad, 2 left out: notes.xyz (no video by its name), pipe.mp4 (no plain file)",
    ):
        assert words in said, said


@pytest.mark.slow
def test_the_reason_for_the_end_is_on_the_screen(tmp_path):
    clip = write_frames(tmp_path / "clips" / "one", WORLD.clip(0).frames_FHWC, 8)
    write_frames(tmp_path / "other", WORLD.clip(0).frames_FHWC[:, :8], 8)
    (tmp_path / "other" / "000007.png").replace(clip / "000007.png")
    code, said = trained(tmp_path / "clips", tmp_path / "run", "train.steps=2", "train.workers=1")
    assert code == 3 and "Traceback" not in said
    assert said.count("changes its size from 16x16 to 8x16 at frame 7, 000007.png") >= 2
    assert "error: no clip of" in said

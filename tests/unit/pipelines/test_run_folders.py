"""Numbered folders: what an unfinished run was begun with, nothing of a run that made nothing."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mindlong.config.infer_schema import InferConfig
from mindlong.config.leaves import leaves
from mindlong.config.load import load
from mindlong.config.pipelines import pipeline
from mindlong.media.write import FrameFolder
from mindlong.pipelines import inputs, numbered
from mindlong.pipelines.files import write_files
from mindlong.utils import names, run_folder
from mindlong.utils.arrays import Damaged, read_npy, read_npz, write_npy, write_npz
from mindlong.utils.claim import Claim, Claimed
from mindlong.utils.errors import ConfigError, UserError

TEXT = "weights: {weights}\nseed: 1\noutput: {output}\n"


def known(sha="a", path="w"):
    return {"weights": {"path": path, "bytes": 3, "modified": 1.0, "sha256": sha}}


def taken(parent, sha="a", path="w", made=True, seed=1):
    text = f"weights: {path}\nseed: {seed}\noutput: {parent}\n"
    place = numbered.take(parent, text, known(sha, path), resume=True)
    (place.folder / "config.yaml").write_text(text)
    place.write(text, known(sha, path))
    if made:
        (place.folder / "latents").mkdir(exist_ok=True)
        (place.folder / "latents/a.npz").touch()
    place.claim.release()
    return place


def test_a_run_goes_on_in_its_own_folder_and_wherever_its_files_lie(tmp_path):
    first = taken(tmp_path / "out")
    again = taken(tmp_path / "out")
    moved = taken(tmp_path / "out", path="elsewhere/w")
    assert first.folder == again.folder == moved.folder and not first.resumed
    assert again.resumed and not again.note and "weights: the same content" in moved.note


def test_files_that_changed_since_are_refused_and_others_begin_anew(tmp_path):
    first = taken(tmp_path)
    with pytest.raises(
        ConfigError, match="0001 was begun with other files.*content of weights.*another output="
    ):
        taken(tmp_path, sha="b")
    assert taken(tmp_path, sha="b", path="other").folder.name == "0002"
    assert taken(tmp_path, seed=2).folder.name == "0003"
    (first.folder / "video.json").touch()
    assert taken(tmp_path).folder.name == "0004", "a finished run is left alone"


def test_a_folder_in_which_nothing_was_made_is_taken_again(tmp_path):
    taken(tmp_path, made=False)
    assert taken(tmp_path, sha="b", made=False).folder.name == "0001"
    assert taken(tmp_path, seed=7).folder.name == "0001"
    assert json.loads((tmp_path / "0001/run.json").read_text())["inputs"] == known()


def test_what_is_not_of_a_run_stays(tmp_path):
    place = numbered.take(tmp_path / "a/b", "seed: 1\n", {}, True)
    (place.folder / "log.txt").touch()
    (place.folder / "thesis.txt").touch()
    place.remove()
    assert [p.name for p in place.folder.iterdir()] == ["thesis.txt"]
    (place.folder / "thesis.txt").unlink()
    place = numbered.take(tmp_path / "c/d", "seed: 1\n", {}, True)
    place.remove()
    assert not (tmp_path / "c").exists()
    assert not run_folder.made_nothing(tmp_path / "a") or not list((tmp_path / "a").rglob("*.txt"))


def test_one_process_at_a_time_and_the_lock_goes_with_it(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from mindlong.utils.claim import Claim\n"
        f"held = Claim(Path({str(tmp_path)!r}), 'is trained in'); print('held', flush=True); time.sleep(60)"
    )
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=env)
    assert process.stdout.readline() == b"held\n"
    with pytest.raises(Claimed, match=rf"is trained in by process {process.pid} on \S+, since"):
        Claim(tmp_path, "is trained in")
    process.kill()
    process.wait()
    Claim(tmp_path).release()


@pytest.mark.parametrize(
    "name",
    [
        "../../x",
        "/x",
        "a/b",
        "a\\b",
        "..",
        ".",
        ".hidden",
        "",
        " ",
        "a\0b",
        "a\nb",
        "x" * 300,
        "con",
        "NUL.x",
        "a ",
        "a.",
    ],
)
def test_a_name_is_never_a_path(name):
    assert names.problem(name)
    with pytest.raises(ConfigError, match="clip_parallel.name"):
        load(
            None,
            ["pipeline=clip_parallel", "prompt=x", f"clip_parallel.name={json.dumps(name)}"],
            InferConfig,
        )


def test_good_names_are_names():
    assert all(names.problem(n) is None for n in ("video", "a b", "v1.5", "日本", "-x", "x" * 150))
    assert names.problem("latents", ("latents",))


def test_every_key_that_names_a_file_is_known_to_a_run():
    """A key whose help speaks of a file, a folder or weights is one whose content is remembered."""
    words = ("weights file", "a folder", "image", "npz", "video (", "weights of", "networks of")
    listed = {*inputs.WEIGHTS, *inputs.FILES, *inputs.PLACES}
    for name in ("text_to_video", "hierarchical", "interpolate", "extend", "edit", "clip_parallel"):
        for key, leaf in leaves(pipeline(name).schema).items():
            text = leaf.said("help") or ""
            if leaf.hint in (str, list[str]) and any(word in text for word in words):
                assert key in listed or leaf.said("choices"), f"{key}: {text}"


def test_a_folder_of_foreign_files_is_not_emptied(tmp_path):
    frames = np.zeros((2, 4, 4, 3), np.uint8)
    (tmp_path / "video").mkdir()
    (tmp_path / "video/thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="thesis.txt"):
        write_files(tmp_path, "video", frames, ["frames"], 8)
    assert (tmp_path / "video/thesis.txt").read_text() == "mine"
    (tmp_path / "video/thesis.txt").unlink()
    write_files(tmp_path, "video", frames, ["frames"], 8)
    write_files(tmp_path, "video", frames[:1], ["frames"], 8)
    assert sorted(p.name for p in (tmp_path / "video").iterdir()) == ["000000.png", "frames.json"]
    shutil.rmtree(tmp_path / "video")
    (tmp_path / "else").mkdir()
    (tmp_path / "video").symlink_to(tmp_path / "else")
    with pytest.raises(UserError, match="no folder of frames"):
        FrameFolder(tmp_path / "video", 8, replace=True)


@pytest.mark.parametrize("place", range(0, 200, 9))
def test_a_damaged_array_is_one_kind_of_error(tmp_path, place):
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    write_npy(tmp_path / "a.npy", array)
    write_npz(tmp_path / "a.npz", x=array)
    for path, read in (
        (tmp_path / "a.npy", read_npy),
        (tmp_path / "a.npz", lambda p: read_npz(p, ["x"])["x"]),
    ):
        data = bytearray(path.read_bytes())
        data[place] ^= 1 << place % 8
        path.write_bytes(data)
        try:
            found = read(path)
        except Damaged as error:
            assert str(path) in str(error)
        else:
            assert found.size == 24
        path.write_bytes(data[: len(data) // 2])
        with pytest.raises(Damaged):
            read(path)


def test_options_that_are_names_say_so():
    field = {f.name: f for f in dataclasses.fields(pipeline("clip_parallel").schema)}
    own = {f.name: f for f in dataclasses.fields(field["clip_parallel"].default_factory)}
    assert own["name"].metadata["names"] is not None

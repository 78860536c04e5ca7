"""compare_long measures only videos that were made of what is asked for."""

import json
from dataclasses import replace

import pytest

from mindlong.cli import compare_long
from mindlong.cli.guard import guarded
from mindlong.data.shapes import ShapesWorld
from mindlong.utils.errors import ConfigError, InputFileError

WORDS = ["--clips", "2", "--ways", "exact", "--prompts", "a red circle moving right"]


class Maker:
    """A clip of the world in the place of every video."""

    made: list = []

    def __init__(self, config):
        pass

    def make(self, job):
        self.made.append(job.place.name)
        return ShapesWorld(frames=32, bounce=True).clip(3).frames_FHWC


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(compare_long, "_Maker", Maker)
    monkeypatch.setattr(Maker, "made", [])

    def _run(*words, base=WORDS):
        return compare_long.main([*base, "--out", str(tmp_path / "out"), *words])

    return _run


def test_a_video_is_taken_again_where_it_was_made_of_the_same(run, tmp_path, capsys):
    assert run("sample.steps=3") == 0 and run("steps=3") == 0
    assert Maker.made == ["exact-2-00"] and "note" not in capsys.readouterr().err
    held = json.loads((tmp_path / "out/exact-2-00/made.json").read_text())
    assert held["configuration"]["sample"]["steps"] == 3 and held["inputs"]["weights"]["sha256"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sample.steps=3"], r"differs in sample.steps \(\d+ then, 3 now\)"),
        (
            ["--prompts", "a blue square moving left"],
            "differs in prompts .*circle.* then, .*square",
        ),
        (
            ["--weights", "shipped:base_shapes"],
            r"in weights \(shipped:latent_shapes then, shipped:base_shapes now\)\.",
        ),
    ],
)
def test_a_video_of_something_else_is_refused(run, tmp_path, words, said):
    assert run() == 0
    table = (tmp_path / "out/table.json").read_bytes()
    with pytest.raises(ConfigError, match=f"out/exact-2-00 was made otherwise.*{said}") as error:
        run(*words)
    assert "another --out" in str(error.value)
    assert (tmp_path / "out/table.json").read_bytes() == table


def test_a_folder_of_an_older_version_is_taken_with_a_note(run, tmp_path, capsys):
    assert run() == 0
    (tmp_path / "out/exact-2-00/made.json").unlink()
    assert run("sample.steps=3") == 0
    said = capsys.readouterr().err
    assert said.count("note: 1 videos, the first in") == 1 and len(Maker.made) == 1


@pytest.mark.parametrize("content", ["{}", "[1]", "{"])
def test_a_damaged_record_is_a_sentence(run, tmp_path, content):
    assert run() == 0
    (tmp_path / "out/exact-2-00/made.json").write_text(content)
    with pytest.raises(InputFileError, match="made.json"):
        run()


def test_a_key_that_is_newer_than_a_record_had_its_default(run, tmp_path):
    assert run() == 0
    path = tmp_path / "out/exact-2-00/made.json"
    held = json.loads(path.read_text())
    del held["configuration"]["clip_parallel"]["shared_low"]
    path.write_text(json.dumps(held))
    assert run() == 0
    with pytest.raises(ConfigError, match=r"clip_parallel.shared_low \('absent' then, 0.5 now\)"):
        run("shared_low=0.5")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["deflicker=2"], "deflicker is not read by compare_long; leave it out"),
        (["scale=4"], "scale is not read"),
        (["formats=[mp4]"], "formats is not read"),
        (["env.mode=pynative"], "env.mode is not read"),
        (["strategy=windows"], "clip_parallel.strategy is not read by compare_long; give --ways"),
        (["clips=8"], "give --clips"),
        (["weights=shipped:latent_shapes"], "give --weights"),
        (["prompt=a circle"], "give --prompts"),
        (["scenes={0-3: a red circle}"], "clip_parallel.scenes is not read"),
        (["sample.stpes=3"], "Did you mean 'sample.steps'"),
        (["stride=3"], "clip_parallel.stride is not read where"),
        (["--clips", "0"], "clip_parallel.clips is 0"),
        (["--clips", "4", "4"], "--clips names 4 twice"),
        (["--ways", "exact", "queue", "exact"], "--ways names exact twice"),
        (["--prompts", "@captions.txt"], "names a file; captions are needed"),
        (["--world", "film", "--prompts", "a red diamond"], "none of the shapes that the reader"),
        (["--prompts", "a red circle", "sample.steps=3"], "sample.steps=3"),  # taken for a prompt
    ],
)
def test_what_is_not_understood_is_refused_before_anything(run, tmp_path, words, said):
    with pytest.raises(ConfigError, match=said):
        run(*words)
    assert not (tmp_path / "out").exists()


def test_keys_and_weights_are_checked_also_where_all_is_made(run, tmp_path, capsys):
    assert run() == 0
    with pytest.raises(ConfigError, match="stpes"):
        run("sample.stpes=3")
    assert guarded(lambda words: run(*words), ["--weights", str(tmp_path / "nothere")]) == 3
    assert "nothere" in capsys.readouterr().err


def test_a_prompt_may_have_quotes_and_a_colon(run):
    words = ["--prompts", "a red circle's: moving right"]
    assert compare_long.jobs_of(
        compare_long.parser().parse_intermixed_args([*words, "--out", "o"])
    )[0].loaded.values.prompts == [words[1]]


def test_a_run_that_cannot_be_made_is_refused_before_anything(run, tmp_path):
    with pytest.raises(ConfigError, match="frames is 33"):
        run("frames=33", "--ways", "exact", "independent clips")
    assert not (tmp_path / "out").exists()


def test_what_was_not_seen_is_null_in_the_table(run, tmp_path, monkeypatch):
    found = compare_long.coherence

    def unseen(*args, **more):
        return replace(found(*args, **more), step=float("nan"))

    monkeypatch.setattr(compare_long, "coherence", unseen)
    assert run() == 0
    rows = json.loads((tmp_path / "out/table.json").read_text(), parse_constant=pytest.fail)
    assert rows[0]["step"] is None


def test_keys_of_the_networks_reach_them(monkeypatch):
    monkeypatch.setattr("mindlong.ops.device.setup", lambda: None)
    words = ["latent.chunk=2", "--out", "o"]
    job = compare_long.jobs_of(compare_long.parser().parse_intermixed_args(words))[0]
    assert compare_long._Maker(job.loaded.values).model.chunk == 2

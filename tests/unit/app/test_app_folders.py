"""Odd folders and files: one that is gone, may not be read or is damaged hides nothing else."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from app_places import ANNA, desk, place_in

from mindlong.app import estimate, folders, runs, trainings
from mindlong.app.form import Form
from mindlong.app.job import Job
from mindlong.app.trainings import Training
from mindlong.training import metrics
from mindlong.utils.errors import UserError

GOOD = "{step},0.5,0.5,0.001,0,4.0,0.1,900"


@pytest.fixture
def place(tmp_path):
    return place_in(tmp_path)


@pytest.fixture
def closed(monkeypatch):
    """Folders that may not be read, whoever runs the tests (root may read all)."""
    shut: set[Path] = set()
    for name in ("iterdir", "open", "stat"):
        _refuse(monkeypatch, name, shut)
    return shut


def _refuse(monkeypatch, name, shut):
    real = getattr(Path, name)

    def asked(path, *given, **more):
        if path in shut or (name != "iterdir" and path.parent in shut):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *given, **more)

    monkeypatch.setattr(Path, name, asked)


def training(folder: Path, *lines: str) -> Training:
    """A training that has written these rows."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("task: pixel\n")
    text = "\n".join([",".join(metrics.COLUMNS), *lines])
    (folder / metrics.FILE).write_text(f"{text}\n")
    return Training(folder.name, folder)


def test_a_folder_that_may_not_be_read_hides_no_training(place, closed):
    for name in ("a", "b", "c"):
        training(place.trainings[0] / "shapes" / name)
    closed.add(place.trainings[0] / "shapes" / "b")
    found = [each.name for each in trainings.trainings_of(place)]
    assert found == ["trainings/shapes/a", "trainings/shapes/c"]
    closed.add(place.trainings[0])
    assert trainings.trainings_of(place) == []


def test_a_training_that_goes_while_it_is_shown_shows_nothing(place):
    found = training(place.trainings[0] / "gone", GOOD.format(step=1))
    shutil.rmtree(found.folder)
    assert found.rows() == [] and found.previews() == [] and found.said() == ""
    assert found.stamp() == ("gone", 0, 0, 0)


@pytest.mark.parametrize(
    "bad",
    [
        GOOD.format(step="nan"),
        GOOD.format(step=""),
        GOOD.format(step="9" * 400),
        "2,many,0.5,0.001,0,4.0,0.1,900",
    ],
)
def test_a_bad_row_is_no_row(place, bad):
    found = training(place.trainings[0] / "a", GOOD.format(step=1), bad, GOOD.format(step=3))
    try:
        rows = found.rows()
    except UserError:  # the reader's own word on it, which the page shows
        return
    assert [row["step"] for row in rows] == ["1", "3"]
    assert trainings.drawn(rows).startswith(b"\x89PNG")


def test_numbers_that_are_not_finite_are_drawn(place):
    line = "1,nan,inf,0.001,0,4.0,0.1,900"
    found = training(place.trainings[0] / "a", line, GOOD.format(step=2))
    assert len(found.rows()) == 2 and trainings.drawn(found.rows()).startswith(b"\x89PNG")


def test_metrics_that_are_no_text_are_named(place):
    found = training(place.trainings[0] / "a")
    with (found.folder / metrics.FILE).open("ab") as file:
        file.write(b"1,\xff\xfe\n")
    with pytest.raises(UserError, match=metrics.FILE) as said:
        found.rows()
    assert len(str(said.value).splitlines()) == 1


def test_metrics_that_may_not_be_read_are_named(place, closed):
    found = training(place.trainings[0] / "a", GOOD.format(step=1))
    closed.add(found.folder)
    with pytest.raises(UserError, match=metrics.FILE):
        found.rows()


def test_a_folder_of_runs_that_has_gone_hides_no_other(place, tmp_path):
    here, gone = tmp_path / "here", tmp_path / "gone"
    for name in ("0001", "²", "x"):  # the second is a digit, but no number
        (here / name).mkdir(parents=True)
    place = replace(place, outputs=(gone, here))
    found = runs.runs_of(place, place.person(ANNA), [])
    assert [run.name for run in found] == ["here/0001"]


@pytest.mark.parametrize("prompts", ["null", "7", '{"a": 1}'])
def test_a_record_that_is_damaged_hides_no_run(place, tmp_path, prompts):
    (tmp_path / "outputs" / "0001").mkdir(parents=True)
    (tmp_path / "outputs" / "0001" / "video.json").write_text(f'{{"prompts": {prompts}}}')
    place = replace(place, outputs=(tmp_path / "outputs",))
    (run,) = runs.runs_of(place, place.person(ANNA), [])
    assert run.row()[3] == "no prompt"


def test_a_file_that_goes_while_it_is_shown_hides_no_other(place, tmp_path):
    (tmp_path / "b.png").write_bytes(b"x")
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    assert [Path(p).name for p in runs.all_shown(paths, place, place.person(ANNA))] == ["b.png"]


def test_copies_that_cannot_be_written_are_said(place, tmp_path):
    (tmp_path / "b.png").write_bytes(b"x")
    (place.served / ANNA).write_text("in the way of the folder")
    with pytest.raises(UserError):
        runs.all_shown([tmp_path / "b.png"], place, place.person(ANNA))


def test_what_is_still_written_and_links_are_not_listed(tmp_path):
    (tmp_path / "a.png").write_bytes(b"x")
    (tmp_path / ".b.png.12.tmp.png").write_bytes(b"x")
    (tmp_path / "c.png").symlink_to("/etc/passwd")
    (tmp_path / "d.png").mkdir()
    assert folders.files_in(tmp_path, (".png",)) == [tmp_path / "a.png"]
    assert folders.files_in(tmp_path / "none", (".png",)) == []


DAMAGED = ["", "{", "[]", '{"time": "soon", "work": 7}', '{"time": NaN, "work": {"amount": "x"}}']


@pytest.mark.parametrize("text", [*DAMAGED, f'{{"time": 1{"0" * 400}}}'])
def test_files_of_a_job_that_are_damaged_say_nothing(place, text):
    job = desk(place).submit(Form("text_to_video", prompts="a"))
    (job.runs / "0001").mkdir(parents=True)
    for name in ("job.json", "waiting", "started"):
        (job.folder / name).write_text(text)
    assert job.since("waiting") == 0.0 and job.process() is None
    assert runs.of_job(job).made == 0.0
    config = desk(place)._loaded(Form("text_to_video", prompts="a")).values
    assert "not known" in estimate.sentence(config, [job])


@pytest.mark.parametrize("held", [{}, {"arguments": "rm"}, {"arguments": []}, {"arguments": [1]}])
def test_a_job_that_does_not_say_what_it_is_given_is_named(tmp_path, held):
    (tmp_path / "0007").mkdir()
    (tmp_path / "0007" / "job.json").write_text(json.dumps(held))
    with pytest.raises(UserError, match=r"job\.json of job 0007 is damaged"):
        Job(tmp_path / "0007").arguments()

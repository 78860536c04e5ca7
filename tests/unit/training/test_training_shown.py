"""What a training shows of itself: TensorBoard events and the profile of a step."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import training_toys as toys
from PIL import Image
from training_toys import graph_mode  # noqa: F401

from mindlong.config.load import load
from mindlong.config.schema import TrainConfig
from mindlong.training import board, metrics, profile
from mindlong.training.plan import plan_of
from mindlong.training.trainer import Trainer
from mindlong.utils.errors import ConfigError

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


class Drawing(toys.ToyTask):
    """Its previews are a GIF and a sheet."""

    def preview(self, step: int, folder: Path) -> list[Path]:
        files = [folder / f"{step}.gif", folder / f"{step}.png"]
        frames = [Image.fromarray(np.full((4, 6, 3), n, np.uint8)) for n in (0, 200)]
        frames[0].save(files[0], save_all=True, append_images=frames[1:])
        frames[0].save(files[1])
        return files


def train(folder, steps, **more):
    options = toys.toy_options(steps=steps, log_every=1, preview_every=2, save_every=2, **more)
    return Trainer(Drawing(), options, folder).run()


def events(folder):
    held = accumulator.EventAccumulator(str(folder / board.FOLDER), {"images": 0, "scalars": 0})
    return held.Reload()


def test_events_hold_the_numbers_of_metrics_csv_once_also_after_going_on(tmp_path):
    newest = train(tmp_path, 3, tensorboard=True).checkpoint
    assert len(list((tmp_path / board.FOLDER).iterdir())) == 1
    newest.rename(tmp_path.parent / f"{tmp_path.name} gone")  # as if killed behind step 2
    train(tmp_path, 5, tensorboard=True)
    rows, shown = metrics.read(tmp_path / metrics.FILE), events(tmp_path)
    tags = shown.Tags()
    assert set(tags["scalars"]) == {board._tag(c) for c in metrics.COLUMNS[1:]}
    for column in ("loss", "grad_norm", "lr"):
        scalars = shown.Scalars(f"train/{column}")
        assert [s.step for s in scalars] == [int(row["step"]) for row in rows] == [1, 2, 3, 4, 5]
        np.testing.assert_allclose(
            [s.value for s in scalars], [float(row[column]) for row in rows], rtol=1e-6
        )
    assert tags["images"] == ["preview/gif", "preview/png"]
    assert [image.step for image in shown.Images("preview/gif")] == [2, 4, 5]
    assert shown.Images("preview/gif")[0].encoded_image_string[:3] == b"GIF"


@pytest.mark.slow
def test_a_run_that_asks_for_events_later_shows_the_earlier_steps_too(tmp_path):
    train(tmp_path, 2)
    assert not (tmp_path / board.FOLDER).exists()
    train(tmp_path, 4, tensorboard=True)
    assert [s.step for s in events(tmp_path).Scalars("train/loss")] == [1, 2, 3, 4]


def test_without_the_package_the_plan_says_what_brings_it(monkeypatch):
    monkeypatch.setattr(board.importlib.util, "find_spec", lambda name: None)
    pairs = ["model=configs/model/vdm_tiny.yaml", "train.tensorboard=true"]
    with pytest.raises(ConfigError, match="pip install tensorboard"):
        plan_of(load(None, pairs, TrainConfig))


@pytest.mark.slow
def test_what_the_disk_refuses_is_no_end_of_a_training(tmp_path, monkeypatch):
    def full(*given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(board.Board, "_scalars", full)
    assert train(tmp_path, 2, tensorboard=True).step == 2


def test_a_profile_says_where_the_time_of_a_step_goes(tmp_path):
    train(tmp_path, 6, profile_steps=3)
    with (tmp_path / profile.TABLE).open() as file:
        rows = {row["part"]: row for row in csv.DictReader(file)}
    assert list(rows) == list(profile.PARTS)
    times = {part: int(row["times"]) for part, row in rows.items()}
    assert times == {
        **dict.fromkeys(("data", "compute", "other"), 3),
        **{"compile": 1, "communication": 0, "saving": 3, "preview": 3},
    }
    each = {part: float(row["seconds_each"]) for part, row in rows.items()}
    assert each["compile"] > 0 and each["compute"] > 0 and each["saving"] > 0
    saving = rows["saving"]
    assert float(saving["seconds_a_step"]) == pytest.approx(each["saving"] / 2, abs=1e-5)
    with Image.open(tmp_path / profile.PLOT) as opened:
        assert opened.size[0] == 800 and np.asarray(opened.convert("RGB")).std() > 10


@pytest.mark.slow
def test_nothing_is_measured_without_being_asked_for(tmp_path):
    train(tmp_path, 2)
    assert not (tmp_path / profile.TABLE).exists()


def test_communication_is_taken_from_computing(tmp_path, monkeypatch):
    clock = iter(np.arange(0.0, 1000.0))
    monkeypatch.setattr(profile.time, "monotonic", lambda: float(next(clock)))
    calls = []
    made = profile.Profile(2, tmp_path, {"saving": 10}, lambda: calls.append(1))
    made.compiled(30.0)  # at 0
    for _ in range(2):
        made.step(seconds=5.0, waited=1.0)
        made.ended()
    rows = {part: (count, each, share) for part, count, each, share in made.rows()}
    assert len(calls) == 3 and rows["communication"][:2] == (2, 1.0)
    assert rows["compute"][:2] == (2, 3.0) and rows["data"][:2] == (2, 1.0)
    assert rows["compile"] == (1, 30.0, 0.0)
    with made.apart("saving"):
        pass
    assert {p: s for p, *_, s in made.rows()}["saving"] == pytest.approx(0.1)
    assert "compute" in made.text() and (tmp_path / profile.TABLE).exists()


def test_the_package_is_not_imported_unless_it_is_asked_for():
    code = "import mindlong.training.board, sys; print('tensorboard' in sys.modules)"
    import subprocess

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False"


def test_losses_of_another_program_are_not_a_trainings_metrics(tmp_path):
    ours, other = tmp_path / "a.csv", tmp_path / "b.csv"
    ours.write_text(",".join(metrics.COLUMNS) + "\n")
    other.write_text("step,seconds,loss,lr\n50,8.2,0.87,0.0005\n")
    assert metrics.is_ours(ours) and not metrics.is_ours(other) and not metrics.is_ours(tmp_path)

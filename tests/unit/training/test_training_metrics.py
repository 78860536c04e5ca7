"""metrics.csv is the same whether or not the run was interrupted; loss.png is drawn from it."""

import csv

import numpy as np
import pytest

from mindlong.training import metrics
from mindlong.training.metrics import COLUMNS, TIMING, Metrics, draw, read


def feed(book, start, end):
    for step in range(start, end + 1):
        book.add(step, loss=1.0 / step, norm=float(step), skipped=step % 4 == 0)
        book.time(0.5, 0.1, 8)
        book.row(step, lr=0.1 * step, skipped=step // 4)


def untimed(path):
    return [{k: v for k, v in row.items() if k not in TIMING} for row in read(path)]


def test_a_row_covers_the_steps_since_the_row_before(tmp_path):
    book = Metrics(tmp_path / "m.csv", every=3)
    feed(book, 1, 6)
    rows = list(csv.DictReader((tmp_path / "m.csv").open()))
    assert list(rows[0]) == list(COLUMNS) and [row["step"] for row in rows] == ["3", "6"]
    assert float(rows[1]["loss"]) == pytest.approx((1 / 4 + 1 / 5 + 1 / 6) / 3, rel=1e-7)
    assert float(rows[1]["grad_norm"]) == 5.5  # of steps 5 and 6: step 4 was skipped
    assert rows[1]["skipped"] == "1" and float(rows[1]["samples_per_s"]) == 16.0
    assert float(rows[1]["data_wait_s"]) == pytest.approx(0.3) and float(rows[1]["memory_mb"]) > 50


def test_an_interrupted_file_equals_an_undisturbed_one(tmp_path):
    whole, cut = tmp_path / "whole.csv", tmp_path / "cut.csv"
    feed(Metrics(whole, every=3), 1, 12)
    book = Metrics(cut, every=3)
    feed(book, 1, 5)
    saved = book.state()
    feed(book, 6, 10)  # lost with the process
    with cut.open("a") as file:
        file.write("12,0.3")  # a line cut short by the crash
    feed(Metrics(cut, every=3, step=5, sums=saved), 6, 12)
    assert untimed(whole) == untimed(cut) and len(untimed(whole)) == 4


def test_the_plot_is_drawn_and_survives_odd_values(tmp_path):
    book = Metrics(tmp_path / "m.csv", every=1)
    draw(book.path, tmp_path / "loss.png")
    assert not (tmp_path / "loss.png").exists()
    for step in range(1, 30):
        book.add(
            step, loss=-1.0 if step == 3 else 2.0 / step, norm=float("inf"), skipped=step % 2 == 0
        )
        book.row(step, 0.1, 0)
    draw(book.path, tmp_path / "loss.png")
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_smoothing_ignores_gaps():
    nan = float("nan")
    assert metrics.smoothed([1.0, nan, 1.0, nan]) == [1.0] * 4
    assert np.isfinite(metrics.smoothed([nan, 1.0, 2.0])[-1])


HEAD = ",".join(metrics.COLUMNS)
ROW = "5,0.5,1,0.01,0,10.0,0.0,100"


@pytest.mark.parametrize(
    "text", ["\ufeff" + HEAD + "\n" + ROW + "\n", HEAD + "\n" + ROW.replace("5,", "5.0,", 1) + "\n"]
)
def test_a_table_that_a_spreadsheet_saved_goes_on(tmp_path, text):
    path = tmp_path / "metrics.csv"
    path.write_text(text, encoding="utf-8")
    metrics.Metrics(path, 5, step=5)
    assert path.read_text() == f"{HEAD}\n{ROW}\n"
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.csv"]


@pytest.mark.parametrize(
    "held",
    [
        (HEAD + "\n" + ROW + "\n").replace(",", ";").encode(),
        (HEAD + "\n" + ROW.replace("5,", "x,", 1) + "\n").encode(),
        b"\xff\xfe\x00step",
    ],
)
def test_a_table_that_cannot_be_read_is_kept_beside(tmp_path, held, caplog):
    path = tmp_path / "metrics.csv"
    for number in (1, 2):
        path.write_bytes(held)
        metrics.Metrics(path, 5, step=5)
        assert path.read_text() == HEAD + "\n"
        assert (tmp_path / f"metrics.before-{number}.csv").read_bytes() == held
    assert "is kept as metrics.before-1.csv and begun anew" in caplog.text
    assert not metrics.has_rows(path) and metrics.has_rows(tmp_path / "metrics.before-1.csv") is (
        b";" not in held
    )

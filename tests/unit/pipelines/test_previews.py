"""Previews of a run that is being denoised: when they are drawn and what they are called."""

from types import SimpleNamespace

import numpy as np
from PIL import Image

from mindlong.pipelines.previews import Previews
from mindlong.utils import progress_file


def previews(folder, every, rank=0):
    session = SimpleNamespace(
        config=SimpleNamespace(preview_every=every), folder=folder, comm=SimpleNamespace(rank=rank)
    )
    return Previews(session, lambda x0: iter(np.full((x0.shape[1], 6, 8, 3), 9, np.uint8)))


def walked(drawn, steps, name="video"):
    moved = []
    step = drawn.step(SimpleNamespace(update=moved.append), name, ["one", "two"])
    for number in range(1, steps + 1):
        assert step(number, steps, np.zeros((2, 4, 3, 2, 2), np.float32)) is None
    assert sum(moved) == steps


def test_they_are_drawn_every_so_many_steps_and_at_the_end(tmp_path):
    drawn = previews(tmp_path, 3)
    walked(drawn, 7)
    walked(drawn, 3)
    found = sorted(p.name for p in (tmp_path / "preview").iterdir())
    assert found == [
        "video-run-0002-step-0003.png",
        *(f"video-step-{n:04d}.png" for n in (3, 6, 7)),
    ]
    image = Image.open(tmp_path / "preview" / found[0])
    assert image.width >= 3 * 8 and image.height >= 2 * 6


def test_without_the_key_nothing_is_drawn(tmp_path):
    walked(previews(tmp_path, 0), 4)
    assert not (tmp_path / "preview").exists()


def test_processes_do_not_draw_over_each_other(tmp_path):
    for rank in (0, 1):
        walked(previews(tmp_path, 2, rank), 2)
    assert len(list((tmp_path / "preview").iterdir())) == 2


def test_how_far_it_is_stands_in_a_file(tmp_path, monkeypatch):
    place = tmp_path / "progress.json"
    progress_file.note("denoising", 1, 4)
    assert progress_file.read(place) == {}
    monkeypatch.setenv(progress_file.VARIABLE, str(place))
    progress_file.note("decoding", 1, 4, "frame")
    progress_file.note("decoding", 4, 4, "frame")
    held = progress_file.read(place)
    assert (held["what"], held["done"], held["total"], held["unit"]) == ("decoding", 4, 4, "frame")
    monkeypatch.setenv(progress_file.VARIABLE, "/nowhere/at/all.json")
    progress_file.note("decoding", 2, 4)
    place.write_text("[")
    assert progress_file.read(place) == {}

"""The table of frames that fit a device: what it counts, and where a network ends it."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[3] / "tools"))
import frames_that_fit as tool  # noqa: E402

from mindlong.config.section import load_model  # noqa: E402
from mindlong.networks import table  # noqa: E402
from mindlong.networks.cost import Load  # noqa: E402

ROOT = Path(__file__).parents[3]


def cells(name, gigabytes):
    row = tool.row(name, [g * 1e9 for g in gigabytes], 8)
    return dict(zip([way.title for way in tool.WAYS], row[3:], strict=True))


def test_more_memory_and_fewer_states_are_never_fewer_frames():
    found = {k: v.split(" / ") for k, v in cells("videocrafter2", (60, 128)).items()}
    numbers = {k: [int(v) if v != "none" else 0 for v in row] for k, row in found.items()}
    for row in numbers.values():
        assert row == sorted(row) and row[-1] > row[0]
    titles = [way.title for way in tool.WAYS][3:]
    for fewer, more in zip(titles, titles[1:], strict=False):
        assert all(a <= b for a, b in zip(numbers[fewer], numbers[more], strict=True))


def test_the_longest_video_fits_and_one_frame_more_does_not():
    model = load_model(ROOT / "configs/model/videocrafter2.yaml")
    entry, spec, way = table.get(model.family), model.spec(), tool.WAYS[0]

    def needs(frames):
        return tool.needs_of(way, entry, spec, Load(1, frames, 40, 64, 77), 8)

    frames = int(cells("videocrafter2", (60,))[way.title])
    assert needs(frames) <= 60e9 < needs(frames + 1)
    assert needs(frames) > entry.cost(spec, Load(2, frames, 40, 64, 77)).bytes + tool.LARGE_SCORES


@pytest.mark.parametrize(
    ("name", "most"),
    [("dynamicrafter_512", "16 (all)"), ("animatediff_v1", "24 (all)")],
)
def test_networks_that_know_so_many_places_end_there(name, most):
    assert cells(name, (1000,))["inference"] == most


def test_a_video_of_four_frames_a_latent_is_counted_in_frames():
    assert (int(cells("cogvideox_2b", (60,))["inference"]) - 1) % 4 == 0

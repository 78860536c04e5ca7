"""Nodes of films: shared end frames, nothing cut, and InfiNet's tree for tools that want it."""

import json

import numpy as np
import pytest

from mindlong.cli.chop import command, main
from mindlong.data.chop_nodes import Film, index_of, starts_of
from mindlong.data.chop_tree import depths_of, plan_tree
from mindlong.data.nodes import (
    FilmNodes,
    IndexedNodes,
    LevelChooser,
    known_frames,
    node_count,
    node_frames,
)
from mindlong.data.shapes import ShapesWorld
from mindlong.media.read import read_video
from mindlong.media.write import write_frames
from mindlong.plans.hierarchy import plan_hierarchical
from mindlong.utils.errors import ConfigError, InputFileError, UserError
from mindlong.utils.rng import generator


@pytest.fixture
def film(tmp_path):
    """40 frames whose grey value is their number."""
    frames = (
        np.repeat(np.arange(40, dtype=np.uint8)[:, None, None, None] * 6, 16, 1)
        .repeat(16, 2)
        .repeat(3, 3)
    )
    return write_frames(tmp_path / "film", frames, 8)


@pytest.mark.parametrize("lengths", [(3, 3, 3), (16, 16), (5, 4, 3)])
def test_nodes_are_the_runs_of_the_plan(lengths):
    plan = plan_hierarchical(lengths)
    for job in plan.jobs:
        assert tuple(node_frames(lengths, job.level, job.node)) == job.frames
    assert sum(node_count(lengths, k) for k in range(len(lengths))) == len(plan.jobs)


def test_levels_come_by_share_not_by_number_of_nodes():
    choose = LevelChooser((16, 16, 16), [1, 1, 2], 0)
    counts = np.bincount([choose.level(i) for i in range(4000)]) / 4000
    assert np.abs(counts - [0.25, 0.25, 0.5]).max() < 0.03
    assert len({choose.node(i, 225) for i in range(4000)}) == 225


def test_a_sample_is_a_node_of_a_film(film):
    films = ShapesWorld((16, 16), 10)
    nodes = FilmNodes(films, (4, 4), [0, 1], 3)
    sample, choose = nodes.sample(7), nodes.choose
    assert np.array_equal(
        sample.frames_FHWC,
        films.sample(7).frames_FHWC[list(node_frames((4, 4), 1, choose.node(7, 3)))],
    )
    assert sample.caption == films.sample(7).caption and nodes.level(7) == 1


def test_an_index_names_frames_that_neighbours_share(film, tmp_path):
    assert command([str(film), "--index", str(tmp_path / "i.json"), "--levels", "4,4"]) == 0
    first = (tmp_path / "i.json").read_bytes()
    assert command([str(film), "--index", str(tmp_path / "i.json"), "--levels", "4,4"]) == 0
    assert (tmp_path / "i.json").read_bytes() == first and film.is_dir()
    index = json.loads(first)
    nodes = index["films"][0]["nodes"]
    local = [n["frames"] for n in nodes if n["level"] == 1]
    assert len(local) == 12 and all(a[-1] == b[0] for a, b in zip(local, local[1:], strict=False))
    assert [n["frames"] for n in nodes if n["level"] == 0] == [
        [s, s + 3, s + 6, s + 9] for s in (0, 9, 18, 27)
    ]


def test_samples_of_an_index_are_the_frames_it_names_with_captions_of_nodes(film, tmp_path):
    (tmp_path / "film.txt").write_text("a film\n")
    (tmp_path / "film.nodes.json").write_text('{"1/2": "the third"}')
    main([str(film), "--index", str(tmp_path / "i.json"), "--levels", "4,4"])
    nodes = IndexedNodes(tmp_path / "i.json", 4, (16, 16), [], 0)
    seen = set()
    for i in range(60):
        sample = nodes.sample(i)
        grey = (sample.frames_FHWC[:, 0, 0, 0] // 6).tolist()
        assert np.diff(grey).tolist() == [3 if nodes.level(i) == 0 else 1] * 3
        if nodes.level(i) == 1 and grey[0] == 6:
            assert sample.caption == "the third"
        seen.add(sample.caption)
    assert seen == {"a film", "the third"}
    with pytest.raises(InputFileError, match="runs of \\[4\\] frames; 5 are trained"):
        IndexedNodes(tmp_path / "i.json", 5, (16, 16), [], 0)


def test_short_films_are_named_and_none_left_is_an_error(tmp_path):
    index, short = index_of(
        [Film(tmp_path / "a.mp4", 9), Film(tmp_path / "b.mp4", 10)], (4, 4), tmp_path
    )
    assert len(index["films"]) == 1 and "a.mp4 has 9 frames; 10 are needed" in short[0]
    with pytest.raises(InputFileError, match="no film has 10 frames"):
        index_of([Film(tmp_path / "a.mp4", 9)], (4, 4), tmp_path)
    with pytest.raises(ConfigError, match="at least 3"):
        index_of([], (4, 2), tmp_path)
    assert list(starts_of(19, (4, 4))) == [0, 9] and list(starts_of(18, (4, 4))) == [0]
    (tmp_path / "bad.json").write_text(
        '{"lengths": [4], "films": [{"nodes": [{"level": 0, "node": 0, "frames": [1]}]}]}'
    )
    with pytest.raises(InputFileError, match="no index of nodes"):
        IndexedNodes(tmp_path / "bad.json", 4, (16, 16), [], 0)


@pytest.mark.parametrize(
    ("frames", "clips", "depths"), [(40, 13, 3), (4, 1, 1), (27, 13, 3), (26, 4, 2), (9, 4, 2)]
)
def test_the_tree_has_the_originals_clips(frames, clips, depths):
    found = plan_tree(frames, 3)
    assert (len(found), depths_of(frames, 3)) == (clips, depths)
    for depth in range(depths):
        spans = [(c.first, c.end) for c in found if c.depth == depth]
        assert [f for a, b in spans for f in range(a, b)] == list(range(3**depths))


def test_the_trees_names_nest_and_the_film_stays(film, tmp_path):
    assert (
        command([str(film), "--out", str(tmp_path / "t"), "--tree", "3", "--caption", "grey"]) == 0
    )
    root = tmp_path / "t/film/scenario_0"
    assert (root / "depth_0/part_0/subset_0.mp4").is_file() and film.is_dir()
    frames, _ = read_video(root / "depth_0/depth_1/depth_2/part_2/subset_1.mp4")
    assert len(frames) == 3 and abs(int(frames[0, 8, 8, 0]) - 21 * 6) < 6
    assert (root / "depth_0/depth_1/part_0/subset_2.txt").read_text() == "grey\n"
    assert len(list(root.rglob("*.mp4"))) == len(list(root.rglob("*.txt"))) == 13
    with pytest.raises(UserError, match="nothing is overwritten"):
        main([str(film), "--out", str(tmp_path / "t"), "--tree", "3"])


def test_what_cannot_be_chopped_is_said(film, tmp_path):
    with pytest.raises(InputFileError, match="40 frames; a tree of 50 needs at least 51"):
        main([str(film), "--out", str(tmp_path), "--tree", "50"])
    with pytest.raises(ConfigError, match="--out is missing"):
        main([str(film)])
    with pytest.raises(ConfigError, match="--levels is '4;4'"):
        main([str(film), "--index", str(tmp_path / "i.json"), "--levels", "4;4"])
    with pytest.raises(InputFileError, match="3 frames"):
        plan_tree(3, 3)


def test_what_a_sample_knows():
    draws = [known_frames(0, 5, 0.5, generator(0, "k", i)) for i in range(400)]
    patterns = {tuple(map(bool, d)) for d in draws}
    assert patterns == {
        (False,) * 5,
        (True, False, False, False, False),
        (False, False, False, False, True),
        (True, False, False, False, True),
    }
    assert 0.4 < np.mean([d.any() for d in draws]) < 0.6
    assert known_frames(1, 4, 0.0, generator(0, "k", 1)).tolist() == [True, False, False, True]

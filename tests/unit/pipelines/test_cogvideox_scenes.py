"""Scenes with a network that reads one prompt a video: refused before anything runs."""

import numpy as np
import pytest
from PIL import Image

from mindlong.cli.infer import command as infer

RANGES = "{0-2: a red circle moving right, 3-4: a blue square moving left}"
SINGLE = "{0: a red circle, 4: a blue square}"
PIPELINES = {
    "hierarchical": ["hierarchical.lengths=[3,3]"],
    "extend": ["frames=4", "extend.overlap=1", "extend.given=inside", "extend.images=[{image}]"],
    "edit": ["frames=5", "edit.video={folder}"],
    "interpolate": ["interpolate.images=[{image},{image}]", "interpolate.factor=4"],
    "clip_parallel": ["clip_parallel.lengths=[3,2]"],
    "text_to_video": ["frames=5"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five frames of 48 pixels."""
    where = tmp_path_factory.mktemp("frames")
    for number in range(5):
        frame = np.random.default_rng(number).integers(0, 256, (48, 48, 3), np.uint8)
        Image.fromarray(frame).save(where / f"{number}.png")
    return where


@pytest.mark.parametrize("scenes", [RANGES, SINGLE])
@pytest.mark.parametrize("pipeline", PIPELINES)
def test_scenes_are_refused_in_a_sentence(pipeline, scenes, folder, tmp_path, capsys):
    own = [word.format(image=folder / "0.png", folder=folder) for word in PIPELINES[pipeline]]
    words = [f"pipeline={pipeline}", "weights=shipped:cogvideox_shapes", *own]
    given = f"[{scenes}]" if pipeline == "text_to_video" else scenes
    words += [f"{pipeline}.scenes={given}", f"output={tmp_path}", "--dry_run"]
    assert infer(words) == 2
    said = capsys.readouterr().err
    assert f"{pipeline}.scenes: the transformer of CogVideoX-2B reads one prompt a video" in said

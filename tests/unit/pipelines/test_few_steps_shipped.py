"""The shipped weights of four steps: what they lie over, and what they draw."""

import numpy as np
import pytest

from mindlong.checkpoints.changed import LORA
from mindlong.checkpoints.latent_parts import find_latent_parts
from mindlong.checkpoints.locate import SHIPPED
from mindlong.cli.infer import main
from mindlong.config.few_steps import DISTILLED
from mindlong.config.infer_options.latent import LatentModelOptions
from mindlong.data.shapes_reader import read
from mindlong.media.read import read_video

TEACHER, STEPS = next(iter(DISTILLED))
FEW = DISTILLED[TEACHER, STEPS][0]


def test_they_are_a_lora_over_their_teacher():
    few, teacher = (find_latent_parts(w, LatentModelOptions()) for w in (FEW, TEACHER))
    assert (SHIPPED / FEW.removeprefix("shipped:") / LORA).stat().st_size < 1e6
    before, after = teacher.network.arrays, few.network.arrays
    assert set(before) == set(after)
    moved = {n for n in before if not np.array_equal(before[n].read(), after[n].read())}
    assert moved and not any(".res.conv" in name or name.endswith("bias") for name in moved)
    assert few.noising.prediction == teacher.noising.prediction == "v"


@pytest.mark.slow
def test_the_quickstart_in_four_steps_shows_its_captions(tmp_path):
    captions = ["a red circle moving right", "a green square moving up"]
    words = [f"prompts={captions}", f"output={tmp_path}", "formats=[frames]", "scale=1"]
    main(["--config", "configs/infer/quickstart_latent.yaml", f"steps={STEPS}", *words])
    for i, caption in enumerate(captions):
        frames = read_video(tmp_path / "0001" / f"video-{i:03d}")[0]
        seen = read(frames, ("circle", "square", "triangle"), ("red", "green", "blue", "yellow"))
        assert all(seen.agrees(caption).values()), (caption, seen)

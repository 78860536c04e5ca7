"""Editing a video by prompts, from file to file, with tiny random networks."""

import json

import numpy as np
import pytest
from latent_toys import folder
from mindspore import Tensor

from mindlong.cli.infer import main, plan
from mindlong.config.infer_schema import InferConfig
from mindlong.config.load import load
from mindlong.config.pipelines import function, pipeline
from mindlong.media.deflicker import deflickered
from mindlong.media.read import read_video
from mindlong.media.write import write_frames
from mindlong.networks.unet.injection import Gate, Injected
from mindlong.ops.attention import TokenAttention
from mindlong.pipelines.clips import Clip, first_noise
from mindlong.pipelines.edit.make import Editor
from mindlong.pipelines.edit.plan import plan as planned_edit
from mindlong.pipelines.edit.plan import work_of
from mindlong.pipelines.load_model import from_parts
from mindlong.utils.errors import ConfigError, InputFileError

MODE = "pynative"


@pytest.fixture(scope="module")
def where(tmp_path_factory):
    """An image model and a video."""
    root = tmp_path_factory.mktemp("edit")
    folder(root / "images", "stable_diffusion")
    frames = np.random.default_rng(0).integers(0, 256, (6, 8, 12, 3)).astype(np.uint8)
    write_frames(root / "clip", frames)
    return root


def pairs(where, **more):
    given = {
        "pipeline": "edit",
        "weights": where / "images",
        "edit.video": where / "clip",
        "frames": 3,
        "size": "[8,8]",
        "output": where / "out",
        "sample.steps": 2,
        "sample.guidance": 2,
        "edit.invert_steps": 2,
        "formats": "[gif,png]",
        "env.mode": "pynative",
        "prompts": "['a cat', 'a dog']",
    }
    given |= {key.replace("__", "."): value for key, value in more.items()}
    return [f"{key}={value}" for key, value in given.items()]


def loaded(where, **more):
    return load(None, pairs(where, **more), InferConfig)


@pytest.fixture(scope="module")
def editor(where):
    config = loaded(where).values
    work = work_of(config)
    assert work.fresh and work.parts.network.family == "tune_a_video"
    return Editor(
        from_parts(work.parts, config.latent, 0), config.sample, config.edit
    ), work.frames_FHWC


def test_a_video_goes_in_and_a_video_for_each_prompt_comes_out(where, monkeypatch):
    smoothed = []

    def noted(frames, reach):
        smoothed.append(reach)
        return deflickered(frames, reach)

    monkeypatch.setattr("mindlong.pipelines.results.deflickered", noted)
    more = {"edit__report": "[2]", "edit__refine": 1, "edit__negative": "'a bird'", "deflicker": 1}
    assert main(pairs(where, **more)) == 0
    assert smoothed == [1, 1], "the edits; the source is written as it was given"
    made = sorted((where / "out").glob("*"))[-1]
    names = {p.name for p in made.iterdir()}
    assert {
        "edit-000.gif",
        "edit-001.gif",
        "source.gif",
        "contact_sheet.png",
        "inversion.csv",
        "video.json",
    } <= names
    assert read_video(made / "edit-001.gif")[0].shape == (3, 8, 8, 3)
    record = json.loads((made / "video.json").read_text())
    assert [p["prompt"] for p in record["prompts"]] == ["a cat", "a dog"] and len(
        record["reconstructions"]
    ) == 2
    with np.load(made / "latents/edit.npz") as held:
        assert held["edit-000"].shape == held["x_T"].shape == held["source"].shape == (4, 3, 4, 4)
        assert np.abs(held["edit-000"] - held["edit-001"]).max() > 1e-4


@pytest.mark.slow
def test_compiled_it_makes_the_same_edits(where, tmp_path):
    found = []
    for mode in ("graph", "pynative"):
        out = tmp_path / mode
        assert main(pairs(where, env__mode=mode, output=out, formats="[frames]")) == 0
        found += [read_video(path)[0].astype(int) for path in sorted(out.glob("0001/edit-*"))]
    assert len(found) == 4
    for compiled, eager in zip(found[:2], found[2:], strict=True):
        assert np.abs(compiled - eager).max() <= 1


@pytest.mark.slow
def test_the_number_of_frames_is_free(where, editor):
    assert work_of(loaded(where, frames=5).values).frames_FHWC.shape == (5, 8, 8, 3)
    z = np.random.default_rng(1).standard_normal((4, 5, 4, 4)).astype(np.float32)
    assert editor[0].invert(z, 1).shape == z.shape


@pytest.mark.slow
def test_more_steps_and_refinement_bring_the_way_back_closer(editor):
    tool, frames = editor
    z = tool.model.encode(frames)
    rough, fine, exact = (
        tool.compare(frames, z, steps, refine) for steps, refine in ((5, 0), (25, 0), (5, 10))
    )
    assert fine.latent > rough.latent + 3 and exact.latent > rough.latent + 6
    assert (
        exact.pixels > rough.pixels
        and exact.similarity > rough.similarity
        and exact.ceiling == rough.ceiling
    )
    assert "5 steps, 10 repetitions" in exact.row()


def test_the_inverted_noise_is_shared_and_fresh_noise_is_not(where, editor):
    from mindlong.pipelines.edit.make import clips_of

    tool, frames = editor
    clips = clips_of(loaded(where).values, 4)
    noise = first_noise(clips, (4, 3, 4, 4))
    assert not np.array_equal(noise[0], noise[1])
    x_T = tool.invert(tool.model.encode(frames), 2)
    assert np.array_equal(x_T, tool.invert(tool.model.encode(frames), 2))
    same = tool.make(clips[0], [x_T])
    assert np.array_equal(same, tool.make(clips[0], [x_T])) and not np.array_equal(
        same, tool.make(clips[0], [noise[0]])
    )


def test_strength_starts_between_the_video_and_noise(where, editor):
    tool, frames = editor
    z = tool.model.encode(frames)
    config = loaded(
        where, edit__strength=0.5, edit__invert_prompt="'a cat'", sample__steps=6
    ).values
    half = Editor(tool.model, config.sample, config.edit)
    assert (
        half.noising.schedule.timesteps == tool.noising.schedule.timesteps // 2
        and tool.noising is tool.model.noising
    )
    again = [
        Editor(
            tool.model,
            loaded(where, edit__strength=share).values.sample,
            loaded(where, edit__strength=share).values.edit,
        )
        for share in (0.1, 1)
    ]
    near, far = (np.square(e.again(e.invert(z, 4), 4) - z).mean() for e in again)
    assert near < 0.1 * far  # the less it is noised, the less is lost
    clip = Clip("edit-000", ("a dog",), "a dog", 0, 0)
    drawn = half.noised(clip, z)
    level = half.noising.schedule.level(
        half.noising.flavour.times(half.noising.schedule.timesteps, 6)[0]
    )
    assert np.allclose(drawn, level.signal * z + level.sigma * first_noise([clip], z.shape)[0])
    assert np.array_equal(tool.noised(clip, z), first_noise([clip], z.shape)[0])


@pytest.mark.slow
def test_injected_maps_change_an_edit_and_closed_gates_do_not(where):
    z = np.random.default_rng(3).standard_normal((4, 3, 4, 4)).astype(np.float32)
    plain = loaded(
        where, sample__steps=4, edit__invert_steps=4, edit__invert_prompt="'a cat'"
    ).values
    model = from_parts(work_of(plain).parts, plain.latent, 0)
    path = Editor(model, plain.sample, plain.edit).path(z, 4, 3)  # before there are any gates
    made = {}
    for inject in ("{}", "{space: 0, text: 0}", "{space: 0.5}", "{space: 1, time: 1, text: 1}"):
        config = loaded(
            where,
            sample__steps=4,
            edit__invert_steps=4,
            edit__invert_prompt="'a cat'",
            edit__inject=inject,
        ).values
        edit = Editor(model, config.sample, config.edit)
        clip = Clip("edit-000", ("a dog",), "a dog", 0, 0)
        made[inject] = edit.make(clip, path)
    assert (
        np.abs(made["{}"] - made["{space: 0, text: 0}"]).max() < 1e-5
    )  # closed gates change nothing
    assert np.abs(made["{}"] - made["{space: 0.5}"]).max() > 1e-4
    assert np.abs(made["{space: 0.5}"] - made["{space: 1, time: 1, text: 1}"]).max() > 1e-4


def test_a_v_network_is_inverted_as_one_unless_compat_asks_for_the_originals_mistake(where, editor):
    tool, frames = editor
    config = loaded(where, edit__compat="tune_a_video").values
    z = tool.model.encode(frames)
    right, wrong = tool.invert(z, 4), Editor(tool.model, config.sample, config.edit).invert(z, 4)
    assert tool.model.noising.prediction == "v" and np.abs(right - wrong).max() > 0.1
    assert np.square(tool.again(right, 4) - z).mean() < np.square(tool.again(wrong, 4) - z).mean()


def test_one_frame_of_a_video_is_not_edited_in_silence(where):
    """The usual length of an image model is one frame."""
    shipped = {"weights": "shipped:stable_diffusion_shapes", "latent.vae": "shipped:latent_shapes"}
    alone = planned_edit(loaded(where, **shipped, size="[48,48]", frames=0)).notes
    assert any("one frame of the video is edited" in note for note in alone)
    more = planned_edit(loaded(where, **shipped, size="[48,48]")).notes
    assert not any("one frame" in note for note in more)


def test_the_plan_says_what_would_be_done(where):
    text = "\n".join(plan(loaded(where)))
    assert "2 prompts, ddim 2 steps each, guidance 2, v predicted" in text and "not tuned" in text
    assert function(pipeline("edit").run).__module__ == "mindlong.pipelines.edit.run"


@pytest.mark.parametrize(
    ("more", "kind", "words"),
    [
        ({"edit__video": "''"}, ConfigError, "edit.video is empty"),
        ({"prompts": "[]"}, ConfigError, "no prompt is given"),
        ({"sample__sampler": "ddpm"}, ConfigError, "sample.sampler is ddpm"),
        ({"edit__strength": 1.5}, ConfigError, "edit.strength is 1.5"),
        (
            {"count": 2},
            ConfigError,
            "count is not read, because .* every edit by a prompt is the same",
        ),
        (
            {"edit__inject": "{spaces: 0.5}"},
            ConfigError,
            "edit.inject has 'spaces'.*Did you mean 'space'",
        ),
        ({"edit__inject": "{space: 2}"}, ConfigError, "edit.inject says 2 of the steps for space"),
        (
            {"edit__inject": "{space: 0.5}", "edit__invert_steps": 3},
            ConfigError,
            "as many steps both ways",
        ),
        (
            {"frames": 7},
            InputFileError,
            "has 6 frames; 7 frames from number 0 at a stride of 1 need 7",
        ),
        ({"size": "[9,8]"}, ConfigError, r"size is \[9, 8\]; both must be multiples of 2"),
        ({"edit__fit": "refuse"}, InputFileError, "has other proportions"),
        ({"edit__tuned": "nowhere"}, InputFileError, "edit.tuned: nothing at nowhere"),
        ({"edit__video": "nowhere.mp4"}, InputFileError, "nowhere.mp4"),
    ],
)
def test_what_a_user_gets_wrong_is_one_sentence(where, more, kind, words):
    with pytest.raises(kind, match=words):
        work_of(loaded(where, **more).values)


def test_a_run_of_tuning_is_edited_with_by_its_folder_alone(where, tmp_path):
    """Its autoencoder, tokenizer and the sizes of its text encoder are found where the training
    found them.
    """
    from tune_toys import config, task_of

    from mindlong.checkpoints import store
    from mindlong.utils import atomic

    loaded_run = config(
        where / "images", where / "clip", tmp_path / "run", latents__cache=tmp_path / "cache"
    )
    network = task_of(loaded_run).network
    store.save(
        tmp_path / "run",
        1,
        {"network": {p.name: p.asnumpy() for p in network.get_parameters()}},
        {"step": 1},
    )
    atomic.write_text(tmp_path / "run/config.yaml", loaded_run.text)
    work = work_of(loaded(where, weights=tmp_path / "run", frames=0, size="[]").values)
    assert (
        not work.fresh
        and work.frames_FHWC.shape == (3, 16, 16, 3)
        and work.parts.noising.prediction == "v"
    )
    assert work.parts.noising.flavour.offset == 1 and work.parts.noising.schedule.timesteps == 50
    assert set(work.parts.text_encoder.arrays) and work.parts.text_encoder.spec.length == 8


def test_an_open_gate_gives_every_video_the_maps_of_the_first():
    rng = np.random.default_rng(0)
    q, k, v = (Tensor(rng.standard_normal((3, 5, 8)).astype(np.float32)) for _ in range(3))
    attend, gate = TokenAttention(2, 0.5), Gate(3)
    injected = Injected(attend, gate, "text")
    alone = attend(q, k, v).asnumpy()
    assert np.array_equal(injected(q, k, v).asnumpy(), alone)
    gate.set(True)
    first = [attend(q[:1], k[:1], v[i : i + 1]).asnumpy()[0] for i in range(3)]
    assert (
        np.allclose(injected(q, k, v).asnumpy(), first, atol=1e-6)
        and np.abs(np.stack(first)[1:] - alone[1:]).max() > 0.1
    )

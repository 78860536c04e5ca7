"""Few-step networks: the published lists of LCM, the tensors of a distillation over its teacher's,
a network that is told its guidance.
"""

import json

import latent_toys
import lora_files
import numpy as np
import pytest
import yaml

from mindlong.checkpoints import changed
from mindlong.checkpoints.files import open_weights, write_safetensors
from mindlong.checkpoints.latent_parts import find_latent_parts
from mindlong.checkpoints.lora.merge import merge
from mindlong.cli.infer import plan
from mindlong.config.infer_options.latent import LatentModelOptions
from mindlong.config.infer_schema import InferConfig
from mindlong.config.load import load
from mindlong.config.lora_words import every
from mindlong.config.sample import SampleOptions
from mindlong.config.schema import TrainConfig
from mindlong.diffusion.noising import Noising
from mindlong.diffusion.sample import Plain, rule_of, sample, sampler_of
from mindlong.diffusion.samplers.flavours import told_of
from mindlong.diffusion.samplers.lcm import boundary
from mindlong.diffusion.schedules import linear, scaled_linear
from mindlong.networks.strangers import instead
from mindlong.networks.unet.families import FAMILIES
from mindlong.networks.unet.names import names
from mindlong.pipelines.clips import Clip
from mindlong.pipelines.load_model import load_latent_model
from mindlong.pipelines.text_to_video.guided import TextToVideo
from mindlong.utils.errors import ConfigError, InputFileError

SD = Noising(scaled_linear())
X = np.random.default_rng(0).standard_normal((2, 3, 4, 4, 4)).astype(np.float32)


@pytest.mark.parametrize(
    ("options", "times"),
    [
        (Plain("lcm", 1), [999]),
        (Plain("lcm", 4), [999, 759, 499, 259]),
        (Plain("lcm", 6), [999, 839, 679, 499, 339, 179]),
        (Plain("lcm", 8), [999, 879, 759, 639, 499, 379, 259, 139]),
        (Plain("lcm", 4, flavour="animatelcm"), [999, 749, 499, 249]),
        (
            Plain("lcm", 8, flavour="animatelcm"),
            [999, 879, 749, 629, 499, 379, 249, 129],
        ),
        (Plain("lcm", 4, flavour="t2v_turbo"), [999, 759, 519, 279]),
        (Plain("lcm", 8, flavour="t2v_turbo"), [999, 879, 759, 639, 519, 399, 279, 159]),
        (Plain("tcd", 4, original=100), [999, 749, 499, 249]),
    ],
)
def test_the_published_lists_of_timesteps(options, times):
    assert rule_of(options, SD).times == times


def test_a_part_of_the_schedule_visits_the_solvers_own_timesteps():
    """diffusers' `strength`: 4 of 50 from 0.6 on."""
    assert rule_of(Plain("lcm", 4), SD.below(0.6)).times == [599, 459, 299, 159]
    assert SD.below(0.6).below(0.5).schedule.trained == 1000


@pytest.mark.parametrize(
    ("options", "noising", "words"),
    [
        (Plain("lcm", 51), SD, "steps is 51; of the 50 timesteps.*1 to 50"),
        (Plain("lcm", 31), SD.below(0.6), "30 are in this part"),
        (Plain("lcm", 4, original=1001), SD, "1001 timesteps .sample.original.; it must be 1 to"),
        (Plain("lcm", 4, flavour="diffusers"), SD, "lcm has lcm, animatelcm, t2v_turbo"),
        (Plain("ddim", 4, flavour="t2v_turbo"), SD, "ddim has mindlong, diffusers"),
        (Plain("tcd", 4, eta=1.5), SD, "eta is 1.5; it must be between 0"),
    ],
)
def test_what_cannot_be_is_a_sentence(options, noising, words):
    with pytest.raises(ConfigError, match=words):
        rule_of(options, noising)


def test_noise_is_drawn_once_less_than_there_are_steps():
    asked = []

    def noise(step):
        asked.append(step)
        return np.zeros_like(X)

    for steps in (1, 4):
        sample(Plain("lcm", steps), lambda x, t: 0.1 * x, X, SD, noise=noise)
    assert asked == [0, 1, 2]


def test_the_boundary_keeps_x_at_timestep_0_alone():
    assert boundary(0) == (1.0, 0.0)
    of_x, of_x0 = boundary(259)
    assert of_x == pytest.approx(3.7e-8, rel=0.01) and of_x0 == pytest.approx(1.0, abs=1e-6)


def test_what_a_network_is_told_of_a_guidance_scale():
    assert told_of("", 8.0) == told_of("animatelcm", 8.0) == 7.0
    assert told_of("t2v_turbo", 7.5) == 7.5


@pytest.mark.parametrize("schedule", [linear(), scaled_linear()])
def test_a_perfect_consistency_model_needs_one_step(schedule):
    level = schedule.level(999)

    def model(x, t):  # says that all of x but 0.25 is noise
        return (x - level.alpha * 0.25) / level.sigma

    out = sample(Plain("lcm", 1), model, X, Noising(schedule), noise=lambda step: X)
    np.testing.assert_allclose(out, 0.25, atol=1e-4)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return latent_toys.folder(tmp_path_factory.mktemp("few") / "teacher")


def tuned_folder(teacher, where, over="", kept=("mid.0.res.conv1.weight",)):
    """What package_weights.py --changed writes: all but the tensors `kept`, all of them zero."""
    held = open_weights(teacher / "unet.safetensors")
    arrays = {n.removeprefix("unet."): held.read(n) for n in held}
    base = changed.fingerprint(arrays, kept)
    fresh = {f"unet.{n}": np.zeros_like(a) for n, a in arrays.items() if n not in kept}
    where.mkdir()
    write_safetensors(where / "tuned.safetensors", {**fresh, "base": base}, {}, "float16")
    (where / "config.yaml").write_text(
        yaml.safe_dump({"distil": {"teacher": str(over or teacher)}})
    )
    (where / "scheduler").mkdir()
    table = {**latent_toys.SCHEDULER, "_class_name": "LCMScheduler", "original_inference_steps": 10}
    (where / "scheduler/scheduler_config.json").write_text(json.dumps(table))
    return where


def test_a_folder_of_changed_tensors_is_put_over_the_weights_that_it_names(teacher, tmp_path):
    few = tuned_folder(teacher, tmp_path / "few")
    parts = find_latent_parts(str(few), LatentModelOptions())
    below = find_latent_parts(str(teacher), LatentModelOptions())
    kept = "mid.0.res.conv1.weight"
    assert parts.where == few and set(parts.network.arrays) == set(below.network.arrays)
    np.testing.assert_array_equal(
        parts.network.arrays[kept].read(), below.network.arrays[kept].read()
    )
    others = [lazy for name, lazy in parts.network.arrays.items() if name != kept]
    assert not any(lazy.read().any() for lazy in others)
    assert sampler_of(Plain(""), parts.noising).name == "lcm"
    assert rule_of(Plain("", 2), parts.noising).times == [49, 24]
    assert sampler_of(Plain(""), below.noising).name == "ddim"


def test_a_folder_with_a_lora_alone_is_put_over_the_weights_that_it_names(teacher, tmp_path):
    few = tuned_folder(teacher, tmp_path / "few")
    (few / "tuned.safetensors").unlink()
    below = find_latent_parts(str(teacher), LatentModelOptions())
    base = {"network": below.network, "text_encoder": below.text_encoder}
    lora = few / "pytorch_lora_weights.safetensors"
    lora_files.write(lora, {n: a for n, a in lora_files.kohya(base).items() if "_te_" not in n})
    parts = find_latent_parts(str(few), LatentModelOptions())
    merged = merge(base, every([str(lora)])).parts["network"].arrays
    assert parts.where == few and sampler_of(Plain(""), parts.noising).name == "lcm"
    moved = [
        n for n, lazy in merged.items() if (lazy.read() != base["network"].arrays[n].read()).any()
    ]
    assert moved
    for name, lazy in merged.items():
        np.testing.assert_array_equal(parts.network.arrays[name].read(), lazy.read())


def test_changed_tensors_over_other_weights_are_refused(teacher, tmp_path):
    few = tuned_folder(teacher, tmp_path / "few", kept=("mid.0.res.conv1.weight", "conv_in.bias"))
    held = open_weights(few / "tuned.safetensors")
    arrays = {n: held.read(n) for n in held if n != "unet.conv_out.bias"}
    write_safetensors(few / "tuned.safetensors", arrays)
    with pytest.raises(InputFileError, match="was tuned from other weights than these"):
        find_latent_parts(str(few), LatentModelOptions())


@pytest.mark.parametrize("family", ["stable_diffusion", "modelscope", "videocrafter2"])
def test_the_guidances_projection_has_its_published_name(family):
    layout = FAMILIES[family].layouts[0]
    spec = FAMILIES[family].spec(guidance_dim=256)
    (entry,) = [e for e in names(spec, layout) if e.ours == "guidance_embedding.proj.weight"]
    want = "time_cond_proj.weight" if layout == "lvdm" else "time_embedding.cond_proj.weight"
    assert entry.source == want and entry.source_shape == (320, 256)


@pytest.mark.parametrize("layout", ["diffusers", "ldm"])
def test_the_sizes_of_a_told_network_are_read_off_its_file(layout):
    entry = next(f for f in _formats("stable_diffusion") if f.layout == layout)
    spec = FAMILIES["stable_diffusion"].spec(**latent_toys.SIZES, guidance_dim=256)
    shapes = {e.source: e.source_shape for e in names(spec, layout)}
    assert entry.infer(shapes, {}).spec.guidance_dim == 256


def _formats(family):
    from mindlong.networks import table

    return table.get(family).formats


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    return latent_toys.folder(tmp_path_factory.mktemp("told") / "told", guidance_dim=256)


def planned(told, *words):
    pairs = [
        f"weights={told}",
        "prompt=a",
        "frames=2",
        "size=[16,16]",
        "sample.sampler=lcm",
        *words,
    ]
    return plan(load(None, pairs, InferConfig))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["text_to_video.negative=ugly"],
            "text_to_video.negative is not read: the network is told",
        ),
        (["text_to_video.two_passes=true"], "text_to_video.two_passes is not read"),
        (["sample.rescale=0.7"], "sample.rescale is not read: the network is told its guidance"),
        (
            ["pipeline=hierarchical", "lengths=[3,3]", "frames=5"],
            "pipeline=hierarchical guides by two",
        ),
        (["pipeline=clip_parallel", "frames=4"], "pipeline=clip_parallel guides by two passes"),
    ],
)
def test_what_a_told_network_does_not_do_is_a_sentence(told, words, said):
    first = [] if words[0].startswith("pipeline") else ["pipeline=text_to_video"]
    steps = ["sample.steps=2", "sample.original=10", "sample.guidance=4"]
    with pytest.raises(ConfigError, match=said):
        planned(told, *first, *words, *steps)


def test_guidance_upon_a_distilled_network_is_remarked(told, teacher):
    words = ["pipeline=text_to_video", "sample.steps=2", "sample.original=10"]
    said = [" ".join(planned(w, *words, "sample.guidance=7.5")) for w in (told, teacher)]
    assert "guidance inside" not in said[0] and "guidance inside; 1, or up to 2" in said[1]


@pytest.mark.parametrize(("flavour", "heard"), [("", 7.0), ("t2v_turbo", 8.0)])
def test_a_told_network_is_asked_once_and_hears_its_guidance(told, flavour, heard):
    model, asked = load_latent_model(str(told)), []

    def network(x, t, context, guidance):
        asked.append((x.shape[0], guidance.asnumpy().tolist()))
        return x

    model._cells["network"] = network
    model.encode_text = lambda prompts: np.zeros((len(prompts), 8, 24), np.float32)
    options = SampleOptions("lcm", 3, flavour=flavour, original=10, guidance=8.0)
    clips = [Clip(f"v{i}", ("a",), "a", 7, i) for i in range(2)]
    out = TextToVideo(model, options).latents(clips, X[:, :, :2].repeat(2, 1)[:, :4])
    assert out.shape[:2] == (2, 4) and asked == [(2, [heard] * 2)] * 3


def test_a_told_network_is_trained_by_distillation_alone():
    model = ["model.family=modelscope", "model.guidance_dim=256"]
    with pytest.raises(ConfigError, match="model.guidance_dim is 256; a network learns to be told"):
        load(
            None,
            [*model, "latents.vae=a", "latents.text_weights=a", "latents.tokenizer=a"],
            TrainConfig,
        )


def test_a_network_that_is_told_of_motion_too_is_named():
    assert "T2V-Turbo v2" in instead("unet", ["time_cond_proj.weight", "motion_cond_proj.weight"])
    assert not instead("unet", ["time_cond_proj.weight"])

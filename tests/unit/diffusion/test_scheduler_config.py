"""A scheduler_config.json: followed, or refused by name; classes, ranges, keys without a reader."""

import json
import logging

import numpy as np
import pytest

from mindlong.diffusion.noising import Noising
from mindlong.diffusion.sample import Plain, count_steps, rule_of, sample, sampler_of
from mindlong.diffusion.samplers import DdimFlavour
from mindlong.diffusion.scheduler_config import (
    OURS,
    UNSERVED,
    read,
    read_file,
)
from mindlong.utils.errors import ConfigError, InputFileError

BASE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def noising(kind="DDIMScheduler", where="scheduler_config.json", **table):
    return read({"_class_name": kind, **BASE, **table}, where)


def wide(x, t):
    return np.full_like(x, -3.0)


@pytest.mark.parametrize(
    ("kind", "word"),
    [*OURS.items(), ("FlaxDDPMScheduler", "ddpm")],
)
def test_the_class_chooses_the_sampler_unless_one_is_named(kind, word):
    found = noising(kind, where=f"{kind}.json")
    assert sampler_of(Plain(""), found).name == word
    assert sampler_of(Plain("euler"), found).name == "euler"
    calls = {"heun": 17, "kdpm2": 17, "kdpm2_ancestral": 17, "pndm": 18}.get(word, 9)
    assert len(rule_of(Plain("", steps=9), found).times) == calls


def test_the_choice_is_said_once(caplog):
    caplog.set_level(logging.INFO, "mindlong")
    for _ in range(2):
        found = noising("EulerAncestralDiscreteScheduler", where="a/said.json")
        count_steps(Plain(""), found)
    lines = [record.message for record in caplog.records]
    assert [line for line in lines if "a/said.json" in line] == [
        "sampling by euler_ancestral, as the class EulerAncestralDiscreteScheduler in a/said.json says"
    ]


@pytest.mark.parametrize("kind", UNSERVED)
def test_a_class_that_is_not_here_wants_a_sampler_named(kind):
    with pytest.raises(ConfigError, match=f"{kind}.*name another sampler with sample.sampler"):
        count_steps(Plain(""), noising(kind))
    assert count_steps(Plain("ddim", steps=4), noising(kind)) == 4


@pytest.mark.parametrize(
    "kind", ["EulerDiscreteScheduler", "UniPCMultistepScheduler", "PNDMScheduler", "LCMScheduler"]
)
@pytest.mark.parametrize("word", ["ddim", "euler", "dpm_solver", "ddpm"])
def test_latents_are_not_clipped_unless_a_file_says_so(kind, word):
    found = noising(kind)
    assert found.bound is None and found.quantile is None
    x = np.ones((1, 1, 1, 2, 2), np.float32)
    options = Plain(word, steps=3)
    out = sample(options, wide, x, found, noise=lambda step: 0 * x, callback=lambda *_: True)
    assert out.max() > 2


def test_a_file_of_the_class_that_clips_says_so_and_is_followed_by_the_samplers_that_can(caplog):
    caplog.set_level(logging.INFO, "mindlong")
    found = noising(where="clips.json", clip_sample=True, clip_sample_range=0.5)
    assert found.bound == 0.5
    assert any("clips.json: clip_sample is true" in r.message for r in caplog.records)
    x = np.ones((1, 1, 1, 2, 2), np.float32)

    def largest(word):
        options = Plain(word, steps=3)
        out = sample(options, wide, x, found, noise=lambda step: 0 * x, callback=lambda *_: True)
        return np.abs(out).max()

    assert largest("ddim") == 0.5 and largest("ddpm") == 0.5 and largest("euler") > 2
    assert noising("EulerDiscreteScheduler", clip_sample=True).bound is None
    assert noising("CogVideoXDDIMScheduler", clip_sample=True).bound is None


@pytest.mark.parametrize("word", ["euler", "euler_ancestral", "dpm_solver", "dpm_solver_sde"])
def test_the_files_spacing_and_offset_rule_every_sampler_unless_a_key_is_given(word):
    found = noising(timestep_spacing="trailing", steps_offset=1, clip_sample=False)
    assert rule_of(Plain(word, steps=10), found).times[0] == 999
    leading = rule_of(Plain(word, steps=10, spacing="leading"), found).times
    stride = 1000 // (10 if "euler" in word else 11)
    assert leading[-1] == (1 if "euler" in word else stride + 1)
    assert rule_of(Plain("ddim", steps=10, spacing="leading"), found).times[-1] == 1
    assert rule_of(Plain("ddim", steps=10, spacing="linspace"), found).times[-1] == 0


def test_ddpm_takes_every_timestep_where_it_is_named_and_steps_where_the_file_chose_it():
    found = noising("DDPMScheduler", timestep_spacing="leading", steps_offset=1)
    assert count_steps(Plain("ddpm", steps=20), found) == 1000
    assert count_steps(Plain("", steps=20), found) == 20
    assert count_steps(Plain("", steps=20, spacing="trailing"), found) == 20
    assert rule_of(Plain("", 20), found).times[-1] == 1
    assert rule_of(Plain("", 20, spacing="trailing"), found).times[0] == 999
    assert count_steps(Plain("ddpm", steps=20), Noising(found.schedule)) == 1000


def test_a_flavour_that_is_named_rules_over_the_file():
    found = noising(timestep_spacing="trailing", clip_sample=False)
    assert found.flavour == DdimFlavour("trailing", 0, "stride", "clean", rederive_eps=False)
    assert rule_of(Plain("ddim", 10, flavour="diffusers"), found).times[0] == 901


def test_what_is_said_to_other_samplers_is_named(caplog):
    table = {"use_karras_sigmas": True, "solver_order": 3, "euler_at_final": False, "made_up": 1}
    found = noising("DPMSolverMultistepScheduler", where="karras.json", **table)
    count_steps(Plain("euler_ancestral"), found)
    (line,) = [r.message for r in caplog.records if "karras.json" in r.message]
    for text in ("euler_ancestral does not use", "use_karras_sigmas=True", "solver_order=3"):
        assert text in line
    assert "made_up=1" in line and "euler_at_final" not in line and "beta_start" not in line
    caplog.clear()
    count_steps(Plain(""), found)
    assert [r.message for r in caplog.records if r.levelname == "WARNING"] == [
        "karras.json: dpm_solver does not use made_up=1"
    ]


def test_values_that_change_nothing_are_passed_over(caplog):
    table = {
        "use_karras_sigmas": False,
        "use_beta_sigmas": None,
        "final_sigmas_type": "zero",
        "interpolation_type": "linear",
        "timestep_type": "discrete",
        "sigma_min": None,
        "lambda_min_clipped": -np.inf,
        "solver_order": 2,
        "dynamic_thresholding_ratio": 0.9,
        "skip_prk_steps": True,
        "thresholding": False,
        "_diffusers_version": "0.42.1",
    }
    count_steps(Plain("ddim"), noising("UniPCMultistepScheduler", where="quiet.json", **table))
    assert not [r for r in caplog.records if r.levelname == "WARNING"]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"_class_name": "FlowMatchEulerDiscreteScheduler"}, "flow matching that is not supported"),
        ({"_class_name": "EDMEulerScheduler"}, "Did you mean"),
        ({"_class_name": "MySchedule"}, "MySchedule: a noising process that is not supported"),
        ({"_class_name": ["DDIMScheduler"]}, "_class_name is .* it must be a name"),
        ({"use_flow_sigmas": True}, "use_flow_sigmas is true: flow matching"),
        ({"use_dynamic_shifting": True}, "use_dynamic_shifting is true"),
        ({"prediction_type": "flow_prediction"}, "flow matching"),
        ({"prediction_type": "velocity"}, "prediction_type is 'velocity'"),
        ({"beta_start": float("nan")}, "beta_start is nan; it must be a number"),
        ({"beta_end": float("inf")}, "beta_end is inf; it must be finite"),
        ({"beta_end": 1.5}, "betas lie above 0, at most at 1"),
        ({"beta_start": 0.0, "beta_end": 0.0}, "betas lie above 0, at most at 1"),
        ({"beta_start": -0.1}, "it must be at least 0"),
        ({"beta_start": True}, "beta_start is True; it must be a number"),
        ({"num_train_timesteps": 10**12}, "num_train_timesteps is 1e\\+12"),
        ({"num_train_timesteps": 0}, "at least 1 timestep"),
        ({"trained_betas": "many"}, "trained_betas is no list of numbers"),
        ({"trained_betas": [[0.1], [0.2]]}, "trained_betas is no list"),
        ({"trained_betas": [0.1, float("nan")]}, "betas lie above 0"),
        ({"trained_betas": [0.1] * 9, "num_train_timesteps": 1000}, "9 numbers"),
        ({"clip_sample": "yes"}, "clip_sample is 'yes'; it must be true or false"),
        (
            {"thresholding": True, "dynamic_thresholding_ratio": 2},
            "dynamic_thresholding_ratio is 2",
        ),
        ({"snr_shift_scale": 0}, "must be above 0"),
        ({"timestep_spacing": "trailling"}, "Did you mean 'trailing'"),
    ],
)
def test_what_a_file_says_of_the_noising_process_is_refused_by_name(table, words):
    with pytest.raises(InputFileError, match=f"here.json.*{words}"):
        read({**BASE, **table}, "here.json")


@pytest.mark.parametrize(
    ("kind", "table", "words"),
    [
        ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver"}, "the form with"),
        (
            "DPMSolverMultistepScheduler",
            {"solver_order": 7},
            "solver_order is 7; it must be 1 to 3",
        ),
        ("DEISMultistepScheduler", {"solver_order": 0}, "solver_order is 0; it must be 1 to 3"),
        ("UniPCMultistepScheduler", {"solver_order": 9}, "solver_order is 9; it must be 1 to 6"),
        ("UniPCMultistepScheduler", {"solver_p": {}}, "solver_p names another predictor"),
        ("UniPCMultistepScheduler", {"solver_type": "bh3"}, "solver_type is 'bh3'"),
        ("UniPCMultistepScheduler", {"disable_corrector": "all"}, "a list of whole numbers"),
        ("UniPCMultistepScheduler", {"predict_x0": 1}, "predict_x0 is 1; it must be true or false"),
        ("PNDMScheduler", {"skip_prk_steps": "yes"}, "skip_prk_steps is 'yes'"),
        ("LCMScheduler", {"original_inference_steps": 2.5}, "original_inference_steps is 2.5"),
        ("LCMScheduler", {"timestep_scaling": "much"}, "timestep_scaling is 'much'"),
        ("DPMSolverMultistepScheduler", {"algorithm_type": ["a"]}, "algorithm_type is"),
        ("DPMSolverMultistepScheduler", {"solver_type": "euler"}, "solver_type is 'euler'"),
        ("DPMSolverMultistepScheduler", {"variance_type": "learned"}, "variance_type is 'learned'"),
        ("DDPMScheduler", {"variance_type": "learned_range"}, "variance_type is 'learned_range'"),
        ("DDPMScheduler", {"variance_type": "fixed_large_log"}, "variance_type is"),
        (
            "EulerDiscreteScheduler",
            {"timestep_type": "continuous"},
            "timestep_type is 'continuous'",
        ),
        ("EulerDiscreteScheduler", {"final_sigmas_type": "none"}, "final_sigmas_type is 'none'"),
        (
            "EulerDiscreteScheduler",
            {"use_karras_sigmas": True, "use_beta_sigmas": True},
            "karras and beta noise levels at once",
        ),
    ],
)
def test_what_a_file_says_of_its_sampler_is_refused_by_name(kind, table, words):
    with pytest.raises(InputFileError, match=f"there.json.*{words}"):
        count_steps(Plain(""), noising(kind, where="there.json", **table))


def test_a_file_or_its_folder_is_read_and_what_is_none_is_a_sentence(tmp_path):
    path = tmp_path / "scheduler_config.json"
    path.write_text(json.dumps({**BASE, "prediction_type": "v_prediction"}))
    assert read_file(tmp_path).prediction == read_file(path).prediction == "v"
    for text, words in [("[", "not a readable"), ("[]", "holds a list"), ("[" * 9**5, "readable")]:
        path.write_text(text)
        with pytest.raises(InputFileError, match=words):
            read_file(path)


def test_the_published_levels_of_cogvideox():
    found = noising(
        "CogVideoXDDIMScheduler",
        rescale_betas_zero_snr=True,
        snr_shift_scale=3.0,
        prediction_type="v_prediction",
    )
    want = [0.997454, 0.946573, 0.0959696, 2.71944e-5, 0]
    got = found.schedule.alphas_cumprod[[0, 19, 499, 979, 999]]
    np.testing.assert_allclose(got, want, rtol=5e-6, atol=1e-12)


@pytest.mark.parametrize("steps", [61, 103, 121])
def test_trailing_has_as_many_entries_as_asked(steps):
    times = rule_of(Plain("ddim", steps=steps, spacing="trailing"), noising()).times
    assert len(times) == steps and times[-1] >= 0


def test_a_plan_finds_a_timestep_at_which_eps_says_nothing():
    found = noising(rescale_betas_zero_snr=True, timestep_spacing="trailing")
    with pytest.raises(ConfigError, match="Timestep 999 holds no signal.*sample.spacing=leading"):
        count_steps(Plain("", steps=4), found)
    assert count_steps(Plain("", steps=4, spacing="leading"), found) == 4


@pytest.mark.parametrize("kind", ["DDIMScheduler", "DPMSolverMultistepScheduler"])
def test_an_offset_beyond_the_distance_of_the_timesteps_is_refused(kind):
    found = noising(kind, steps_offset=300, timestep_spacing="leading")
    with pytest.raises(ConfigError, match="steps_offset is 300; with 4 steps .* 250 apart"):
        count_steps(Plain("", steps=4), found)
    assert count_steps(Plain("", steps=3), found) == 3

"""The original's JSON files as they are, its README's spellings, and one sentence for everything
that cannot be.
"""

import copy
import json

import pytest

from mindlong.cli.infer import planned_of
from mindlong.config.infer_schema import InferConfig
from mindlong.config.load import load
from mindlong.config.shipped import names
from mindlong.pipelines.clip_parallel.plan import (
    clips_of,
    layout_of,
    mixture,
    prompt_of_clip,
    prompts_of,
)
from mindlong.utils.errors import ConfigError


def original(devices=4, prompts=1, t=800):
    """The keys and values that the original's example files have."""
    return {
        "devices": list(range(devices)),
        "seed": 123,
        "master_port": "29516",
        "base_path": "./exp",
        "dtype": "float16",
        "pipe_configs": {
            "prompts": [f"prompt {i}" for i in range(prompts)],
            "steps": 30,
            "guidance_scale": 12,
            "fps": 24,
            "num_frames": 24,
            "height": 320,
            "width": 512,
            "export_fps": 8,
            "file_name": None,
        },
        "plugin_configs": {
            "attn": {
                "padding": 8,
                "top_k": 16,
                "top_k_chunk_size": 24,
                "attn_scale": 1.0,
                "token_num_scale": False,
                "dynamic_scale": True,
                "local_phase": {"t": t, "local_biase": 10.0, "global_biase": 0.0},
                "global_phase": {"t": t, "local_biase": 0.0, "global_biase": 10.0},
            },
            "conv_3d": {"padding": 1},
            "conv_layer": {"padding": 4},
        },
    }


def read(tmp_path, tree, *pairs):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(tree, indent=2))
    return load(path, ["weights=base", *pairs], InferConfig).values


@pytest.mark.parametrize(("devices", "prompts", "t"), [(4, 1, 800), (8, 8, 850), (1, 1, 800)])
def test_the_originals_examples_are_understood(tmp_path, devices, prompts, t):
    config = read(tmp_path, original(devices, prompts, t))
    own, clips = config.clip_parallel, clips_of(config, 16)
    assert (
        config.pipeline == "clip_parallel"
        and own.strategy == "video_infinity"
        and config.seed == 123
    )
    assert (
        [len(c) for c in clips] == [24] * devices and config.size == [320, 512] and config.fps == 8
    )
    assert (config.sample.sampler, config.sample.steps, config.sample.guidance) == (
        "dpm_solver_sde",
        30,
        12.0,
    )
    assert (own.padding, own.top_k, own.conv_padding, own.fps_condition) == (8, 16, 4, 24)
    assert (
        own.late == [t, 10, 0] and own.early == [t, 0, 10] and config.latent.dynamic_scale == "off"
    )
    layout = layout_of(config, clips)
    assert (
        layout.tuning.biases(t) == (0, 10)
        and layout.tuning.biases(t - 1) == (10, 0)
        and not layout.exact
    )
    assert len(set(prompts_of(config, clips))) == prompts


@pytest.mark.parametrize(
    ("name", "devices", "prompts", "t"),
    [("config", 4, 1, 800), ("multi_prompts", 8, 8, 850), ("single_gpu", 1, 1, 800)],
)
def test_the_examples_are_shipped_with_their_numbers(name, devices, prompts, t):
    found = json.loads(names("infer")[f"video_infinity/{name}"].read_text())
    wanted = original(devices, prompts, t)
    assert len(found["pipe_configs"].pop("prompts")) == prompts
    wanted["pipe_configs"].pop("prompts")
    assert found == wanted
    loaded = load(f"video_infinity/{name}", [], InferConfig)
    with pytest.raises(ConfigError, match="names no weights; give weights=FOLDER"):
        planned_of(loaded)


def test_a_file_that_names_no_weights_says_so(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("pipeline: text_to_video\nprompt: a red circle moving right")
    with pytest.raises(
        ConfigError, match="names no weights.*shipped:latent_shapes for the shipped"
    ):
        planned_of(load(path, [], InferConfig))
    assert planned_of(load(path, ["weights=shipped:latent_shapes"], InferConfig))
    assert planned_of(load(None, ["pipeline=text_to_video", "prompt=a circle"], InferConfig))


def test_any_key_of_ours_can_be_put_over_it(tmp_path):
    config = read(tmp_path, original(), "strategy=exact", "sample.steps=4")
    assert config.clip_parallel.strategy == "exact" and config.sample.steps == 4


def test_the_readmes_spellings_are_understood(tmp_path):
    tree = original()
    attn = tree["plugin_configs"]["attn"]
    attn["topk"] = attn.pop("top_k")
    attn["local_phase"] = {"t": 800, "local_bias": 10, "global_bias": 0}
    assert read(tmp_path, tree).clip_parallel.top_k == 16


def test_without_dynamic_scale_there_are_no_phases(tmp_path):
    tree = original()
    tree["plugin_configs"]["attn"]["dynamic_scale"] = False
    own = read(tmp_path, tree).clip_parallel
    assert own.early == [] and own.late == []


WRONG = [
    ("plugin_configs.attn.padding", 0, "padding is 0; it must be 1 to the 24 frames"),
    ("plugin_configs.attn.padding", 25, "padding is 25"),
    ("plugin_configs.conv_layer.padding", 30, "conv_layer.padding is 30"),
    ("plugin_configs.attn.paddin", 8, "Did you mean 'padding'"),
    ("plugin_configs.attention", {}, "unknown key 'plugin_configs.attention'"),
    ("pipe_configs.prompts", [], "at least one text"),
    ("pipe_configs.prompts", "a dog", "must be a list"),
    ("pipe_configs.steps", "30", "must be a number"),
    ("devices", [0, 1, 1], "each once"),
    ("devices", [], "at least one device"),
    ("seed", None, "seed is None"),
    ("device", 3, "Did you mean 'devices'"),
    ("plugin_configs.attn.local_phase", None, "must be a dict"),
    ("plugin_configs.attn.global_phase", {"t": 800}, "local_biase is missing"),
]


@pytest.mark.parametrize(("key", "value", "said"), WRONG)
def test_what_cannot_be_is_one_sentence(tmp_path, key, value, said):
    tree = copy.deepcopy(original())
    group = tree
    *path, last = key.split(".")
    for name in path:
        group = group[name]
    group[last] = value
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, tree)
    assert (
        said in str(caught.value)
        and "\n" not in str(caught.value)
        and "config.json" in str(caught.value)
    )


def test_prompts_of_clips():
    """Fewer prompts than clips share, more are skipped; the original's floating point is one too
    low in three places.
    """
    wrong = {
        (n, p, r)
        for n in range(1, 33)
        for p in range(1, 33)
        for r in range(n)
        if prompt_of_clip(r, n, p, True) != prompt_of_clip(r, n, p, False)
    }
    assert {(22, 22, 15), (23, 23, 13), (26, 26, 15)} <= wrong
    assert all(
        n == p or prompt_of_clip(r, n, p, True) == prompt_of_clip(r, n, p, False) - 1
        for n, p, r in wrong
    )
    assert [prompt_of_clip(r, 4, 8, True) for r in range(4)] == [0, 2, 4, 6]
    assert [prompt_of_clip(r, 4, 2, False) for r in range(4)] == [0, 0, 1, 1]


def test_prompts_turn_into_one_another():
    rows = mixture(["a"] * 4 + ["b"] * 4, 3)
    assert rows[2] == [("a", 1.0)] and rows[6] == [("b", 1.0)]
    assert [dict(row) for row in rows[3:6]] == [
        {"a": 0.75, "b": 0.25},
        {"a": 0.5, "b": 0.5},
        {"a": 0.25, "b": 0.75},
    ]
    assert mixture(["a", "b"], 0) == [[("a", 1.0)], [("b", 1.0)]]

"""The UNet's spec: levels and widths, what it refuses, and the model files."""

from pathlib import Path

import pytest

from mindlong.config.section import load_model
from mindlong.networks.unet.families import FAMILIES, family
from mindlong.networks.unet.names import parameter_count
from mindlong.networks.unet.spec import UNetSpec
from mindlong.networks.unet.stage_spec import Branch, Res, Transformer
from mindlong.utils.errors import ConfigError

MODELS = Path(__file__).parents[3] / "configs" / "model"
SMALL = {
    "channels": (8, 16),
    "layers": 1,
    "attends": (True, False),
    "groups": 4,
    "context_dim": 12,
    "head_dim": 4,
}


def test_levels_have_the_published_widths():
    spec = family("modelscope").spec()
    assert [level.layers for level in spec.up()] == [
        ((2560, 1280), (2560, 1280), (2560, 1280)),
        ((2560, 1280), (2560, 1280), (1920, 1280)),
        ((1920, 640), (1280, 640), (960, 640)),
        ((960, 320), (640, 320), (640, 320)),
    ]
    assert spec.skips() == [320] * 4 + [640] * 3 + [1280] * 5
    assert [level.heads for level in spec.down()] == [5, 10, 20, 20]
    assert (spec.emb_dim, spec.entry_dim) == (1280, 512)
    assert [family("tune_a_video").spec().head_of(i) for i in range(4)] == [
        (8, 40),
        (8, 80),
        (8, 160),
        (8, 160),
    ]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"channels": (8, 18)}, "channels holds 18; each must be a multiple of groups (4)"),
        ({"attends": (True,)}, "attends has 1 entries; channels has 2 levels"),
        ({"head_dim": 3}, "head_dim is 3; it must divide the channels of every level"),
        ({"heads": 2}, "Exactly one of head_dim (4) and heads (2)"),
        ({"head_dim": None}, "Exactly one of head_dim (None) and heads (None)"),
        ({"head_dim": None, "heads": (2,)}, "heads has 1 entries; channels has 2 levels"),
        ({"zero": ("everything",)}, "'everything' is not known here; it must be of res, tconv"),
        (
            {"conditions": ("time", "weather")},
            "'weather' is not known here; it must be of time, fps",
        ),
        ({"layers": 0}, "layers of at least 1"),
        ({"channels": (), "attends": ()}, "at least one level"),
    ],
)
def test_a_field_out_of_its_range_is_named(change, sentence):
    with pytest.raises(ConfigError) as caught:
        UNetSpec(**{"stages": (Res(),), **SMALL, **change})
    assert sentence in str(caught.value)


def test_names_that_do_not_exist_get_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'modelscope'"):
        family("model_scope")
    with pytest.raises(ConfigError, match="Did you mean 'space'"):
        Branch("attn1", "norm1", "spaces")


def test_a_policy_is_changed_by_kind_or_by_name():
    video, tuned = (
        family("modelscope").spec(**SMALL),
        family("tune_a_video").spec(**SMALL | {"heads": None}),
    )
    banded = video.reading("time", "window:5")
    assert _reads(banded) == {"time": {"window:5"}, "space": {"frame"}}
    assert [b.reads for b in banded.entry.branches if b.kind == "time"] == ["window:5"] * 2
    assert _reads(tuned.reading("attn1", "first")) == {"time": {"all"}, "space": {"first"}}
    with pytest.raises(ConfigError, match="say 'space' or 'time'"):
        video.reading("attn1", "all")
    with pytest.raises(ConfigError, match="Did you mean 'attn_temp'"):
        tuned.reading("attn_tempo", "all")
    with pytest.raises(ConfigError, match="No attention between frames is called 'attn2'"):
        tuned.reading("attn2", "all")


def _reads(spec):
    branches = [b for s in spec.stages if isinstance(s, Transformer) for b in s.branches]
    return {kind: {b.reads for b in branches if b.kind == kind} for kind in ("time", "space")}


@pytest.mark.parametrize(
    ("shapes", "sentence"),
    [
        (
            ((2, 4, 3, 8), (2,), (2, 77, 12), False),
            "Latents are (batch, channels, frames, height, width)",
        ),
        (((2, 5, 3, 8, 8), (2,), (2, 77, 12), False), "have 5 channels; the network takes 4"),
        (((2, 4, 3, 8, 8), (1,), (2, 77, 12), False), "one timestep for each of the 2 videos"),
        (
            ((2, 4, 3, 8, 8), (2,), (2, 77, 11), False),
            "must be (2, tokens, 12), or (2, 3, tokens, 12)",
        ),
        (
            ((2, 4, 3, 8, 8), (2,), (2, 2, 77, 12), False),
            "must be (2, tokens, 12), or (2, 3, tokens, 12)",
        ),
        (
            ((2, 4, 3, 8, 8), (2,), (77, 12), False),
            "must be (2, tokens, 12), or (2, 3, tokens, 12)",
        ),
        (((2, 4, 3, 8, 8), (2,), (2, 77, 12), True), "no embedding of the frame rate"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_in_one_sentence(shapes, sentence):
    with pytest.raises(ConfigError) as caught:
        family("modelscope").spec(**SMALL).check_inputs(*shapes)
    assert sentence in str(caught.value)


def test_a_missing_frame_rate_is_said():
    with pytest.raises(ConfigError, match="fps is missing"):
        family("videocrafter2").spec(**SMALL).check_inputs(
            (1, 4, 3, 8, 8), (1,), (1, 77, 12), False
        )


PUBLISHED = {
    "modelscope": 1_411_233_860,
    "videocrafter2": 1_413_284_420,
    "pseudo3d_sd15": 1_100_578_616,
    "tune_a_video_sd15": 909_120_004,
    "tune_a_video_sd20": 915_509_764,
    "tune_a_video_sd21": 915_509_764,
    "stable_diffusion_15": 859_520_964,
    "stable_diffusion_21": 865_910_724,
}


def test_model_files_have_the_published_numbers_of_parameters():
    for name, count in PUBLISHED.items():
        assert parameter_count(load_model(MODELS / f"{name}.yaml").spec()) == count, name


def test_every_family_has_a_tiny_model_file():
    tiny = [load_model(path) for path in MODELS.glob("*_tiny.yaml")]
    assert {model.family for model in tiny} >= set(FAMILIES)
    assert all(parameter_count(m.spec()) < 2e6 for m in tiny if m.family in FAMILIES)


def test_a_model_file_chooses_heads_by_number_or_by_width():
    path = MODELS / "tune_a_video_sd15_tiny.yaml"
    assert load_model(path, ["heads=[2,4]"]).spec().head_of(1) == (4, 16)
    assert load_model(path, ["heads=null", "head_dim=8"]).spec().head_of(1) == (8, 8)
    assert _reads(load_model(path, ["reads.time='window:5'"]).spec())["time"] == {"window:5"}
    with pytest.raises(ConfigError, match="Did you mean 'window'"):
        load_model(path, ["reads.time='windo:5'"])

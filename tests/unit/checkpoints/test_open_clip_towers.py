"""Both encoders of CLIP out of files in open_clip's naming, against open_clip itself
(tools/golden/open_clip_towers.py).
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from mindspore import Tensor

from mindlong.checkpoints.files import write_safetensors, write_torch
from mindlong.cli.evaluate_video import main
from mindlong.networks.clip import text_names as clip_names
from mindlong.networks.clip import text_spec as clip_text
from mindlong.networks.clip import vision_spec as clip_vision
from mindlong.networks.clip.vision_cell import prepared
from mindlong.networks.names import by_source, our_array, source_array
from mindlong.scores.clip import load_towers
from mindlong.scores.video import load_clip
from mindlong.utils import rng
from mindlong.utils.errors import ConfigError, InputFileError

GOLDEN = Path(__file__).parents[2] / "golden"
SIZES = {
    "embed_dim": 24,
    "vision_cfg": {
        "image_size": 32,
        "layers": 2,
        "width": 64,
        "head_width": 16,
        "patch_size": 8,
        "mlp_ratio": 1.5,
    },
    "text_cfg": {
        "context_length": 8,
        "vocab_size": 300,
        "width": 48,
        "heads": 4,
        "layers": 2,
        "mlp_ratio": 2.0,
    },
}
IMAGE = clip_vision.ClipVisionSpec(
    size=32,
    patch=8,
    width=64,
    layers=2,
    heads=4,
    hidden=96,
    projection=24,
    text_width=48,
    activation="gelu",
)
TEXT = clip_text.ClipTextSpec(vocabulary=300, width=48, layers=2, heads=4, hidden=96, length=8)
FUSED = "visual.transformer.resblocks.1.attn.in_proj_weight"


def weights():
    """Random numbers for every tensor of both encoders, by open_clip's names."""
    entries = [*clip_vision.names(IMAGE, "open_clip"), *clip_names.names(TEXT, "open_clip")]
    made = {
        e.source: rng.normal(e.source_shape, 7, "open_clip", e.source) * np.float32(0.15)
        for e in entries
    }
    near = {n: a + 1 for n, a in made.items() if "ln_" in n and n.endswith("weight")}
    return {**made, **near, "logit_scale": np.float32(2.6).reshape(())}


def renamed(held):
    """The same weights as transformers lays them out, by a rename that knows nothing of the spec's
    tables.
    """
    words = {
        "ln_1": "layer_norm1",
        "ln_2": "layer_norm2",
        "mlp.c_fc": "mlp.fc1",
        "mlp.c_proj": "mlp.fc2",
        "attn.out_proj": "self_attn.out_proj",
    }
    one = {
        "visual.class_embedding": "vision_model.embeddings.class_embedding",
        "logit_scale": "logit_scale",
        "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
        "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
        "positional_embedding": "text_model.embeddings.position_embedding.weight",
        "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    }
    norms = {
        "visual.ln_pre": "vision_model.pre_layrnorm",
        "visual.ln_post": "vision_model.post_layernorm",
        "ln_final": "text_model.final_layer_norm",
    }
    found = {
        "visual_projection.weight": held["visual.proj"].T.copy(),
        "text_projection.weight": held["text_projection"].T.copy(),
    }
    for name, array in held.items():
        stem, _, leaf = name.rpartition(".")
        if name in one:
            found[one[name]] = array
        elif stem in norms:
            found[f"{norms[stem]}.{leaf}"] = array
        elif "resblocks" in name:
            tower, rest = (
                ("vision_model" if name.startswith("visual.") else "text_model"),
                name.split("resblocks.")[1],
            )
            number, rest = rest.split(".", 1)
            layer = f"{tower}.encoder.layers.{number}"
            if "in_proj" in rest:
                for letter, part in zip("qkv", np.split(array, 3), strict=True):
                    found[f"{layer}.self_attn.{letter}_proj.{rest.rpartition('_')[2]}"] = part
            else:
                found[f"{layer}.{words[rest.rpartition('.')[0]]}.{leaf}"] = array
    return found


def laid_out(where, quick=False, **pictures):
    """A folder as open_clip publishes them, with a tokenizer of single letters."""
    from latent_toys import tokenizer

    tokenizer(where)
    write_torch(where / "open_clip_pytorch_model.bin", weights())
    config = {
        "model_cfg": {**SIZES, **({"quick_gelu": True} if quick else {})},
        "preprocess_cfg": pictures,
    }
    (where / "open_clip_config.json").write_text(json.dumps(config))
    return where


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return laid_out(tmp_path_factory.mktemp("open") / "clip")


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "open_clip_towers.npz") as arrays:
        return dict(arrays)


def pictures():
    return np.random.default_rng(3).integers(0, 256, (3, 40, 52, 3)).astype(np.uint8)


def close(found, wanted):
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_both_towers_equal_open_clip(golden, folder):
    scorer = load_clip(folder)
    assert (
        scorer.image.spec == IMAGE
        and scorer.text.spec.activation == "gelu"
        and scorer.text.spec.heads == 4
    )
    close(scorer.image(Tensor(golden["pixels"])).asnumpy(), golden["image_gelu"])
    texts = golden["text_gelu"] / np.linalg.norm(golden["text_gelu"], axis=1, keepdims=True)
    assert np.array_equal(scorer.tokenizer(["a cat", "dog"]), golden["ids"])
    close(scorer.texts(["a cat", "dog"]), texts)


def test_quick_gelu_of_the_configuration_equals_open_clip(golden, tmp_path):
    scorer = load_clip(laid_out(tmp_path / "clip", quick=True))
    assert scorer.text.spec.activation == "quick_gelu"
    close(scorer.image(Tensor(golden["pixels"])).asnumpy(), golden["image_quick_gelu"])
    assert (
        np.abs(golden["image_quick_gelu"] - golden["image_gelu"]).max()
        > 1e-3 * np.abs(golden["image_gelu"]).max()
    )


def test_both_namings_of_the_same_weights_give_bit_equal_networks(folder, tmp_path):
    write_safetensors(tmp_path / "model.safetensors", renamed(weights()))
    told = {"hidden_act": "gelu", "num_attention_heads": 4}
    (tmp_path / "config.json").write_text(json.dumps({"vision_config": told, "text_config": told}))
    for one, other in zip(load_towers(folder), load_towers(tmp_path), strict=True):
        assert all(
            getattr(one.spec, key) == getattr(other.spec, key)
            for key in ("width", "heads", "layers", "activation", "eps")
        )
        ours, theirs = ({p.name: p.asnumpy() for p in net.get_parameters()} for net in (one, other))
        assert ours.keys() == theirs.keys() and all(
            np.array_equal(ours[n], theirs[n]) for n in ours
        )


def test_names_and_shapes_are_open_clips_and_the_way_back_is_exact(golden):
    held = {n: a for n, a in weights().items() if n.startswith("visual.") or n == "text_projection"}
    entries = clip_vision.names(IMAGE, "open_clip")
    ours = {e.ours: our_array(e, held[e.source]) for e in entries}
    assert all(ours[e.ours].shape == e.our_shape for e in entries)
    back = {source: source_array(group, ours) for source, group in by_source(entries).items()}
    assert back.keys() == held.keys() and all(np.array_equal(back[n], held[n]) for n in held)
    named = {e.source: e.source_shape for e in entries}
    assert sorted(f"{n} {tuple(s)}" for n, s in named.items()) == golden["names"].tolist()


def test_published_towers_are_inferred_from_their_shapes():
    for name, row in json.loads((GOLDEN / "open_clip_published.json").read_text()).items():
        wanted = clip_vision.ClipVisionSpec(**row["spec"])
        shapes = {e.source: e.source_shape for e in clip_vision.names(wanted, "open_clip")}
        listed = sorted(f"{n} {tuple(s)}" for n, s in shapes.items())
        assert hashlib.sha256("\n".join(listed).encode()).hexdigest() == row["digest"], name
        assert (
            clip_vision.infer(shapes, {"hidden_act": wanted.activation}, "open_clip") == wanted
        ), name
        prefixed = {f"module.{n}": s for n, s in shapes.items()}
        assert clip_vision.layout_of(prefixed) == ("open_clip", "module.")
        assert (
            clip_vision.infer(prefixed, {"hidden_act": "gelu"}, "open_clip", "module.").heads
            == wanted.heads
        )


def test_a_file_alone_needs_its_activation_and_openais_own_tells_it(tmp_path):
    held = weights()
    wide = {
        n: np.zeros(e.source_shape, np.float32)
        for e in clip_vision.names(
            clip_vision.ClipVisionSpec(32, 8, 512, 1, 8, 64, 24, 48, "gelu"), "open_clip"
        )
        for n in [e.source]
    }
    held = {n: a for n, a in held.items() if not n.startswith("visual.")} | wide
    write_safetensors(tmp_path / "alone.safetensors", held)
    with pytest.raises(
        ConfigError, match="alone.safetensors does not tell its activation.*--activation quick_gelu"
    ):
        load_towers(tmp_path / "alone.safetensors")
    assert load_towers(tmp_path / "alone.safetensors", "gelu")[0].spec.activation == "gelu"
    write_safetensors(tmp_path / "vit-quickgelu.safetensors", held)
    assert load_towers(tmp_path / "vit-quickgelu.safetensors")[1].spec.activation == "quick_gelu"
    numbers = {
        n: np.array(v)
        for n, v in {"input_resolution": 32, "context_length": 8, "vocab_size": 300}.items()
    }
    write_torch(tmp_path / "openai.pt", held | numbers)
    image, text = load_towers(tmp_path / "openai.pt")
    assert image.spec.activation == text.spec.activation == "quick_gelu" and image.spec.heads == 8


def test_every_layer_of_the_text_tower_is_used(tmp_path):
    """The latent families stop before the 24th; embeddings do not."""
    text = clip_text.ClipTextSpec(vocabulary=300, width=64, layers=24, heads=1, hidden=8, length=8)
    image = clip_vision.ClipVisionSpec(16, 8, 512, 1, 8, 8, 8, 64, "gelu")
    entries = [*clip_vision.names(image, "open_clip"), *clip_names.names(text, "open_clip")]
    write_safetensors(
        tmp_path / "a.safetensors",
        {e.source: np.zeros(e.source_shape, np.float32) for e in entries},
    )
    assert load_towers(tmp_path / "a.safetensors", "gelu")[1].used == 24


def test_pictures_are_normalised_as_the_configuration_says(tmp_path):
    scorer = load_clip(laid_out(tmp_path / "clip", mean=[0.5, 0.5, 0.5], std=[0.25, 0.25, 0.25]))
    spec = scorer.image.spec
    black = prepared(np.zeros((1, 32, 32, 3), np.uint8), 32, spec.mean, spec.deviation)
    assert np.array_equal(black, np.full((1, 3, 32, 32), -2, np.float32))


@pytest.mark.slow
def test_the_tool_measures_with_one_file(folder, tmp_path):
    from mindlong.media.write import write_frames

    video, out = write_frames(tmp_path / "a", pictures()), tmp_path / "out.json"
    given = [
        str(video),
        "--clip",
        str(folder / "open_clip_pytorch_model.bin"),
        "--prompt",
        "cat",
        "--source_prompt",
        "dog",
    ]
    assert main([*given, "--json", str(out)]) == 0
    (row,) = json.loads(out.read_text()).values()
    assert {"frame_consistency", "text_agreement", "edit_accuracy"} <= row.keys()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda w: {n: a for n, a in w.items() if not n.startswith("visual.")},
            "OpenCLIP's text encoder and no image encoder",
        ),
        (
            lambda w: w | {"visual.layer1.0.conv1.weight": np.zeros((4, 4, 1, 1), np.float32)},
            "the image encoder is a ResNet",
        ),
        (
            lambda w: w | {FUSED: w[FUSED][:128]},
            rf"{FUSED} is \[128, 64\]; query, key and value of an encoder 64 wide are \[192, 64\]",
        ),
        (
            lambda w: {n: a for n, a in w.items() if n != "visual.proj"},
            "the file has no visual.proj",
        ),
        (
            lambda w: w | {"visual.ln_extra.weight": np.zeros(3, np.float32)},
            "is not a whole image encoder: .* 1 extra",
        ),
        (
            lambda w: w | {"text_projection": np.zeros((40, 24), np.float32)},
            "the text encoder is 48 wide and its projection reads 40",
        ),
    ],
)
def test_bad_files_are_named_in_a_sentence(tmp_path, folder, change, sentence):
    write_safetensors(tmp_path / "bad.safetensors", change(weights()))
    (tmp_path / "open_clip_config.json").write_bytes(
        (folder / "open_clip_config.json").read_bytes()
    )
    with pytest.raises(InputFileError, match=sentence):
        load_towers(tmp_path / "bad.safetensors")


def test_unknown_heads_and_configurations_are_named_in_a_sentence(tmp_path):
    write_safetensors(tmp_path / "a.safetensors", weights())
    with pytest.raises(
        InputFileError, match="64 wide, which no published one is .*, so its heads are unknown"
    ):
        load_towers(tmp_path / "a.safetensors", "gelu")
    for content, sentence in (
        ("{", "not readable JSON"),
        ("[]", "holds a list"),
        ('{"vision_cfg": {"width": "x"}}', "does not describe"),
        (
            '{"vision_cfg": {"pool_type": "avg"}}',
            "vision_cfg.pool_type is 'avg', and encoders of that kind",
        ),
        (
            '{"preprocess_cfg": {"resize_mode": "squash"}}',
            "resize_mode is 'squash'; only 'shortest'",
        ),
    ):
        (tmp_path / "open_clip_config.json").write_text(content)
        with pytest.raises(InputFileError, match=sentence):
            load_towers(tmp_path / "a.safetensors", "gelu")

"""PEFT's configuration of a LoRA: where it is found, whose alphas it gives, which patterns."""

from __future__ import annotations

import json
import re
import time

import lora_files as files
import numpy as np
import pytest

from mindlong.checkpoints.files import write_torch
from mindlong.checkpoints.lazy import as_lazy
from mindlong.checkpoints.lora.module_pattern import ModulePattern
from mindlong.checkpoints.lora.read import read_lora
from mindlong.config.infer_schema import InferConfig
from mindlong.config.load import load
from mindlong.pipelines.inputs import inputs_of
from mindlong.utils.errors import InputFileError

LAYER = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
CONFIG = {"peft_type": "LORA", "r": 2, "lora_alpha": 8, "alpha_pattern": {}}


def pair(stem=f"unet.{LAYER}", adapter=""):
    return {
        f"{stem}.lora_A{adapter}.weight": np.ones((2, 4), np.float32),
        f"{stem}.lora_B{adapter}.weight": np.ones((4, 2), np.float32),
    }


def factor(path):
    return read_lora(path).pairs[0].factor


def described(tmp_path, **facts):
    return files.write(tmp_path / "a.safetensors", pair(), files.adapter(**facts))


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_model.bin", "mine.bin"])
def test_the_configuration_beside_a_file_of_any_name_is_read(name, tmp_path):
    arrays = pair(f"base_model.model.{LAYER}")
    path = tmp_path / name
    if path.suffix == ".bin":
        write_torch(path, {key: as_lazy(array) for key, array in arrays.items()})
    else:
        files.write(path, arrays)
    assert factor(path) == 1.0
    (tmp_path / "adapter_config.json").write_text(json.dumps(CONFIG))
    assert factor(path) == 4.0
    if name.startswith("adapter_model"):
        assert factor(tmp_path) == 4.0


def test_a_files_own_words_and_other_namings_do_not_read_what_lies_beside(tmp_path):
    (tmp_path / "adapter_config.json").write_text(json.dumps(CONFIG))
    assert factor(described(tmp_path, **{"unet.lora_alpha": 6})) == 3.0
    kohya = {"lora_unet_x.lora_down.weight": (2, 4), "lora_unet_x.lora_up.weight": (4, 2)}
    arrays = {name: np.ones(shape, np.float32) for name, shape in kohya.items()}
    assert factor(files.write(tmp_path / "b.safetensors", arrays)) == 1.0


def test_the_configuration_is_one_of_a_runs_inputs(tmp_path):
    path = files.write(tmp_path / "style.safetensors", pair())
    words = [
        "pipeline=text_to_video",
        "weights=shipped:latent_shapes",
        f"lora=[{path}]",
        "prompt=a",
    ]

    def found():
        inputs = inputs_of(load(None, words, InferConfig).values)
        return {key: held["sha256"] for key, held in inputs.items() if key.startswith("lora")}

    alone = found()
    assert list(alone) == ["lora[0]"]
    (tmp_path / "adapter_config.json").write_text(json.dumps(CONFIG))
    one = found()
    (tmp_path / "adapter_config.json").write_text(json.dumps(CONFIG | {"lora_alpha": 1}))
    two = found()
    assert alone["lora[0]"] == one["lora[0]"] == two["lora[0]"]
    assert one["lora[0] (its adapter_config.json)"] != two["lora[0] (its adapter_config.json)"]


def test_keys_without_the_head_of_a_network_are_every_networks(tmp_path):
    assert factor(described(tmp_path, lora_alpha=8)) == 4.0
    assert factor(described(tmp_path, **{"lora_alpha": 8, "unet.lora_alpha": 2})) == 1.0
    assert factor(described(tmp_path, **{"transformer.lora_alpha": 8})) == 4.0
    assert factor(described(tmp_path, **{"unet.lora_alpha": 0})) == 0.0


PATTERNS = {
    "to_q": True,
    "attn1.to_q": True,
    "o_q": False,
    LAYER: True,
    f"^{LAYER}$": True,
    "^attn1.to_q": False,
    r".*attn1\.to_q": True,
    r"down_blocks.*to_q": True,
    r"attn[12]\.to_(q|k)": True,
    r"attn\d\.to_[^q]": False,
    r"(up|down)_blocks\.\d+\..*\.to_q": True,
    r"\w+\.to_q$": True,
    "to_v|to_q": True,
    "to_qx?": True,
    "to_q.+": False,
    "(.*)?attn1.(to_q)": True,
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_name_the_layers_that_they_name_for_peft(pattern, tmp_path):
    wanted = PATTERNS[pattern]
    assert bool(re.match(rf"(.*\.)?({pattern})$", LAYER)) == wanted
    path = described(tmp_path, **{"unet.lora_alpha": 2, "unet.alpha_pattern": {pattern: 8}})
    assert factor(path) == (4.0 if wanted else 1.0)


def test_the_first_pattern_that_names_a_layer_is_taken(tmp_path):
    table = {"to_k": 4, r".*to_q": 6, "to_q": 8}
    assert factor(described(tmp_path, **{"unet.alpha_pattern": table})) == 3.0


def test_no_pattern_takes_long():
    """With Python's own `re` each of these takes hours."""
    start = time.monotonic()
    for pattern in (".*" * 100 + "x", "(a?)(a?)" * 20 + "x"):
        assert not ModulePattern.of(pattern).names("a" * 500)
    assert time.monotonic() - start < 5


WRONG = {
    "repeats a group": {r"(\w+)*to_q": 8},
    "repeats a repetition": {"x*+": 8},
    "of a kind that is not read": {"(?=x)": 8},
    r"of a kind that is not read here; names of layers": {"x{2}": 8},
    "has 301 characters, more than 300": {"^" + "x" * 300: 8},
    "without its \\(": {"x)": 8},
    "without its \\)": {"(x": 8},
    "behind nothing": {"*x": 8},
    "no set of characters": {"[z-a]": 8},
    "groups inside one another": {"(" * 30 + "x" + ")" * 30: 8},
    "has 65 patterns": {f"^{n}": 8 for n in range(65)},
    "alpha_pattern of to_q is '8'": {"to_q": "8"},
    "alpha_pattern is no table": ["to_q"],
}


@pytest.mark.parametrize("told", WRONG)
def test_patterns_that_are_not_read_are_told(told, tmp_path):
    path = described(tmp_path, **{"unet.lora_alpha": 2, "unet.alpha_pattern": WRONG[told]})
    with pytest.raises(InputFileError, match=told) as error:
        read_lora(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("alpha", ["16", True, [16], float("nan")])
def test_an_alpha_that_is_no_number_is_told(alpha, tmp_path):
    with pytest.raises(InputFileError, match="lora_alpha is .*the alpha of a LoRA is a number"):
        read_lora(described(tmp_path, **{"unet.lora_alpha": alpha}))


def test_a_file_with_two_adapters_is_refused_by_their_names(tmp_path):
    two = pair(adapter=".default") | pair(adapter=".style")
    with pytest.raises(
        InputFileError, match=r"lora_A\.default\.weight and .*lora_A\.style\.weight"
    ):
        read_lora(files.write(tmp_path / "a.safetensors", two))
    wrapped = pair() | pair(f"module.unet.{LAYER}")
    with pytest.raises(InputFileError, match=r"module\.unet.* and unet.* are both the down"):
        read_lora(files.write(tmp_path / "b.safetensors", wrapped))
    bare = pair() | pair(LAYER)
    with pytest.raises(InputFileError, match="are both down_blocks.*of the network"):
        read_lora(files.write(tmp_path / "c.safetensors", bare))
    assert factor(files.write(tmp_path / "d.safetensors", pair(adapter=".style"))) == 1.0

"""Files of motion modules: every form is read, joined with an image model and written again; those
of another kind are a sentence.
"""

import json
import shutil
from math import prod
from pathlib import Path

import motion_toys as toys
import numpy as np
import pytest

from mindlong.checkpoints.files import open_weights, write_safetensors, write_torch
from mindlong.checkpoints.join import joined
from mindlong.checkpoints.latent_parts import find_latent_parts
from mindlong.checkpoints.parts import read_part
from mindlong.cli.convert import command
from mindlong.config.infer_options.latent import LatentModelOptions
from mindlong.networks.unet import motion
from mindlong.networks.unet.families import FAMILIES
from mindlong.networks.unet.files import section
from mindlong.networks.unet.names import names
from mindlong.utils.errors import ConfigError, InputFileError


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return toys.image(tmp_path_factory.mktemp("image") / "sd")


def run(*arguments):
    return command([str(a) for a in arguments])


def half(state):
    return {name: array.astype(np.float16) for name, array in state.items()}


def lay(where, form):
    """A file in one of the forms that programs write."""
    state = toys.state(layout="diffusers" if form == "adapter" else "guoyww")
    if form == "adapter":
        where.mkdir()
        write_safetensors(where / "diffusion_pytorch_model.safetensors", state)
        config = {"_class_name": "MotionAdapter", "motion_num_attention_heads": 8}
        config |= {"motion_norm_num_groups": 8, "motion_max_seq_length": 32}
        (where / "config.json").write_text(json.dumps(config))
        return where
    path = where.with_suffix(".safetensors" if form in ("flat", "half") else ".ckpt")
    if form in ("flat", "half"):
        write_safetensors(path, half(state) if form == "half" else state)
    elif form == "trainer":  # the whole network, as the original's train.py leaves it
        more = {"conv_in.weight": np.zeros((16, 4, 3, 3), np.float32)}
        dressed = {f"module.{name}": array for name, array in (state | more).items()}
        write_torch(path, {"epoch": 1, "global_step": 2, "state_dict": dressed})
    elif form == "mindone":  # a container of MindSpore's
        from mindspore import Tensor, save_checkpoint

        prefix = "model.diffusion_model."
        rows = toys.state(layout="ldm").items()
        save_checkpoint([{"name": prefix + n, "data": Tensor(a)} for n, a in rows], str(path))
    elif form == "ldm":
        prefix = "model.diffusion_model."
        write_torch(path, {prefix + n: a for n, a in toys.state(layout="ldm").items()})
    else:
        write_torch(path, {"state_dict": state} if form == "wrapped" else state)
    return path


@pytest.mark.parametrize(
    "form", ["bare", "wrapped", "trainer", "flat", "half", "adapter", "ldm", "mindone"]
)
def test_every_form_is_the_same_modules(tmp_path, image, form):
    path = lay(tmp_path / "file", form)
    options = LatentModelOptions(motion=str(path), version="" if form != "trainer" else "v2")
    parts = find_latent_parts(str(image), options)
    assert parts.network.family == "animatediff" and parts.network.spec == toys.spec_of()
    for name, array in toys.ours().items():
        found = parts.network.arrays[name].read()
        wanted = array.astype(np.float16) if form == "half" else array
        assert found.shape == array.shape and np.array_equal(found, wanted), name
    plain = read_part(open_weights(image), "network")
    for name, lazy in plain.arrays.items():
        assert np.array_equal(parts.network.arrays[name].read(), lazy.read())
    assert parts.network.size() == sum(
        np.prod(lazy.shape) for lazy in {**plain.arrays, **parts.network.arrays}.values()
    )


def test_the_noising_process_is_the_modules_not_the_image_models(tmp_path, image):
    path = lay(tmp_path / "file", "bare")
    found = find_latent_parts(str(image), LatentModelOptions(motion=str(path))).noising
    assert found.schedule.timesteps == 1000 and found.prediction == "eps"
    assert abs(found.schedule.alphas_cumprod[-1] - 0.001579) < 1e-6
    assert found.flavour.times(1000, 25) == list(range(961, 0, -40))
    assert found.flavour.after(found.schedule, [1], 25)[0].sigma == 0
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"num_train_timesteps": 70, "beta_schedule": "linear"}))
    options = LatentModelOptions(motion=str(path), scheduler=str(own))
    assert find_latent_parts(str(image), options).noising.schedule.timesteps == 70


@pytest.mark.parametrize("version", motion.VERSIONS)
def test_the_version_is_read_off_the_file(tmp_path, version):
    path = tmp_path / "file.safetensors"
    write_safetensors(path, toys.state(version))
    sizes = {"context_dim": 768, "groups": 16}  # the modules do not tell them
    wanted = toys.spec_of(version, **sizes)
    assert read_part(open_weights(path), "motion").spec == wanted
    bare = {n: a for n, a in toys.state(version).items() if not n.endswith(".pe")}
    write_safetensors(path, bare)
    told = read_part(open_weights(path), "motion", overrides={"version": version}).spec
    assert told == wanted


def test_diffusers_norms_are_a_word(tmp_path, image):
    path = lay(tmp_path / "file", "bare")
    options = LatentModelOptions(motion=str(path), compat="diffusers")
    spec = find_latent_parts(str(image), options).network.spec
    assert motion.stage_of(spec).joint and not motion.stage_of(toys.spec_of()).joint
    told = section("animatediff", FAMILIES["animatediff"], spec)
    assert told["compat"] == "diffusers"


def test_the_two_become_one_folder_and_each_comes_out_again(tmp_path, image):
    modules = lay(tmp_path / "file", "bare")
    assert run("--src", image, "--dst", tmp_path / "sd", "--layout", "diffusers") == 0
    sd = ("--src", tmp_path / "sd", "--motion", modules, "--dst", tmp_path / "whole")
    assert run(*sd, "heads=8") == 0
    assert not (tmp_path / "whole/scheduler").exists()
    whole = find_latent_parts(str(tmp_path / "whole"), LatentModelOptions())
    assert whole.network.spec == toys.spec_of()
    assert abs(whole.noising.schedule.alphas_cumprod[-1] - 0.001579) < 1e-6
    out = ("--src", tmp_path / "whole", "--part", "motion")
    assert run(*out, "--layout", "guoyww", "--dst", tmp_path / "back.ckpt") == 0
    back, wanted = open_weights(tmp_path / "back.ckpt"), toys.state()
    assert set(back) == set(wanted)
    assert all(np.array_equal(back.read(n), a) for n, a in wanted.items())
    assert run(*out, "--layout", "diffusers", "--dst", tmp_path / "adapter") == 0
    adapter = open_weights(tmp_path / "adapter/motion_adapter")
    assert all(
        np.array_equal(adapter.read(n), a) for n, a in toys.state(layout="diffusers").items()
    )
    config = json.loads((tmp_path / "adapter/motion_adapter/config.json").read_text())
    assert (config["_class_name"], config["motion_max_seq_length"]) == ("MotionAdapter", 32)
    again = LatentModelOptions(motion=str(tmp_path / "adapter/motion_adapter"))
    assert find_latent_parts(str(image), again).network.spec == toys.spec_of()
    assert run("--src", tmp_path / "whole", "--dst", tmp_path / "hub", "--layout", "diffusers") == 0
    index = json.loads((tmp_path / "hub/model_index.json").read_text())
    assert index["unet"] == ["diffusers", "UNetMotionModel"]
    assert index["_class_name"] == "AnimateDiffPipeline"
    hub = find_latent_parts(str(tmp_path / "hub"), LatentModelOptions())
    assert hub.network.spec == toys.spec_of()
    shutil.copytree(tmp_path / "adapter/motion_adapter", tmp_path / "hub/motion_adapter")
    twice = LatentModelOptions(motion=str(tmp_path / "hub"))  # as diffusers saves its pipeline
    assert find_latent_parts(str(image), twice).network.spec == toys.spec_of()


def strange(kind):
    """Files of other additions."""
    state = toys.state()
    first = "down_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0."
    if kind == "sparsectrl":
        return state | {"controlnet_cond_embedding.conv_in.weight": np.zeros(1, np.float32)}
    if kind == "pia":
        return state | {"conv_in.weight": np.zeros((16, 9, 3, 3), np.float32)}
    if kind == "i2v":
        return state | {"img_encoder.conv.weight": np.zeros(1, np.float32)}
    if kind == "hotshot":
        own = f"{first}attention_blocks.0.pos_encoder.positional_encoding"
        return state | {own: np.zeros((1, 24, 16), np.float32)}
    if kind == "one attention":
        return {n: a for n, a in state.items() if "blocks.1" not in n.split("attention_")[-1]}
    if kind == "two blocks":
        name = f"{first}norms.0.weight".replace("transformer_blocks.0", "transformer_blocks.1")
        return state | {name: np.zeros(16, np.float32)}
    if kind == "tables":
        own = f"{first}attention_blocks.0.pos_encoder.pe"
        return state | {own: np.zeros((1, 24, 16), np.float32)}
    lora = f"{first}attention_blocks.0.processor.to_q_lora.down.weight"
    return {lora: np.zeros((4, 16), np.float32)}


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("sparsectrl", "SparseCtrl"),
        ("pia", "PIA"),
        ("i2v", "image-to-video form of AnimateLCM"),
        ("hotshot", "Hotshot-XL"),
        ("one attention", "one attention"),
        ("two blocks", "several blocks"),
        ("tables", "one length is needed"),
        ("lora", "LoRA"),
    ],
)
def test_modules_of_another_kind_are_named(tmp_path, image, kind, words):
    path = tmp_path / "file.safetensors"
    write_safetensors(path, strange(kind))
    with pytest.raises(InputFileError, match=words):
        find_latent_parts(str(image), LatentModelOptions(motion=str(path)))


def test_modules_for_stable_diffusion_xl_are_named(tmp_path, image):
    path, sizes = tmp_path / "file.safetensors", {"channels": (320, 640, 1280)}
    spec = toys.spec_of("v3", **sizes, attends=(True, True, False), groups=32)
    state = {
        e.source: np.zeros(e.source_shape, np.float16)
        for e in toys.entries(spec, "guoyww")
        if e.ours.endswith(("norm.weight", "to_q.weight"))
    }
    write_safetensors(path, state | {_marker(): np.zeros((320, 320), np.float16)})
    with pytest.raises(InputFileError, match="Stable Diffusion XL"):
        find_latent_parts(str(image), LatentModelOptions(motion=str(path)))


def _marker():
    return "down_blocks.0.motion_modules.0.temporal_transformer.proj_in.weight"


def test_what_does_not_go_together_is_a_sentence(tmp_path, image):
    path = tmp_path / "file.safetensors"
    write_safetensors(path, toys.state(channels=(32, 64)))
    with pytest.raises(ConfigError, match=r"are for channels \[32, 64\]"):
        find_latent_parts(str(image), LatentModelOptions(motion=str(path)))
    write_safetensors(path, toys.state())
    other = toys.folder(tmp_path / "other", "modelscope")
    with pytest.raises(ConfigError, match="added to networks of the family stable_diffusion"):
        find_latent_parts(str(other), LatentModelOptions(motion=str(path)))
    heads = toys.folder(tmp_path / "heads", "stable_diffusion")
    with pytest.raises(ConfigError, match="heads"):
        find_latent_parts(str(heads), LatentModelOptions(motion=str(path)))
    with pytest.raises(ConfigError, match="not blended"):
        find_latent_parts(str(image), LatentModelOptions(motion=f"{path},{path}"))
    with pytest.raises(ConfigError, match=r"latent\.compat is for networks with motion modules"):
        find_latent_parts(str(image), LatentModelOptions(compat="diffusers"))
    with pytest.raises(ConfigError, match="has a motion module in the middle"):
        find_latent_parts(str(image), LatentModelOptions(motion=str(path), version="v3"))
    with pytest.raises(InputFileError, match=r"latent\.motion=FILE"):
        find_latent_parts(str(path), LatentModelOptions())


PUBLISHED = {"v1": (520, 417_137_600), "v2": (546, 453_209_280), "v3": (520, 417_137_600)}
TABLES = {"guoyww": 42, "diffusers": 21}


def test_published_sizes_have_the_tensors_that_other_programs_list():
    """mm_sd_v15_v2 as guoyww names it, and diffusers' own MotionAdapter; with those of
    UNet2DConditionModel beside them they are UNetMotionModel.
    """
    golden = Path(__file__).parents[2] / "golden"
    listed = json.loads((golden / "animatediff_tensors.json").read_text())
    image = json.loads((golden / "unet_tensors.json").read_text())["sd15"]
    spec = FAMILIES["animatediff"].spec()
    for layout, count in TABLES.items():
        own = {e.source: list(e.source_shape) for e in toys.entries(spec, layout)}
        held = {key: list(table.shape) for key, table in toys.tables(spec, layout).items()}
        assert (len(own), len(held)) == (546, count)
        assert {**own, **held} == listed[layout]
        whole = {e.source: list(e.source_shape) for e in names(spec, layout)}
        assert len(whole) == 1232 and whole == {**image, **own}


@pytest.mark.parametrize("version", PUBLISHED)
def test_published_versions_have_their_counts(version):
    spec = FAMILIES["animatediff"].spec(**motion.fields(version))
    found = [prod(e.our_shape) for e in toys.entries(spec, "guoyww")]
    assert (len(found), sum(found)) == PUBLISHED[version]
    numbers = sum(table.size for table in toys.tables(spec, "guoyww").values())
    assert numbers == {"v1": 844_800, "v2": 1_208_320, "v3": 1_126_400}[version]


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_single_file_in_half_precision_with_averages_beside(tmp_path, wrapped):
    """As checkpoints of Stable Diffusion are passed round; heads follow from the text's width."""
    sizes = toys.SIZES | toys.HEADS | {"context_dim": 768}
    spec = FAMILIES["stable_diffusion"].spec(**sizes, linear_projection=False)
    state = {
        e.source: toys.drawn("unet", e.ours, e.our_shape).reshape(e.source_shape)
        for e in names(spec, "ldm", "model.diffusion_model.")
    }
    state = half(state) | {"model_ema.diffusion_modelout2bias": np.zeros(4, np.float32)}
    state |= {"model_ema.decay": np.ones((), np.float32), "alphas_cumprod": np.ones(1000)}
    path = tmp_path / ("dreambooth.ckpt" if wrapped else "dreambooth.safetensors")
    if wrapped:
        write_torch(path, {"state_dict": state})
    else:
        write_safetensors(path, state)
    write_safetensors(tmp_path / "mm.safetensors", toys.state())
    found = joined(
        read_part(open_weights(path), "network"),
        open_weights(tmp_path / "mm.safetensors"),
        {"version": "v2"},
    )
    wanted = toys.spec_of(context_dim=768, linear_projection=False, groups=16)
    assert found.spec == wanted and found.family == "animatediff"
    assert len(found.arrays) == len(names(wanted))

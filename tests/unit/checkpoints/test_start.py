"""train.start: every kind of training begins with weights of its family, a resumed one does not."""

import shutil

import numpy as np
import pytest

from mindlong.checkpoints import start, store
from mindlong.checkpoints.files import open_weights, write_safetensors, write_torch
from mindlong.checkpoints.find import find_trained
from mindlong.checkpoints.locate import SHIPPED
from mindlong.cli.train import command
from mindlong.config.load import load
from mindlong.config.schema import TrainConfig
from mindlong.networks.unet3d.names import names
from mindlong.networks.unet3d.spec import Unet3DSpec
from mindlong.utils.errors import ConfigError, InputFileError

SPEC = Unet3DSpec(dim=8, dim_mults=(1, 2), attn_heads=1, attn_dim_head=16)
PIXEL = [
    "model.family=vdm",
    "model.dim=8",
    "model.dim_mults=[1,2]",
    "model.attn_heads=1",
    "model.attn_dim_head=16",
    "data.frames=2",
    "data.size=[16,16]",
    "train.steps=1",
    "train.batch_size=1",
    "train.preview_every=0",
]


def original(path, spec=SPEC, value=0.25):
    """A trainer's file of the original: averages of `value`, plain weights of twice that."""

    def tree(number):
        return {
            f"denoise_fn.{e.source}": np.full(e.source_shape, number, np.float32)
            for e in names(spec)
        }

    write_torch(path, {"step": 3, "model": tree(2 * value), "ema": tree(value)})
    return path


def config(tmp_path, *more):
    return load(None, [*PIXEL, f"run_dir={tmp_path / 'run'}", *more], TrainConfig).values


def task(given):
    from mindlong.data.build import build_source
    from mindlong.training.tasks import build_task

    return build_task(given, build_source(given.data, given.train.seed))


def values(network):
    return {p.name: p.asnumpy() for p in network.get_parameters()}


def test_pixels_start_from_an_originals_file(tmp_path):
    path = original(tmp_path / "model-1.pt")
    found = values(task(config(tmp_path, f"train.start={path}")).network)
    assert {float(a.min()) for a in found.values()} == {0.25}


def test_pixels_start_from_a_converted_file_and_from_a_run(tmp_path):
    arrays = {f"unet.{e.ours}": np.full(e.our_shape, 0.5, np.float32) for e in names(SPEC)}
    write_safetensors(tmp_path / "ours.safetensors", arrays)
    store.save(
        tmp_path / "other", 1, {"network": arrays, "ema": {k: a / 2 for k, a in arrays.items()}}, {}
    )
    for named, value in ((tmp_path / "ours.safetensors", 0.5), (tmp_path / "other", 0.25)):
        found = values(task(config(tmp_path, f"train.start={named}")).network)
        assert {float(a.max()) for a in found.values()} == {value}


def test_a_caption_encoder_that_the_weights_lack_starts_fresh(tmp_path):
    spec = Unet3DSpec(dim=8, dim_mults=(1, 2), attn_heads=1, attn_dim_head=16, cond_dim=16)
    path = original(tmp_path / "a.pt", spec)
    given = config(
        tmp_path, f"train.start={path}", "model.cond_dim=16", "model.text.encoder=caption"
    )
    found = values(task(given).network)
    assert {float(a.max()) for n, a in found.items() if n.startswith("unet.")} == {0.25}
    assert any(np.ptp(a) for n, a in found.items() if n.startswith("text."))


def test_a_run_that_goes_on_does_not_look_at_them(tmp_path):
    given = config(tmp_path, "train.start=/nope/none.pt")
    assert start.start_of(given) == "/nope/none.pt"
    store.save(given.run_dir, 1, {"network": {"a": np.zeros(1, np.float32)}}, {})
    assert start.start_of(given) == "" and start.check_start(given) == {}
    task(given)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda p: p / "none.pt", "train.start: nothing at"),
        (lambda p: original(p / "a.pt", Unet3DSpec(dim=16, dim_mults=(1, 2))), "do not fit model"),
        (lambda p: "shipped:latent_shapes", "holds no vdm"),
        (lambda p: shutil.copy(__file__, p / "a.pt"), "not a weight file"),
    ],
    ids=["missing", "another size", "another family", "no weights"],
)
def test_what_cannot_be_started_from_is_refused_by_the_dry_run_too(
    tmp_path, capsys, make, sentence
):
    arguments = [*PIXEL, f"run_dir={tmp_path / 'run'}", f"train.start={make(tmp_path)}"]
    assert command([*arguments, "--dry_run"]) == 3
    assert sentence in capsys.readouterr().err
    assert command(arguments) == 3
    assert sentence in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_the_dry_run_says_what_is_started_from(tmp_path, capsys):
    path = original(tmp_path / "a.pt")
    assert command([*PIXEL, f"run_dir={tmp_path / 'run'}", f"train.start={path}", "--dry_run"]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert any(line.startswith("start ") and f"from {path}, " in line for line in lines)


def test_an_autoencoder_starts_from_one(tmp_path):
    held = open_weights(SHIPPED / "latent_shapes/vae.safetensors")
    given = load(
        None,
        [
            "model=mindlong/weights/latent_shapes/vae.yaml",
            "train.start=shipped:latent_shapes",
            "data.size=[16,16]",
            "data.frames=2",
            f"run_dir={tmp_path / 'run'}",
        ],
        TrainConfig,
    ).values
    found = values(task(given).network)
    name = "post_quant_conv.weight"
    np.testing.assert_array_equal(found[name], held.read(f"vae.{name}").astype(np.float32))


def test_weights_are_named_once(tmp_path):
    with pytest.raises(ConfigError, match="train.start and latents.unet_weights both"):
        load(
            None,
            [
                "model=mindlong/weights/latent_shapes/unet.yaml",
                "train.start=shipped:latent_shapes",
                "latents.unet_weights=shipped:latent_shapes",
                "latents.vae=shipped:latent_shapes",
                "latents.text_encoder=mindlong/weights/latent_shapes/text_encoder.yaml",
                "latents.tokenizer=mindlong/weights/latent_shapes/tokenizer",
                f"run_dir={tmp_path / 'run'}",
            ],
            TrainConfig,
        )


def test_latents_start_with_network_and_text_encoder(tmp_path):
    from mindlong.training.tasks.latent_networks import build_network

    given = load(
        None,
        [
            "model=mindlong/weights/latent_shapes/unet.yaml",
            "train.start=shipped:latent_shapes",
            "latents.vae=shipped:latent_shapes",
            "latents.text_encoder=mindlong/weights/latent_shapes/text_encoder.yaml",
            "latents.tokenizer=mindlong/weights/latent_shapes/tokenizer",
            f"run_dir={tmp_path / 'run'}",
            "data.size=[48,48]",
        ],
        TrainConfig,
    ).values
    found = values(build_network(given))
    held = open_weights(SHIPPED / "latent_shapes")
    for name in ("unet.conv_in.weight", "text_encoder.token_embedding.weight"):
        np.testing.assert_array_equal(found[name], held.read(name).astype(np.float32))


def test_an_original_is_found_with_what_it_says_of_itself(tmp_path):
    trained = find_trained(str(original(tmp_path / "model-1.pt")), "pixel")
    assert trained.config.model.spec() == SPEC
    assert (trained.config.data.frames, trained.config.data.size) == (0, [])
    assert {float(a.max()) for a in trained.arrays.values()} == {0.25}
    with pytest.raises(ConfigError, match="works in latents, not in pixels"):
        find_trained("shipped:latent_shapes", "pixel")
    with pytest.raises(InputFileError, match="nothing at"):
        find_trained(str(tmp_path / "none.pt"))

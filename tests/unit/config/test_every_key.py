"""No key without a reader: every key of every pipeline and every task changes what a run reads, or
is refused.

For each scenario a run is made with stand-ins for the networks, and the keys that it asks for are
noted. Then every key of the schema is set to another value: it is refused, or it is among them.
"""

from __future__ import annotations

import key_walk as walk
import latent_toys
import lora_files
import numpy as np
import pytest

from mindlong.checkpoints.latent_parts import find_latent_parts
from mindlong.cli import infer, train
from mindlong.config.infer_options.latent import LatentModelOptions
from mindlong.config.infer_schema import InferConfig
from mindlong.config.leaves import leaves
from mindlong.config.load import load
from mindlong.config.pipelines import PIPELINES
from mindlong.config.schema import TrainConfig
from mindlong.data.chop_nodes import Film, index_of, write_index
from mindlong.media.write import write_frames
from mindlong.training.plan import notes_on_data

PREVIEW = ["preview.prompts=[a]", "preview.sample.steps=1", "preview.sample.guidance=2"]
UNET = [
    "model.channels=[16,32]",
    "model.attends=[true,false]",
    "model.layers=1",
    "model.context_dim=24",
    "model.groups=8",
    "model.head_dim=8",
    "data.frames=4",
    "data.size=[16,16]",
    "diffusion.schedule=scaled_linear",
    "diffusion.beta_start=0.001",
    "diffusion.beta_end=0.2",
    "diffusion.timesteps=50",
    "diffusion.prediction=v",
    "diffusion.zero_terminal_snr=true",
]
BY_LEVEL = ["level_steps=[2]", "level_guidance=[2]"]
INFER = {
    "pixel": ["weights=shipped:vdm_shapes", "frames=2", "size=[8,8]", "prompt=a"],
    "pixel between": ["weights=shipped:vdm_shapes", "frames=2", "interpolate=[VIDEO,VIDEO]"],
    "text_to_video": ["weights=VC2", "frames=4", "size=[16,16]", "prompt=a"],
    "text_to_video in views": [
        *("weights=VC2", "frames=4", "size=[16,16]", "prompt=a"),
        *("free_noise.around=block", "free_noise.window=8", "free_noise.stride=1"),
    ],
    "text_to_video in windows": [
        *("weights=VC2", "frames=4", "size=[16,16]", "prompt=a"),
        *("contexts.schedule=looped_uniform", "contexts.length=8", "contexts.overlap=1"),
    ],
    "text_to_video again": ["weights=VC2", "frames=4", "prompt=a", "free_init.iterations=2"],
    "text_to_video from a video": ["weights=VC2", "frames=3", "prompt=a", "video=VIDEO"],
    "text_to_video from an image": ["weights=VC2", "frames=3", "prompt=a", "image=VIDEO/IMAGE"],
    "hierarchical": ["weights=VC2", "frames=5", "lengths=[3,3]", "size=[16,16]", "prompt=a"],
    "hierarchical in a row": ["weights=VC2", "frames=5", "lengths=[3]", "order=autoregressive"],
    "hierarchical from a video": ["weights=VC2", "lengths=[3,3]", "video=VIDEO"],
    "hierarchical by level": ["weights=VC2", *BY_LEVEL, "lengths=[3,3]", "scenes={0-4: a}"],
    "hierarchical of some length": ["weights=VC2", "frames=4", "size=[16,16]", "prompt=a"],
    "hierarchical of images": [
        "weights=INTERP",
        "lengths=[2,4]",
        "hierarchical.images=[VIDEO/IMAGE,VIDEO/IMAGE]",
        "size=[16,16]",
    ],
    "hierarchical of key frames": [
        "weights=INTERP",
        "lengths=[2,4]",
        "key_video=VIDEO",
        "key_every=3",
        "size=[16,16]",
    ],
    "hierarchical by two networks": [
        "weights=INTERP",
        "key_weights=I2V",
        "first=VIDEO/IMAGE",
        "lengths=[3,3]",
        "size=[16,16]",
    ],
    "animate": ["weights=I2V", "frames=4", "size=[16,16]", "image=VIDEO/IMAGE", "prompt=a"],
    "animate a loop": [
        "weights=INTERP",
        "frames=4",
        "size=[16,16]",
        "image=VIDEO/IMAGE",
        "loop=true",
    ],
    "animate to an end": [
        "weights=INTERP",
        "frames=4",
        "size=[16,16]",
        "images=[VIDEO/IMAGE]",
        "last=VIDEO/IMAGE",
    ],
    "interpolate by ends": ["weights=INTERP", "factors=[3]", "video=VIDEO", "prompt=a"],
    "extend by an image": ["weights=I2V", "frames=3", "extend.run=3", "images=[VIDEO/IMAGE]"],
    "interpolate": ["weights=VC2", "factors=[2,2]", "video=VIDEO", "prompt=a"],
    "interpolate by flow": ["method=flow", "factors=[2,2]", "video=VIDEO"],
    "interpolate images": ["weights=VC2", "factor=2", "images=[VIDEO/IMAGE,VIDEO/IMAGE]"],
    "interpolate by stages": ["stage_weights=[VC2,VC2]", "factors=[2,2]", "video=VIDEO"],
    "interpolate a prompt": ["weights=VC2", "factors=[2]", "keys=3", "size=[16,16]", "prompt=a"],
    "extend": ["weights=VC2", "frames=3", "extend.run=3", "video=VIDEO", "prompt=a"],
    "extend an image": ["weights=VC2", "frames=3", "extend.run=3", "images=[VIDEO/IMAGE]"],
    "edit": ["weights=SD", "frames=3", "size=[16,16]", "video=VIDEO", "prompt=a"],
    "edit report": ["weights=SD", "frames=3", "size=[16,16]", "video=VIDEO", "report=[2]"],
    "edit noised": ["weights=SD", "frames=3", "video=VIDEO", "prompt=a", "invert=false"],
    "clip_parallel": ["weights=VC2", "frames=4", "size=[16,16]", "prompt=a"],
    "clip_parallel original": ["weights=VC2", "frames=16", "strategy=video_infinity", "prompt=a"],
    "clip_parallel windows": ["weights=VC2", "frames=16", "strategy=windows", "prompt=a"],
}
INFER["text_to_video with a LoRA"] = [
    "weights=SD",
    "frames=2",
    "size=[16,16]",
    "lora=[LORA]",
    "prompt=a",
]
GUIDED = ["sample.steps=2", "sample.guidance=2"]
UNGUIDED = ("edit report", "interpolate by flow", "hierarchical by level")  # not by sample
LATENTS = ["latents.vae=BASE", "latents.tokenizer=BASE/tokenizer", "latents.clips=2"]
MODELSCOPE = ["model.family=modelscope", "model.entry_heads=2"]
TRAIN = {
    "pixel": [
        "model=configs/model/vdm_tiny.yaml",
        "data.frames=2",
        "data.size=[16,16]",
        "diffusion.prediction=v",
        "diffusion.zero_terminal_snr=true",
        "diffusion.terminal_mean=0.5",
        "diffusion.terminal_clips=4",
        *PREVIEW,
    ],
    "pixel clips": [
        "model=configs/model/vdm_tiny.yaml",
        "data.frames=2",
        "data.size=[16,16]",
        "data.kind=clips",
        "data.folder=CLIPS",
        "diffusion.schedule=linear",
        "train.precision=fp16",
        "train.schedule=cosine",
        "train.weight_decay=0.1",
    ],
    "autoencoder on the film world": [
        "model.family=autoencoder_kl",
        "model.block_channels=[4,8]",
        "model.groups=2",
        "model.layers=1",
        "data.size=[32,32]",
        "data.kind=film",
    ],
    "autoencoder": [
        "model.family=autoencoder_kl",
        "model.block_channels=[4,8]",
        "model.groups=2",
        "model.layers=1",
        "data.size=[16,16]",
    ],
    "latent": [
        *MODELSCOPE,
        *UNET,
        *LATENTS,
        "latents.text_encoder=BASE/text_encoder.yaml",
        *PREVIEW,
    ],
    "latent with text": [*MODELSCOPE, *UNET, *LATENTS, "latents.text_weights=BASE", *PREVIEW],
    "latent with fps": [
        *MODELSCOPE,
        *UNET,
        *LATENTS,
        "model.conditions=[time,fps]",
        "latents.text_weights=BASE",
    ],
    "latent with motion modules": [
        "model.family=animatediff",
        *UNET,
        *LATENTS,
        "data.frames=1",
        "latents.text_weights=BASE",
        *PREVIEW,
    ],
    "images": [
        "model.family=dynamicrafter_512",
        *(pair for pair in UNET if not pair.startswith("data.frames")),
        "data.frames=16",
        *LATENTS,
        "model.entry_heads=2",
        "model.text_tokens=8",
        "latents.text_weights=INTERP",
        "latents.unet_weights=I2V",
        "latents.image_encoder=INTERP",
        "latents.projector=INTERP",
        "preview.sample.steps=1",
        "preview.sample.guidance=2",
    ],
    "infinet": [
        *MODELSCOPE,
        *UNET,
        *LATENTS,
        "latents.text_weights=BASE",
        "infinet.lengths=[4,4]",
        *PREVIEW,
    ],
    "infinet on films": [
        *MODELSCOPE,
        *UNET,
        *LATENTS,
        "latents.text_weights=BASE",
        "infinet.lengths=[4,4]",
        "data.kind=clips",
        "infinet.index=INDEX",
    ],
    "distil": [
        *MODELSCOPE,
        *UNET,
        *LATENTS,
        "latents.text_weights=BASE",
        "distil.teacher=BASE",
        "distil.original=10",
        "preview.prompts=[a]",
        "preview.sample.sampler=lcm",
        "preview.sample.original=10",
        "preview.sample.steps=2",
        "preview.sample.guidance=2",
    ],
    "interpolation": [
        "model.family=pseudo3d",
        *UNET,
        *LATENTS,
        "latents.text_weights=BASE",
        "latents.unet_weights=SD",
        "interpolation.factor=3",
        "preview.sample.guidance=2",
        "preview.sample.steps=1",
    ],
    "tune": [
        "model.family=tune_a_video",
        *UNET,
        "diffusion.zero_terminal_snr=false",
        "latents.vae=SD",
        "latents.text_weights=SD",
        "latents.unet_weights=SD",
        "latents.tokenizer=SD/tokenizer",
        "tune.video=VIDEO",
        "tune.prompt=a",
        "data.frames=3",
        "tune.inversion_steps=1",
        *PREVIEW,
    ],
    "tune from fresh noise": [
        "model.family=tune_a_video",
        *UNET,
        "diffusion.zero_terminal_snr=false",
        "latents.vae=SD",
        "latents.text_weights=SD",
        "latents.unet_weights=SD",
        "latents.tokenizer=SD/tokenizer",
        "tune.video=VIDEO",
        "tune.prompt=a",
        "data.frames=3",
        "tune.inverted=false",
        *PREVIEW,
    ],
}
TRAIN["tune with a LoRA"] = [*TRAIN["tune"], "train.lora.rank=2"]
OF_THE_TEXT = {"resume.allow"}  # read from the saved text, see below
ALLOWED = "resume.allow=[train.lr]"
ACCEPTED: dict[str, set[str]] = {}


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Words of the scenarios -> files that they stand for."""
    folder = tmp_path_factory.mktemp("walk")
    frames = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3)).astype(np.uint8)
    video = write_frames(folder / "video", frames, 4)
    write_frames(folder / "clips/one", frames, 4)
    (folder / "clips/one.txt").write_text("a red circle")
    film = write_frames(folder / "film", np.concatenate([frames, frames]), 4)
    index, _ = index_of([Film(film, 12)], [4, 4], folder)
    write_index(folder / "films.json", index)
    images = latent_toys.folder(folder / "sd", "stable_diffusion")
    parts = find_latent_parts(str(images), LatentModelOptions())
    arrays = lora_files.processors({"network": parts.network})
    return {
        "LORA": str(lora_files.write(folder / "lora.safetensors", arrays)),
        "VC2": str(latent_toys.folder(folder / "vc2", "videocrafter2")),
        "BASE": str(latent_toys.folder(folder / "base", "modelscope")),
        "SD": str(images),
        "INTERP": str(latent_toys.folder(folder / "interp", "dynamicrafter_interp")),
        "I2V": str(latent_toys.folder(folder / "i2v", "dynamicrafter_512")),
        "IMAGE": sorted(p.name for p in video.glob("*.png"))[0],
        "VIDEO": str(video),
        "CLIPS": str(folder / "clips"),
        "INDEX": str(folder / "films.json"),
    }


def filled(pairs, places):
    for word, place in places.items():
        pairs = [pair.replace(word, place) if word in pair else pair for pair in pairs]
    return pairs


def scenario(name, places, folder):
    """(schema, the pairs of a scenario, what runs it)."""
    kind, _, which = name.partition(": ")
    if kind == "infer":
        guided = [] if which in UNGUIDED else GUIDED
        pairs = [f"pipeline={which.split()[0]}", *guided, *INFER[which], f"output={folder / 'out'}"]
        pairs += ["env.mode=pynative"] if which != "interpolate by flow" else []
        return InferConfig, filled(pairs, places), made
    pairs = [*TRAIN[which], f"run_dir={folder / 'run'}", "env.mode=pynative", "train.batch_size=2"]
    return TrainConfig, filled(pairs, places), trained


def made(loaded):
    """A whole run of infer.py."""
    infer.start(loaded)


def trained(loaded):
    """A whole run of train.py, but for its steps."""
    notes_on_data(loaded.values)
    train.start(loaded)


NAMES = [f"infer: {name}" for name in INFER] + [f"train: {name}" for name in TRAIN]


def accepted_in(name, places, folder):
    """The keys that a scenario takes another value for; said once, since both tests ask."""
    if name not in ACCEPTED:
        schema, pairs, _ = scenario(name, places, folder)
        loaded = load(None, pairs, schema)
        ACCEPTED[name] = {
            key
            for key, leaf in keys_of(loaded).items()
            if (words := walk.another(leaf, given(loaded, key))) is not None
            and walk.verdict(schema, pairs, leaf, words) != "refused"
        }
    return ACCEPTED[name]


def keys_of(loaded):
    return {key: leaf for key, leaf in leaves(type(loaded.values)).items() if key != "model"}


def given(loaded, key):
    return loaded.given[key].value if key in loaded.given else None


@pytest.mark.parametrize("name", NAMES)
def test_a_key_is_read_or_refused(name, places, tmp_path, monkeypatch):
    schema, pairs, work = scenario(name, places, tmp_path)
    loaded = load(None, pairs, schema)
    walk.quiet()
    with walk.stand_ins(monkeypatch):
        seen = walk.read_by(loaded, work)
    seen |= walk.read_by_the_trainer() | OF_THE_TEXT if schema is TrainConfig else set()
    assert len(keys_of(loaded)) > 40 and len(seen) > 10
    silent = sorted(accepted_in(name, places, tmp_path) - seen - set(walk.SAME_AS))
    assert not silent, f"{name} takes these keys and reads none of them: {silent}"


def test_no_key_is_refused_by_all(places, tmp_path):
    """Each key is taken in one scenario at least."""
    everywhere = set().union(*(accepted_in(name, places, tmp_path) for name in NAMES))
    schemas = [entry.schema for entry in PIPELINES.values()] + [TrainConfig]
    keys = {leaf.key: leaf for schema in schemas for leaf in leaves(schema).values()}
    alone = {key for key, leaf in keys.items() if walk.another(leaf, None) is None}
    assert not sorted(set(keys) - everywhere - alone - {"model"})

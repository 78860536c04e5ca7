"""The published sizes, once, on this machine: random weights, since sizes are what is measured.

  python tools/full_width.py weights modelscope big/                 # a whole pipeline, 3.7 GB
  python tools/full_width.py names modelscope --layout modelscope    # to ours and back: the bits?
  python tools/full_width.py video big/ --steps 3 --size 256         # a step, a frame, peak memory
  python tools/full_width.py cogvideox cog/                          # in diffusers' form, 4.2 GB

`video` needs about 12 GiB, and stops by itself when less than a gibibyte of the machine's memory is
left.
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from math import prod
from pathlib import Path

import numpy as np
import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))

from mindlong.checkpoints.files import open_weights, write_safetensors  # noqa: E402
from mindlong.checkpoints.lazy import Lazy  # noqa: E402
from mindlong.checkpoints.torch_writer import write_torch  # noqa: E402
from mindlong.networks import table  # noqa: E402
from mindlong.networks.clip import text_names as clip_names
from mindlong.networks.clip import text_spec as clip_text
from mindlong.networks.clip import vision_spec
from mindlong.networks.cogvideox.spec import CogVideoXSpec  # noqa: E402
from mindlong.networks.cogvideox_vae.spec import VideoVaeSpec  # noqa: E402
from mindlong.networks.names import Entry  # noqa: E402
from mindlong.networks.resampler import names as resampler_names
from mindlong.networks.resampler.spec import ResamplerSpec
from mindlong.networks.t5.spec import T5Spec  # noqa: E402
from mindlong.networks.unet import names as unet_names
from mindlong.networks.unet.families import FAMILIES, family  # noqa: E402
from mindlong.networks.vae import names as vae_names
from mindlong.networks.vae import spec as vae
from tools.schedulers import COGVIDEOX  # noqa: E402

CONVERT = """
import sys
from mindlong.cli.convert import command
code = command(sys.argv[1:])
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
sys.exit(code)
"""
LEFT = 1.0  # GiB of the machine that stay free
VIT_H_IMAGES = vision_spec.ClipVisionSpec(
    patch=14,
    width=1280,
    layers=32,
    heads=16,
    hidden=5120,
    projection=1024,
    text_width=1024,
    activation="gelu",
)


def random_arrays(entries: Iterable[Entry], theirs: bool, prefix: str = "") -> dict[str, Lazy]:
    """Half precision numbers of a size that keeps a network in range, made one tensor at a time."""
    block = np.random.default_rng(0).standard_normal((1 << 20) + 7).astype(np.float32)
    arrays = {}
    for number, entry in enumerate(entries):
        shape = entry.source_shape if theirs else entry.our_shape
        arrays[prefix + (entry.source if theirs else entry.ours)] = Lazy(
            shape,
            "float16",
            lambda shape=shape, number=number, entry=entry: _filled(
                block, shape, number, entry.ours
            ),
        )
    return arrays


def _filled(block: np.ndarray, shape: tuple[int, ...], number: int, name: str) -> np.ndarray:
    near = 1.0 if "norm" in name and name.endswith("weight") else 0.0
    spread = 0.02 if len(shape) == 1 else prod(shape[1:]) ** -0.5
    return np.resize((near + spread * np.roll(block, number)).astype(np.float16), shape)


def weights(args: argparse.Namespace) -> None:
    """A folder of ours with networks of the published sizes and a vocabulary of single letters."""
    from mindlong.networks.clip.tokenizer import END, START, WORD_END, byte_letters

    spec, where = family(args.family).spec(), Path(args.folder)
    encoder = clip_text.VIT_L if spec.context_dim == clip_text.VIT_L.width else clip_text.VIT_H
    first_stage = vae.VaeSpec()
    parts = {
        "unet": (args.family, spec, unet_names.names(spec)),
        "vae": ("autoencoder_kl", first_stage, vae_names.names(first_stage)),
        "text_encoder": ("clip_text", encoder, clip_names.names(encoder)),
    }
    if family(args.family).images:
        parts["image_encoder"] = ("clip_vision", VIT_H_IMAGES, vision_spec.names(VIT_H_IMAGES))
        parts["projector"] = ("resampler", ResamplerSpec(), resampler_names.names(ResamplerSpec()))
    for part, (name, sizes, entries) in parts.items():
        write_safetensors(where / f"{part}.safetensors", random_arrays(entries, False, f"{part}."))
        (where / f"{part}.yaml").write_text(yaml.safe_dump(table.get(name).section(sizes)))
    letters = byte_letters()
    tokens = [*letters, *(letter + WORD_END for letter in letters), START, END]
    (where / "tokenizer").mkdir(exist_ok=True)
    (where / "tokenizer/vocab.json").write_text(
        json.dumps({token: i for i, token in enumerate(tokens)})
    )
    (where / "tokenizer/merges.txt").write_text("#version: 0.2\n")


def cogvideox(args: argparse.Namespace) -> None:
    """A folder of diffusers with CogVideoX-2B at its published sizes, with one layer of its T5 and
    a vocabulary of some hundred pieces: infer.py takes it.
    """
    where = Path(args.folder)
    parts = {
        "transformer": ("cogvideox", CogVideoXSpec()),
        "vae": ("cogvideox_vae", VideoVaeSpec()),
        "text_encoder": ("t5", T5Spec(vocabulary=384, layers=1)),
    }
    for part, (name, spec) in parts.items():
        network = table.get(name)
        (where / part).mkdir(parents=True, exist_ok=True)
        entries = network.formats[0].entries(spec)
        write_safetensors(where / part / network.hub.file, random_arrays(entries, True))
        config = {"_class_name": network.hub.name, **network.hub.config(spec)}
        (where / part / "config.json").write_text(json.dumps(config))
    for folder in ("tokenizer", "scheduler"):
        (where / folder).mkdir(exist_ok=True)
    pieces = Path(__file__).parents[1] / "tests/golden/cogvideox_spiece.model.xz"
    (where / "tokenizer/spiece.model").write_bytes(lzma.decompress(pieces.read_bytes()))
    (where / "scheduler/scheduler_config.json").write_text(json.dumps(COGVIDEOX))
    (where / "model_index.json").write_text(json.dumps({"_class_name": "CogVideoXPipeline"}))


def names(args: argparse.Namespace) -> None:
    """The original's file to ours and back."""
    entries = unet_names.names(
        family(args.family).spec(), args.layout or FAMILIES[args.family].layouts[0]
    )
    with tempfile.TemporaryDirectory(dir=args.scratch) as folder:
        first, ours, second = (
            Path(folder) / name for name in ("a.pth", "ours.safetensors", "b.pth")
        )
        write_torch(first, random_arrays(entries, True))
        there, back = _converted(first, ours), _converted(ours, second)
        a, b = open_weights(first), open_weights(second)
        equal = list(a) == list(b) and all(a.read(n).tobytes() == b.read(n).tobytes() for n in a)
        print(
            json.dumps(
                {
                    "family": args.family,
                    "tensors": len(a),
                    "numbers": sum(prod(a.shape(n)) for n in a),
                    "bit_equal": equal,
                    "there": there,
                    "back": back,
                }
            )
        )


def _converted(src: Path, dst: Path) -> dict[str, float]:
    clock, before = time.monotonic(), os.times()
    done = subprocess.run(
        [sys.executable, "-c", CONVERT, "--src", str(src), "--dst", str(dst)],
        check=True,
        text=True,
        capture_output=True,
        cwd=Path(__file__).parents[1],
    )
    after = os.times()
    used = (
        after.children_user + after.children_system - before.children_user - before.children_system
    )
    return {
        "seconds": round(time.monotonic() - clock, 1),
        "cpu_seconds": round(used, 1),
        "peak_MiB": int(done.stdout.split()[-1]) >> 10,
    }


def video(args: argparse.Namespace) -> None:
    """Text to video in graph mode; a line for each thing done."""
    threading.Thread(target=_watch, daemon=True).start()
    from mindlong.config.infer_options.latent import LatentModelOptions
    from mindlong.config.sample import SampleOptions
    from mindlong.ops import device
    from mindlong.pipelines.clips import Clip, first_noise
    from mindlong.pipelines.load_model import load_latent_model
    from mindlong.pipelines.text_to_video.guided import TextToVideo

    device.setup("CPU", "graph", bf16=args.bf16)
    say = _Clock()
    model = load_latent_model(args.folder, LatentModelOptions(chunk=1))
    clips = [Clip("video", ("a cat",), "a cat", 0, 0)]
    model.encode_text(["a cat", ""])
    model.release("text_encoder")
    say("both prompts encoded")
    say(f"UNet of {sum(p.size for p in model.network.get_parameters()):,} numbers filled")
    pipeline = TextToVideo(
        model, SampleOptions(steps=args.steps, guidance=args.guidance), two_passes=True
    )
    start = first_noise(clips, model.latent_shape(args.frames, args.size, args.size))
    latents = pipeline.latents(
        clips, start, lambda step, total, x0: say(f"step {step} of {total}")
    )[0]
    model.release("network")
    for number, _ in enumerate(model.decode(latents)):
        say(f"frame {number + 1} of {args.frames} decoded")


class _Clock:
    def __init__(self) -> None:
        self.last, self.used = time.monotonic(), sum(os.times()[:2])

    def __call__(self, what: str) -> None:
        now, used = time.monotonic(), sum(os.times()[:2])
        print(
            json.dumps(
                {
                    "done": what,
                    "seconds": round(now - self.last, 1),
                    "cpu_seconds": round(used - self.used, 1),
                    "GiB": _gibibytes("/proc/self/status", "VmRSS"),
                    "peak_GiB": _gibibytes("/proc/self/status", "VmHWM"),
                }
            ),
            flush=True,
        )
        self.last, self.used = now, used


def _gibibytes(file: str, key: str) -> float:
    line = next(line for line in Path(file).read_text().splitlines() if line.startswith(key))
    return round(int(line.split()[1]) / 2**20, 2)


def _watch() -> None:
    while _gibibytes("/proc/meminfo", "MemAvailable") > LEFT:
        time.sleep(0.5)
    print("stopped: the machine's memory is nearly full", flush=True)
    os._exit(1)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    works = {"weights": weights, "names": names, "video": video, "cogvideox": cogvideox}
    for name, work in works.items():
        made = commands.add_parser(name, help=work.__doc__)
        made.set_defaults(work=work)
        if name in ("weights", "names"):
            made.add_argument("family", choices=FAMILIES)
        if name != "names":
            made.add_argument("folder")
    commands.choices["names"].add_argument(
        "--layout", default="", help="whose names; the family's usual ones without"
    )
    commands.choices["names"].add_argument("--scratch", help="folder for some 9 GB of files")
    for key, usual in (("--steps", 3), ("--frames", 16), ("--size", 256), ("--guidance", 1.0)):
        commands.choices["video"].add_argument(key, type=type(usual), default=usual)
    commands.choices["video"].add_argument("--bf16", action="store_true", help="with env.bf16")
    args = parser.parse_args()
    args.work(args)


if __name__ == "__main__":
    main()

"""Damaged files of every kind that is read, made and read by the thousand.

    python tests/unit/reader_mutants.py [COUNT [SEED]]

Each mutant is read whole by the reader that a user would meet. It may be read, or refused by an
error of our own; nothing else: no other exception, no import or process, no time above a limit.
Prints how many of each kind were read and refused, the slowest, and the memory taken.
"""

from __future__ import annotations

import gzip
import json
import pickle
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE)]

import torch_files as tf  # noqa: E402

from mindlong.checkpoints import description, manifest, open_clip_config, recognise, store  # noqa: E402
from mindlong.checkpoints.convert import to_ours  # noqa: E402
from mindlong.checkpoints.files import open_weights, write_safetensors, write_torch  # noqa: E402
from mindlong.checkpoints.inspection import inspect  # noqa: E402
from mindlong.config.section import load_model  # noqa: E402
from mindlong.diffusion.scheduler_config import read_file  # noqa: E402
from mindlong.networks.clip.tokenizer import load_tokenizer  # noqa: E402
from mindlong.networks.unet3d.names import names  # noqa: E402
from mindlong.networks.unet3d.spec import Unet3DSpec  # noqa: E402
from mindlong.utils.errors import UserError  # noqa: E402

LIMIT = 10  # seconds for one mutant
WATCHED = (
    "os.system", "os.exec", "os.spawn", "os.posix_spawn", "subprocess.Popen", "pickle.find_class",
    "socket.connect", "shutil.rmtree", "os.remove", "os.rename", "webbrowser.open", "ctypes.dlopen",
)  # fmt: skip
PIECES = (
    b"[" * 3000, b'{"a":' * 2000, b"9" * 5000, b"1e999", b"NaN", b"-1", b"1e9", b"18446744073709551616",
    b'"\\ud800"', b"\x1b[2J", b"\0", b"../../etc/passwd", b"/dev/zero", b"a" * 300, b"\xff\xfe", b"null",
    b"true", b"{}", b"[]", b'""', b"&a [*a]", b"!!python/object/apply:os.system [true]", b"<<: *a",
    b"\x80\x04", b"cos\nsystem\n", b"\x93", b"R", b"b", b".", b"PK\3\4", b"PK\5\6",
)  # fmt: skip
SCALARS = (
    0,
    -1,
    2**31,
    2**63,
    2**200,
    1.5,
    "",
    "x" * 300,
    "\ud800",
    None,
    True,
    [],
    {},
    [[[]]],
    "../x",
)
SPEC = Unet3DSpec(dim=4, dim_mults=(1,), attn_heads=1, attn_dim_head=4)
GOLDEN = HERE.parents[1] / "tests/golden/clip_tokenizer"


class Slow(Exception):
    """A mutant took longer than LIMIT."""


@dataclass
class Kind:
    """A kind of file.

    Attributes:
        make: puts a sound one, and what belongs beside it, into an empty folder; returns the file
            that is changed.
        read: reads what lies in the folder as a user would.
        sound: what `make` makes is read; else it is refused, whatever its bytes are.
    """

    make: Callable[[Path], Path]
    read: Callable[[Path], object]
    sound: bool = True


@dataclass
class Figures:
    """What came of the mutants."""

    read: Counter = field(default_factory=Counter)
    refused: Counter = field(default_factory=Counter)
    slowest: float = 0.0
    faults: list[str] = field(default_factory=list)


def weights_of(path: Path) -> object:
    """Everything that is done with a file of weights: look, open, read, recognise, plan."""
    inspect(path)
    held = open_weights(path)
    for name in held:
        held.read(name)
    for match in recognise.recognise(held):
        if match.ours:
            description.read_source(held)
            description.read_model(held, None)
        else:
            to_ours(held, match)
    return held


def contents_of(path: Path) -> object:
    """A file of weights without a network that is known."""
    inspect(path)
    held = open_weights(path)
    return [held.read(name) for name in held]


def arrays() -> dict[str, np.ndarray]:
    """A very small Unet3D under the original's names."""
    return {e.source: np.full(e.source_shape, 0.5, np.float32) for e in names(SPEC)}


def _torch(folder: Path) -> Path:
    write_torch(folder / "a.pt", {"step": 3, "ema": arrays(), "scaler": {}})
    return folder / "a.pt"


def _pythons(folder: Path) -> Path:
    tree = {"m": {"w": tf.tensor(0, np.ones((2, 3)))}, "n": np.float32(2), "s": {1, 2}, "a": b"x"}
    return tf.write(folder / "a.pt", tree, 4)


def _legacy(folder: Path) -> Path:
    parts = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, {"w": [1, 2]}, ["0"])
    (folder / "a.pt").write_bytes(b"".join(pickle.dumps(p, 2) for p in parts) + bytes(100))
    return folder / "a.pt"


def _safetensors(folder: Path) -> Path:
    ours = {f"unet.{e.ours}": np.full(e.our_shape, 0.5, np.float32) for e in names(SPEC)}
    about = description.metadata(
        {"family": "vdm", "dim": 4, "dim_mults": [1]}, {"unet": {"form": "network"}}
    )
    write_safetensors(folder / "a.safetensors", ours, about)
    return folder / "a.safetensors"


def _npz(folder: Path) -> Path:
    np.savez(folder / "a.npz", **arrays(), note=np.array("x"))
    return folder / "a.npz"


def _varint(n: int) -> bytes:
    return (bytes([n & 127 | 128]) + _varint(n >> 7)) if n > 127 else bytes([n])


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _mindspore(folder: Path) -> Path:
    out = b""
    for name, array in arrays().items():
        dims = b"".join(b"\x08" + _varint(n) for n in array.shape)
        out += _field(
            1,
            _field(1, name.encode())
            + _field(2, dims + _field(2, b"Float32") + _field(3, array.tobytes())),
        )
    (folder / "a.ckpt").write_bytes(out)
    return folder / "a.ckpt"


def _index(folder: Path) -> Path:
    held, table = list(arrays().items()), {}
    for number in (0, 1):
        part = dict(held[number::2])
        write_safetensors(folder / f"s{number}.safetensors", part)
        table |= dict.fromkeys(part, f"s{number}.safetensors")
    path = folder / "model.safetensors.index.json"
    path.write_text(json.dumps({"metadata": {}, "weight_map": table}))
    return path


def _config(folder: Path) -> Path:
    _index(folder)
    (folder / "config.json").write_text(
        json.dumps({"attention_head_dim": 8, "norm_num_groups": 8, "act_fn": "silu"})
    )
    return folder / "config.json"


def _yaml(folder: Path) -> Path:
    (folder / "model.yaml").write_text(
        "family: vdm\ndim: 8\ndim_mults: [1, 2]\ntext: {encoder: none}\n"
    )
    return folder / "model.yaml"


def _manifest(folder: Path) -> Path:
    made = store.save(
        folder / "run", 1, {"network": {"unet.a": np.ones(3, np.float32)}}, {"step": 1}
    )
    return made / manifest.NAME


def _checkpoint(path: Path) -> object:
    weights = open_weights(path.parent / "network.safetensors")
    store.load(path.parent)
    return [weights.read(name) for name in weights]


def _tokenizer(changed: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        table = json.loads((GOLDEN / "tokenizer.json").read_text())
        vocabulary = {k: v for k, v in table["model"]["vocab"].items() if v < 120 or v > 870}
        table["model"] |= {"vocab": vocabulary, "merges": []}
        files = {
            "tokenizer.json": json.dumps(table),
            "vocab.json": json.dumps(vocabulary),
            "merges.txt": "#version: 0.2\n",
            "tokenizer_config.json": '{"pad_token": "!", "added_tokens_decoder": {"9": {"content": "<x>"}}}',
            "special_tokens_map.json": '{"pad_token": {"content": "!"}}',
            "added_tokens.json": '{"<cat>": 990}',
        }
        if changed in ("vocab.json", "merges.txt"):
            files.pop("tokenizer.json")
        if changed == "special_tokens_map.json":
            files["tokenizer_config.json"] = "{}"
        for name, text in files.items():
            (folder / name).write_text(text)
        return folder / changed

    return make


def _merges(folder: Path) -> Path:
    text = b"\n".join((GOLDEN / "merges.txt").read_bytes().split(b"\n")[:40])
    (folder / "bpe_simple_vocab_16e6.txt.gz").write_bytes(gzip.compress(text))
    return folder / "bpe_simple_vocab_16e6.txt.gz"


def _read_tokenizer(path: Path) -> object:
    place = path if path.suffix == ".gz" else path.parent
    return load_tokenizer(place, 8)(["a cat!", "<cat> <x>"])


def _scheduler(folder: Path) -> Path:
    content = {"_class_name": "DDIMScheduler", "num_train_timesteps": 20, "beta_start": 0.00085, "beta_end": 0.012,
               "beta_schedule": "scaled_linear", "prediction_type": "epsilon", "steps_offset": 1}  # fmt: skip
    (folder / "scheduler_config.json").write_text(json.dumps(content))
    return folder / "scheduler_config.json"


def _open_clip(folder: Path) -> Path:
    content = {"model_cfg": {"vision_cfg": {"width": 64, "head_width": 32, "layers": 2}, "text_cfg": {"heads": 2}},
               "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}}  # fmt: skip
    (folder / open_clip_config.NAME).write_text(json.dumps(content))
    return folder / open_clip_config.NAME


KINDS: dict[str, Kind] = {
    "torch zip": Kind(_torch, weights_of),
    "torch zip, protocol 4": Kind(_pythons, contents_of),
    "torch before 1.6": Kind(_legacy, weights_of, sound=False),
    "safetensors": Kind(_safetensors, weights_of),
    "npz": Kind(_npz, weights_of),
    "mindspore": Kind(_mindspore, weights_of),
    "index of shards": Kind(_index, weights_of),
    "config.json": Kind(_config, lambda path: weights_of(path.parent)),
    "model yaml": Kind(_yaml, load_model),
    "manifest": Kind(_manifest, _checkpoint),
    "tokenizer list of merges": Kind(_merges, _read_tokenizer),
    "scheduler": Kind(_scheduler, read_file),
    "open_clip": Kind(_open_clip, open_clip_config.read),
    **{
        name: Kind(_tokenizer(name), _read_tokenizer)
        for name in (
            "tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json",
            "added_tokens.json",
        )
    },
}  # fmt: skip


def mutant(whole: bytes, draw: random.Random) -> bytes:
    """One to four changes: of single bytes, of pieces, or of a value where it is JSON or YAML."""
    data = whole
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        data = draw.choice(CHANGES)(data, draw) if data else draw.choice(PIECES)
    return data


def _flip(data: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(data))
    return data[:place] + bytes([data[place] ^ draw.randrange(1, 256)]) + data[place + 1 :]


def _cut(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data))]


def _drop(data: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(data))
    return data[:place] + data[place + draw.randrange(1, 64) :]


def _again(data: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(data))
    return data[:place] + data[place : place + draw.randrange(1, 64)] + data[place:]


def _piece(data: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(data))
    return data[:place] + draw.choice(PIECES) + data[place + draw.choice((0, 0, 1, 4)) :]


def _value(data: bytes, draw: random.Random) -> bytes:
    """A value somewhere in a tree replaced; other files get a piece."""
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return _piece(data, draw)
    places = _places(tree)
    if not places:
        return json.dumps(draw.choice(SCALARS)).encode()
    holder, key = draw.choice(places)
    holder[key] = draw.choice(SCALARS)
    return json.dumps(tree).encode()


def _places(tree: object) -> list[tuple[object, object]]:
    found, stack = [], [tree]
    while stack and len(found) < 2000:
        node = stack.pop()
        pairs = (
            node.items()
            if isinstance(node, dict)
            else enumerate(node)
            if isinstance(node, list)
            else ()
        )
        for key, value in pairs:
            found.append((node, key))
            stack.append(value)
    return found


CHANGES = (_flip, _flip, _cut, _drop, _again, _piece, _piece, _value, _value)
_seen: list[str] = []
_watching = False


def _watch(event: str, arguments: tuple) -> None:
    if _watching and event.startswith(WATCHED):
        _seen.append(f"{event} {arguments}"[:200])


sys.addaudithook(_watch)


def hammer(kind: str, count: int, seed: int, figures: Figures, folder: Path) -> None:
    """Make and read `count` mutants of one kind; what should not be goes to `figures.faults`."""
    entry = KINDS[kind]
    folder.mkdir(parents=True)
    path = entry.make(folder)
    whole = path.read_bytes()
    first = Figures()
    if _tried(entry, path, kind, first) or bool(first.read[kind]) != entry.sound:
        figures.faults.append(f"{kind}: the file is not taken as it should be before any change")
    for number in range(count):
        path.write_bytes(mutant(whole, random.Random(f"{kind} {seed} {number}")))
        began = time.monotonic()
        fault = _tried(entry, path, kind, figures)
        figures.slowest = max(figures.slowest, time.monotonic() - began)
        if fault:
            figures.faults.append(f"{kind} {seed} {number}: {fault}")


def _tried(entry: Kind, path: Path, kind: str, figures: Figures) -> str:
    global _watching
    _seen.clear()
    signal.signal(signal.SIGALRM, _too_slow)
    signal.alarm(LIMIT)
    _watching = True
    try:
        entry.read(path)
        figures.read[kind] += 1
    except UserError:
        figures.refused[kind] += 1
    except BaseException as error:  # also panics of libraries, which are no Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        return f"{type(error).__name__}: {str(error)[:150]!r}"
    finally:
        _watching = False
        signal.alarm(0)
    return f"did {_seen[0]}" if _seen else ""


def _too_slow(*_: object) -> None:
    raise Slow(f"longer than {LIMIT} s")


def main(count: int, seed: int) -> int:
    """Run `count` mutants, evenly over the kinds, and print the figures."""
    figures, each = Figures(), -(-count // len(KINDS))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        for place, kind in enumerate(KINDS):
            hammer(kind, each, seed, figures, Path(folder) / str(place))
            print(
                f"{kind:<26} {figures.read[kind]:>5} read, {figures.refused[kind]:>5} refused",
                flush=True,
            )
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"{each * len(KINDS)} mutants, slowest {figures.slowest:.2f} s, {grown:.0f} MiB more memory"
    )
    print("\n".join(figures.faults[:40]) or "only errors of our own, nothing was run")
    return bool(figures.faults)


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    sys.exit(main(*(numbers + [20_000, 1][len(numbers) :])))

"""A program that goes on: nothing is compiled twice, Ctrl-C leaves the model as it was, a training
is that of train.py.
"""

import gc
import os
import subprocess
import sys
from pathlib import Path

import latent_toys
import mindspore as ms
import numpy as np
import pytest
from mindspore.graph.api import _cell_graph_executor

import mindlong
from mindlong.config.load import load
from mindlong.config.schema import TrainConfig
from mindlong.utils.errors import ConfigError

ROOT = Path(__file__).parents[3]
SIZE = {"size": [8, 8], "sample__steps": 2}
FRAMES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3)).astype(np.uint8)
CALLS = {
    "long": lambda m: m.long("a", frames=5, lengths=[3, 3], **SIZE),
    "extend": lambda m: m.extend(FRAMES, "a", frames=3, run=3, **SIZE),
    "between": lambda m: m.between(FRAMES, factor=2, **SIZE),
    "edit": lambda m: m.edit(FRAMES, "a", frames=3, invert_steps=2, **SIZE),
    "edit with maps": lambda m: m.edit(
        FRAMES, "a", frames=3, invert_steps=2, inject={"space": 0.5}, sample__guidance=2, **SIZE
    ),
    "clip_parallel": lambda m: m.clip_parallel("a", frames=6, clips=2, **SIZE),
}


@pytest.fixture
def compilations(monkeypatch):
    """The graphs that MindSpore compiles. Cells of earlier models are let go before: graphs are
    known by the numbers of cells, and a cell that goes between two calls takes along the graph of
    one that was given its number.
    """
    gc.collect()
    made, whole = [], _cell_graph_executor.compile

    def counted(cell, *args, **options):
        phase, new = whole(cell, *args, **options)
        made.extend([type(cell).__name__] * bool(new))
        return phase, new

    monkeypatch.setattr(_cell_graph_executor, "compile", counted)
    return made


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    root = tmp_path_factory.mktemp("sessions")
    return {
        "video": latent_toys.folder(root / "video", "videocrafter2"),
        "image": latent_toys.folder(root / "image", "stable_diffusion"),
    }


def twice(model, call, compilations):
    first = call(model)
    count = len(compilations)
    assert count, "the first call compiles"
    second = call(model)
    assert compilations[count:] == []
    assert np.array_equal(first.frames, second.frames)
    return first


@pytest.mark.slow
def test_a_second_call_compiles_nothing(weights, compilations):
    model = mindlong.load(weights["video"], quiet=True)
    call = lambda m, prompt="a", seed=1: m(prompt, frames=2, seed=seed, **SIZE)  # noqa: E731
    first = twice(model, call, compilations)
    count = len(compilations)
    other = model("another", frames=2, seed=2, sample__steps=3, size=[8, 8])
    assert len(compilations) == count, "nor does another prompt, seed or number of steps"
    assert not np.array_equal(first.frames, other.frames)


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_no_second_call_compiles_anything(weights, compilations, name):
    model = mindlong.load(weights["image" if "edit" in name else "video"], quiet=True)
    twice(model, CALLS[name], compilations)


STOPPED = """
import os, signal, sys, threading, time
import numpy as np
import mindlong

model = mindlong.load(sys.argv[1], quiet=True)
when, keys = sys.argv[2], dict(frames=2, size=[8, 8], sample__steps=40, seed=3)

def press(step=None):
    os.kill(os.getpid(), signal.SIGINT)

before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
if when == "compiling":
    threading.Timer(float(sys.argv[3]), press).start()
try:
    model("a", callback=press if when == "a step" else None, **keys)
    print("not stopped")
except KeyboardInterrupt as error:
    print("stopped:", error)
assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
after = model("a", **keys)
fresh = mindlong.load(sys.argv[1], quiet=True)("a", **keys)
print("equal" if np.array_equal(after.frames, fresh.frames) else "different")
"""


@pytest.mark.slow
@pytest.mark.parametrize("when", [["a step"], ["compiling", "1"], ["compiling", "2.5"]])
def test_ctrl_c_leaves_a_model_that_goes_on(weights, tmp_path, when):
    done = subprocess.run(
        [sys.executable, "-c", STOPPED, weights["video"], *when],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert not list(tmp_path.iterdir()), "nor does MindSpore leave what it could not compile"
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["stopped: Ctrl-C", "equal"], done.stdout


TINY = {"data__frames": 2, "data__size": [16, 16], "train__steps": 2, "train__batch_size": 2}


def test_a_training_is_that_of_train_py(tmp_path):
    keys = {"model": "configs/model/vdm_tiny.yaml", **TINY, "preview__prompts": ["a, b"]}
    called = load(None, keys, TrainConfig)
    words = [f"{key.replace('__', '.')}={value}" for key, value in {**keys}.items()]
    words[-1] = "preview.prompts=['a, b']"
    assert called.text == load(None, words, TrainConfig).text
    with pytest.raises(ConfigError, match="the call: .*'data.foldr'. Did you mean 'data.folder'"):
        mindlong.train(data__foldr="x")


@pytest.mark.slow
def test_a_training_and_the_model_that_it_makes(tmp_path):
    from mindlong.cli.train import command

    keys = {"model": str(ROOT / "configs/model/vdm_tiny.yaml"), **TINY}
    run = mindlong.train(run_dir=tmp_path / "called", **keys)
    words = [f"{key.replace('__', '.')}={value}" for key, value in keys.items()]
    assert command([*words, f"run_dir={tmp_path / 'typed'}"]) == 0
    made, typed = (mindlong.load(tmp_path / name, quiet=True) for name in ("called", "typed"))
    assert run == tmp_path / "called"
    for a, b in zip(made.network.get_parameters(), typed.network.get_parameters(), strict=True):
        assert np.array_equal(a.asnumpy(), b.asnumpy()), a.name
    assert mindlong.train(run_dir=run, **keys) == run, "it goes on, and there is nothing left to do"
    ms.set_context(mode=ms.GRAPH_MODE)

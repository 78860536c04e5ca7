"""A dry run refuses what the run would refuse, says what the run would do badly, answers soon."""

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mindlong.cli.infer import command as infer
from mindlong.cli.train import command as train
from mindlong.config.load import load
from mindlong.config.schema import TrainConfig
from mindlong.training import plan as train_plan

ROOT = Path(__file__).parents[3]
LATENT = ["--config", str(ROOT / "configs/infer/quickstart_latent.yaml")]
LONG = ["--config", str(ROOT / "configs/infer/quickstart_long.yaml")]
TINY = [
    "--config",
    str(ROOT / "configs/train/clips.yaml"),
    "model.dim=8",
    "model.dim_mults=[1,2]",
    "model.attn_heads=1",
    "data.size=[16,16]",
    "train.steps=2",
    "train.warmup=0",
]
WORDS = "prompt=" + "word " * 200


@pytest.fixture(autouse=True)
def _at_home(monkeypatch):
    monkeypatch.chdir(ROOT)  # the shipped configurations name files from here


def said(capsys, command, *words):
    code = command([*words, "--dry_run"])
    out = capsys.readouterr()
    return code, out.out, out.err


REFUSED = [
    (infer, [*LATENT, "size=[50,50]"], 2, "multiples of 4, the pixels of a latent"),
    (infer, ["size=[50,50]"], 2, "multiples of 4, because the network has 3 levels"),
    (infer, [*LATENT, "latent.vae=/nope"], 3, "latent.vae: nothing at /nope"),
    (infer, [*LATENT, "latent.tokenizer=/nope"], 3, "latent.tokenizer: nothing at /nope"),
    (infer, [*LATENT, "latent.scheduler=/nope"], 3, "latent.scheduler: nothing at /nope"),
    (infer, [*LATENT, "fps_condition=4"], 2, "not conditioned on a frame rate"),
    (infer, [*LATENT, "start=no.npz"], 3, "text_to_video.start: no file at no.npz"),
    (infer, [*LATENT, "weights=latent_shapes"], 3, "Did you mean shipped:latent_shapes?"),
    (infer, [*LONG, "scenes={0-99: a, 100-300: b}"], 2, "the range 100-300; the video has frames"),
    (infer, [*LATENT, "frames=1000000"], 2, "TiB of memory are needed"),
    (infer, ["pipeline=interpolate", "video=/nope.mp4"], 3, "/nope.mp4"),
    (infer, ["pipeline=edit", "prompt=a", "video=/nope.mp4"], 3, "/nope.mp4"),
    (train, [*TINY, "data.folder=/nope"], 3, "data.folder /nope does not exist"),
    (train, [*TINY, "data.folder=/nope", "model.channels=1"], 2, "model.channels is 1"),
    (train, [*TINY, "data.folder=/nope", "model.out_dim=6"], 2, "model.out_dim is 6"),
    (
        train,
        ["--config", "configs/train/latent_shapes.yaml", "latents.vae=/nope"],
        3,
        "latents.vae: nothing at /nope",
    ),
    (
        train,
        ["--config", "configs/train/latent_shapes.yaml", "data.size=[50,50]"],
        2,
        "multiples of 4, the pixels of a latent",
    ),
    (
        train,
        ["--config", "configs/train/latent_shapes.yaml", "model.context_dim=32"],
        2,
        "vectors of 64 numbers and model.context_dim is 32",
    ),
    (
        train,
        ["--config", "configs/train/latent_shapes.yaml", "latents.tokenizer=/nope"],
        3,
        "latents.tokenizer: nothing at /nope",
    ),
    (
        train,
        ["--config", "configs/train/interpolate_shapes.yaml", "model.in_channels=4"],
        2,
        "model.in_channels is 4",
    ),
]


@pytest.mark.parametrize(("command", "words", "code", "sentence"), REFUSED)
def test_what_would_fail_is_refused(capsys, command, words, code, sentence):
    found, _, error = said(capsys, command, *words)
    assert (found, sentence in error) == (code, True), error
    assert len(error.strip().splitlines()) == 1


NOTED = [
    ([*LATENT, "prompt=a", "negative=b", "sample.guidance=1"], "negative has no effect: guidance"),
    ([*LATENT, WORDS], "are cut off"),
    ([WORDS], "it is cut to"),
    ([*LATENT, "prompt=a", "size=[192,192]"], "192x192 is far from it"),
    ([*LATENT, "prompts=[a, b]"], "2 prompts: 'a', 'b'"),
    ([*LONG, "prompt=a"], "replaces prompts of"),
]


@pytest.mark.parametrize(("words", "sentence"), NOTED)
def test_what_would_go_badly_is_said(capsys, words, sentence):
    code, out, error = said(capsys, infer, *words)
    assert code == 0 and sentence in out and not error, error
    assert all(len(line) < 400 for line in out.splitlines() if line.startswith("note"))


def test_an_extension_takes_the_size_that_is_asked_for(capsys, tmp_path):
    Image.fromarray(np.zeros((90, 160, 3), np.uint8)).save(tmp_path / "a.png")
    words = ["pipeline=extend", f"images=[{tmp_path / 'a.png'}]", "frames=8"]
    code, out, _ = said(capsys, infer, *words, "size=[48,48]")
    assert code == 0 and "8 frames of 48x48 added" in out and "far from" not in out
    code, _, error = said(capsys, infer, *words)
    assert code == 2 and "size is [90, 160]; both must be multiples of 4" in error


LENGTHY = [
    ["pipeline=text_to_video", "prompt=a"],
    pytest.param(["pipeline=pixel"], marks=pytest.mark.slow),
    ["pipeline=hierarchical"],
    pytest.param(
        ["pipeline=hierarchical", "lengths=[16]", "order=autoregressive"], marks=pytest.mark.slow
    ),
    ["pipeline=clip_parallel", "prompt=a", "strategy=windows"],
]


@pytest.mark.parametrize("words", LENGTHY)
def test_a_hundred_thousand_frames_are_planned_in_little_memory(words):
    """The address space is limited, so that a table of all pairs would end the process."""
    code = """
import resource; resource.setrlimit(resource.RLIMIT_AS, (900 << 20, 900 << 20))
import sys; from mindlong.cli.infer import command; sys.exit(command(sys.argv[1:]))"""
    more = ["frames=100000", "env.memory=ignore", "--dry_run"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words, *more], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0 and "100000 frames" in done.stdout, done.stderr[-500:]


def test_a_run_is_refused_before_it_starts_where_the_memory_is_too_small(
    capsys, monkeypatch, tmp_path
):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (7 << 30, 7 << 30))
    words = ["frames=256", "size=[256,256]", "sample.steps=1", f"output={tmp_path / 'out'}"]
    assert infer(words) == 2
    error = capsys.readouterr().err
    assert "ulimit -v" in error and "Lower frames, size or batch" in error
    assert not (tmp_path / "out").exists(), "nothing is made of a run that is refused"


def test_a_run_goes_on_with_its_clips_at_another_place(tmp_path, monkeypatch, capsys):
    """What a folder of clips holds is compared by the run, by content; another rate is refused."""
    monkeypatch.setattr(train_plan.saved_steps, "latest", lambda folder: tmp_path)
    given = [*TINY, f"run_dir={tmp_path}"]
    for folder in ("one", "two"):
        Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(
            _made(tmp_path / folder / "a") / "0.png"
        )
    config = load(given[1], [*given[2:], f"data.folder={tmp_path / 'one'}"], TrainConfig)
    (tmp_path / "config.yaml").write_text(config.text)
    words = [*given, f"data.folder={tmp_path / 'two'}"]
    assert said(capsys, train, *words)[0] == 0
    code, _, error = said(capsys, train, *words, "train.lr=0.5")
    assert code == 2 and "train.lr" in error


def _made(folder):
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize(
    ("processes", "rows"),
    [
        (1, ("up to 144 clips each", "0.0 MB from process 0", "0.22 GiB of features wait")),
        (8, ("up to 18 clips each", "10.6 MB from process 4, 24.8 MB to it")),
        (144, ("a clip each", "MB from process 72")),
    ],
)
def test_a_clip_parallel_run_of_2304_frames_is_planned(capsys, monkeypatch, processes, rows):
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", str(processes))
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "0")
    words = ["--config", str(ROOT / "configs/infer/clip_parallel.yaml"), "frames=2304"]
    code, out, err = said(capsys, infer, *words, "clips=144", "env.memory=ignore")
    assert code == 0, err
    for row in ("2304 frames 48x48 by exact: 144 clips of 16 frames", *rows):
        assert row in out


def test_a_run_of_a_thousand_prompts_is_planned(capsys, tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("".join(f"a red circle moving right, {i}\n" for i in range(1000)))
    code, out, err = said(capsys, infer, *LATENT, f"prompts=@{file}", f"output={tmp_path / 'out'}")
    assert code == 0, err
    assert "1000 videos of 16 frames 48x48, 250 batches" in out and "and 996 more" in out
    assert not (tmp_path / "out").exists()

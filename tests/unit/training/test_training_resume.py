"""Whatever ends a run, the same command again leaves what an undisturbed run would have left."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mindspore import Tensor
from training_toys import ToyTask, graph_mode, same_bits, toy_options, toy_trainer, weights  # noqa: F401

from mindlong.checkpoints import saved_steps, store
from mindlong.training import metrics, resume
from mindlong.training.run_dir import RunDir
from mindlong.training.signals import StopRequest
from mindlong.training.trainer import Trainer
from mindlong.utils.errors import ConfigError, InputFileError, UserError

HERE = Path(__file__).parents[1]
FILES = {"network", "ema", "optimizer"}
LONG = {
    "steps": 16,
    "save_every": 4,
    "log_every": 3,
    "schedule": "cosine",
    "warmup": 3,
    "ema_every": 2,
    "clip_norm": 1.0,
}


class Killed(BaseException):
    """A kill as the code under test meets it: nothing but `finally` runs."""


@pytest.fixture(autouse=True)
def no_plot(request, monkeypatch):
    """Drawing loss.png takes longer than training a toy; the metrics' own tests draw it."""
    if "plot" not in request.node.name:
        monkeypatch.setattr(metrics, "draw", lambda table, picture: None)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    toy_trainer(folder, **LONG).run()
    return folder


def assert_same_run(folder, expected):
    """Weights, averages, optimizer, counters and metrics of two finished runs are equal to the last
    bit.
    """
    got, want = (store.load(saved_steps.latest(f)) for f in (folder, expected))
    assert got.state == want.state and set(got.files) == set(want.files) == FILES
    for name in FILES:
        assert same_bits(got.files[name], want.files[name]), name
    assert untimed(folder) == untimed(expected)


def untimed(folder):
    return [
        {k: v for k, v in row.items() if k not in metrics.TIMING}
        for row in metrics.read(folder / "metrics.csv")
    ]


DRIVER = """
import os, signal, sys
sys.path.insert(0, {here!r})
import mindspore as ms
ms.set_device("CPU"); ms.set_context(mode=ms.GRAPH_MODE)
from mindlong.checkpoints import saved_steps, store
from training_toys import toy_trainer
saves = 0
def kill(event):
    global saves
    saves += event == "make folder"
    if saves == {save} and event == {event!r}:
        os.kill(os.getpid(), signal.SIGKILL)
store.write_hook = kill
toy_trainer({folder!r}, **{options!r}).run()
"""


@pytest.mark.parametrize(
    "save, event, left",
    [
        (3, "write optimizer.safetensors", 8),
        pytest.param(3, "drop step-00000004", 12, marks=pytest.mark.slow),
    ],
)
def test_a_run_killed_while_saving_goes_on_to_the_same_bits(
    tmp_path, undisturbed, save, event, left
):
    options = {**LONG, "keep": 2}
    code = DRIVER.format(
        here=str(HERE), folder=str(tmp_path), options=options, save=save, event=event
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert saved_steps.latest(tmp_path).name == f"step-{left:08d}"
    task = ToyTask()
    outcome = toy_trainer(tmp_path, task, **options).run()
    assert outcome.step == 16 and task.asked[0][0] == left  # went on, did not start afresh
    assert_same_run(tmp_path, undisturbed)


def test_a_kill_at_every_write_of_a_save_leaves_a_whole_checkpoint(tmp_path, monkeypatch):
    task = ToyTask()
    trainer = toy_trainer(tmp_path, task, keep=2)
    trainer._start()
    events = []
    monkeypatch.setattr(store, "write_hook", events.append)
    trainer._save(1)
    assert len(events) > 15 and len([e for e in events if e.startswith("write")]) > 8
    whole, last = weights(task.network), 1
    task.network.first.bias.set_data(Tensor(np.full(8, 7.0, np.float32)))
    for step, fatal in enumerate(range(len(events)), 2):
        met = []

        def kill(event, fatal=fatal, met=met):
            met.append(event)
            if len(met) == fatal + 1:
                raise Killed

        monkeypatch.setattr(store, "write_hook", kill)
        with pytest.raises(Killed):
            trainer._save(step)
        newest = store.load(saved_steps.latest(tmp_path))
        last = step if fatal > events.index("rename") else last
        assert newest.state["step"] == last
        assert (newest.files["network"]["first.bias"] == 7.0).all() == (last > 1)
        assert same_bits(
            {k: v for k, v in newest.files["network"].items() if k != "first.bias"},
            {k: v for k, v in whole.items() if k != "first.bias"},
        )


def test_a_full_disk_is_a_sentence_and_costs_nothing(tmp_path, undisturbed, monkeypatch):
    def full(event):
        if (
            event == "write ema.safetensors"
            and (tmp_path / "checkpoints" / "step-00000004").exists()
        ):
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(store, "write_hook", full)
        with pytest.raises(UserError, match="the disk is full.*untouched"):
            toy_trainer(tmp_path, **LONG).run()
    assert saved_steps.latest(tmp_path).name == "step-00000004"
    toy_trainer(tmp_path, **LONG).run()
    assert_same_run(tmp_path, undisturbed)


def test_a_flipped_byte_is_named_and_the_checkpoint_before_serves(tmp_path, undisturbed):
    toy_trainer(tmp_path, **{**LONG, "save_every": 5}).run()
    newest = saved_steps.latest(tmp_path)
    file = newest / "optimizer.safetensors"
    data = bytearray(file.read_bytes())
    data[-5] ^= 1
    file.write_bytes(data)
    with pytest.raises(
        InputFileError, match=r"optimizer.safetensors.*delete the folder .*step-00000016"
    ):
        toy_trainer(tmp_path, **LONG).run()
    for path in sorted(newest.iterdir()):
        path.unlink()
    newest.rmdir()
    assert toy_trainer(tmp_path, **LONG).run().step == 16
    assert_same_run(tmp_path, undisturbed)


def test_a_signal_saves_and_the_run_goes_on_to_the_same_bits(tmp_path, undisturbed):
    class Interrupted(ToyTask):
        def inputs(self, step, samples):
            if step == 7:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().inputs(step, samples)

    outcome = toy_trainer(tmp_path, Interrupted(), **LONG).run()
    assert outcome.stopped_by == "SIGTERM" and 5 <= outcome.step <= 9
    assert outcome.checkpoint == saved_steps.latest(tmp_path)
    toy_trainer(tmp_path, **LONG).run()
    assert_same_run(tmp_path, undisturbed)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_is_noted_and_the_handler_before_comes_back(number):
    before = signal.getsignal(number)
    with StopRequest() as stop:
        assert stop.name == ""
        os.kill(os.getpid(), number)
        assert stop.name == signal.Signals(number).name
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            signal.sigtimedwait([], 1)
    assert signal.getsignal(number) is before


def test_a_finished_run_is_left_alone_and_more_steps_go_on(tmp_path):
    toy_trainer(tmp_path, steps=4).run()
    task = ToyTask()
    outcome = toy_trainer(tmp_path, task, steps=4).run()
    assert (
        outcome.step == 4
        and outcome.checkpoint == saved_steps.latest(tmp_path)
        and task.asked == []
    )
    toy_trainer(tmp_path, steps=6).run()
    toy_trainer(tmp_path / "once", steps=6).run()
    assert_same_run(tmp_path, tmp_path / "once")


CONFIG = "model: {dim: 8, dim_mults: [1, 2]}\ntrain: {lr: 0.1, steps: 4, log_every: 1}\n"


def test_a_foreign_configuration_is_refused_with_the_fields(tmp_path):
    toy_trainer(tmp_path, steps=4, config_text=CONFIG).run()
    assert (tmp_path / "config.yaml").read_text() == CONFIG
    other = CONFIG.replace("dim: 8", "dim: 16").replace("0.1", "0.2")
    with pytest.raises(ConfigError) as caught:
        toy_trainer(tmp_path, steps=4, config_text=other).run()
    assert all(
        w in str(caught.value)
        for w in ("model.dim (saved 8, now 16)", "train.lr (saved 0.1, now 0.2)")
    )
    assert "dim_mults" not in str(caught.value) and (tmp_path / "config.yaml").read_text() == CONFIG
    longer = CONFIG.replace("steps: 4", "steps: 6")
    assert toy_trainer(tmp_path, steps=6, config_text=longer).run().step == 6
    assert (tmp_path / "config.yaml").read_text() == longer


def test_what_differs_may_be_allowed_on_purpose_and_is_noted(tmp_path):
    toy_trainer(tmp_path, steps=4, config_text=CONFIG).run()
    other = CONFIG.replace("lr: 0.1", "lr: 0.2").replace("steps: 4", "steps: 6")
    with pytest.raises(ConfigError, match=r"add resume.allow=\[train.lr\].*another run_dir"):
        toy_trainer(tmp_path, steps=6, config_text=other).run()
    allowed = other + "resume: {allow: [train.lr]}\n"
    assert toy_trainer(tmp_path, steps=6, config_text=allowed).run().step == 6
    last = [json.loads(x) for x in (tmp_path / "history.jsonl").read_text().splitlines()][-1]
    assert last["step"] == 4 and any("train.lr: 0.1 before, now 0.2" in c for c in last["changed"])
    with pytest.raises(ConfigError, match=r"resume.allow names 'train.lrr'.*'train.lr'"):
        toy_trainer(tmp_path, config_text=other + "resume: {allow: [train.lrr]}\n").run()


@pytest.mark.parametrize("allow", ["", "resume: {allow: [latents.vae]}\n"])
def test_files_are_known_by_their_content_wherever_they_lie(tmp_path, allow, caplog):
    caplog.set_level("INFO")

    def run(sha, path, steps, more=""):
        text = CONFIG.replace("steps: 4", f"steps: {steps}") + f"latents: {{vae: {path}}}\n" + more
        known = {"latents.vae": {"path": path, "bytes": 3, "modified": 1.0, "sha256": sha}}
        task, options = ToyTask(), toy_options(steps=steps)
        return Trainer(task, options, tmp_path, config_text=text, inputs=known).run().step

    assert run("a", "here", 2) == 2 and run("a", "there", 4) == 4
    assert "latents.vae: the same content, at another place" in caplog.text
    if allow:
        assert run("b", "there", 6, allow) == 6
        return
    with pytest.raises(ConfigError, match=r"the content of latents.vae \(there\).*resume.allow"):
        run("b", "there", 6)


def test_one_trainer_at_a_time(tmp_path):
    with RunDir(tmp_path), pytest.raises(UserError, match="is trained in by process"):
        toy_trainer(tmp_path).run()
    assert toy_trainer(tmp_path).run().step == 12


def test_files_that_no_training_wrote_are_not_written_over(tmp_path):
    for name in ("config.yaml", "metrics.csv", "loss.png", "run.json"):
        folder = tmp_path / name.split(".")[0]
        folder.mkdir()
        (folder / name).write_text("mine: 1\n")
        with pytest.raises(ConfigError, match=rf"holds {name}, which no training wrote"):
            toy_trainer(folder, config_text=CONFIG).run()
        assert [p.read_text() for p in folder.iterdir()] == ["mine: 1\n"]
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "config.yaml").write_text("train: {lr: 5}  # by hand\n")
    toy_trainer(folder, steps=1, config_text=CONFIG).run()
    assert (folder / "config.before-1.yaml").read_text() == "train: {lr: 5}  # by hand\n"


def test_a_training_that_made_nothing_leaves_nothing(tmp_path):
    with pytest.raises(InputFileError):
        toy_trainer(tmp_path / "a/b", Refuses()).run()
    assert list(tmp_path.iterdir()) == []


class Refuses(ToyTask):
    def inputs(self, step, samples):
        raise InputFileError("a caption is too long")


def test_what_was_there_before_a_training_that_made_nothing_stays(tmp_path):
    (tmp_path / "notes").mkdir()
    mine = ("config.yaml", "log.txt", "work.json", "notes/run.json")
    for name in mine:
        (tmp_path / name).write_text("train: {lr: 5}\n")
    for _ in range(2):
        with pytest.raises(InputFileError):
            toy_trainer(tmp_path, Refuses()).run()
        found = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
        assert found == sorted(mine)
        assert all((tmp_path / name).read_text() == "train: {lr: 5}\n" for name in mine)


def test_a_training_whose_folder_is_another_ones_now_ends_and_leaves_it_alone(tmp_path):
    """A lock on a file that was removed keeps nobody out of a folder of the same name."""
    run, seen = tmp_path / "run", {}

    class Meddled(ToyTask):
        def inputs(self, step, samples):
            if step == 5 and not seen:
                shutil.rmtree(run)
                assert toy_trainer(run, steps=6, lr=0.5).run().step == 6
                seen.update({p: p.read_bytes() for p in run.rglob("*") if p.is_file()})
            return super().inputs(step, samples)

    with pytest.raises(UserError, match="was removed, or moved away, while it was trained in"):
        toy_trainer(run, Meddled(), log_every=1, save_every=8, preview_every=7).run()
    assert seen and {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == seen


def test_a_training_whose_folder_is_gone_ends_with_a_sentence(tmp_path):
    class Swept(ToyTask):
        def inputs(self, step, samples):
            if step == 3:
                shutil.rmtree(tmp_path / "run", ignore_errors=True)
            return super().inputs(step, samples)

    with pytest.raises(UserError, match="was removed, or moved away"):
        toy_trainer(tmp_path / "run", Swept(), steps=6).run()
    assert not (tmp_path / "run").exists()


def test_a_training_whose_lock_alone_was_removed_goes_on_and_has_it_again(tmp_path):
    class Tidied(ToyTask):
        def inputs(self, step, samples):
            if step == 3:
                (tmp_path / ".lock").unlink()
            if step == 8:
                with pytest.raises(UserError, match="is trained in by process"):
                    RunDir(tmp_path).__enter__()
            return super().inputs(step, samples)

    assert toy_trainer(tmp_path, Tidied(), log_every=1, save_every=4).run().step == 12


def test_half_precision_may_come_and_go(tmp_path):
    for precision, scale in (("fp32", 1.0), ("fp16", 65536.0), ("fp32", 1.0)):
        stepper = toy_trainer(tmp_path, precision=precision).stepper
        stepper.restore(
            {"updates": 3, "skipped": 0, "clean": 3, "scale": 128.0, "scaled": scale == 1}
        )
        assert stepper.scale == scale


def test_averages_that_begin_later_begin_as_the_weights(tmp_path):
    toy_trainer(tmp_path, steps=4, ema_decay=0.0).run()
    trainer = toy_trainer(tmp_path, steps=4)
    resume.restore(saved_steps.latest(tmp_path), trainer.task.network, trainer.stepper, trainer.ema)
    assert same_bits(trainer.ema.state(), weights(trainer.task.network))


def test_retention_goes_on_past_what_it_cannot_remove(tmp_path, caplog):
    for step in (1, 2, 3):
        store.save(tmp_path, step, {"network": {"a": np.ones(2, np.float32)}}, {"step": step})
    (tmp_path / "checkpoints/step-00000001/notes.txt").touch()
    (tmp_path / "checkpoints/step-00000002.old.tmp").mkdir()
    (tmp_path / "checkpoints/step-mine.tmp").mkdir()
    for step in (4, 5, 6):
        store.save(
            tmp_path, step, {"network": {"a": np.ones(2, np.float32)}}, {"step": step}, keep=2
        )
    left = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert left == ["step-00000001", "step-00000005", "step-00000006", "step-mine.tmp"]
    assert "holds notes.txt, which no save wrote" in caplog.text


def test_a_checkpoint_brings_the_plot_up_to_date(tmp_path):
    toy_trainer(tmp_path, steps=2).run()
    assert (tmp_path / "loss.png").stat().st_size > 1000


def test_a_run_that_saved_nothing_may_change_its_configuration(tmp_path):
    (tmp_path / "config.yaml").write_text("train: {lr: 5}\n")
    assert toy_trainer(tmp_path, steps=1, config_text=CONFIG).run().step == 1


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    toy_trainer(tmp_path, steps=1).run()
    trainer = toy_trainer(tmp_path, steps=2)
    files, state = store.load(saved_steps.latest(tmp_path))
    files["optimizer"] = {
        k: v for k, v in files["optimizer"].items() if k not in ("m.last.bias", "v.first.bias")
    }
    store.save(tmp_path, 1, files, state)
    with pytest.raises(
        InputFileError, match="optimizer does not fit this network in 2 arrays, first 'm.last.bias'"
    ):
        resume.restore(
            saved_steps.latest(tmp_path), trainer.task.network, trainer.stepper, trainer.ema
        )


class Exploding(ToyTask):
    def inputs(self, step, samples):
        x, y = super().inputs(step, samples)
        return x, y * (np.float32("inf") if step == 5 else 1)


def test_a_loss_that_is_not_finite_stops_with_step_checkpoint_and_advice(tmp_path):
    with pytest.raises(UserError) as caught:
        toy_trainer(tmp_path, Exploding()).run()
    for words in ("not finite at step 6", "step-00000004", "smaller train.lr", "train.clip_norm=1"):
        assert words in str(caught.value)
    assert saved_steps.latest(tmp_path).name == "step-00000004"


@pytest.mark.parametrize(
    ("most", "words"),
    [
        (
            5,
            "5 steps in a row, up to step 5, were skipped .* last good checkpoint is .*step-00000004",
        ),
        (30, "nothing was learnt: all 12 steps were skipped"),
    ],
)
def test_a_training_that_only_skips_ends_with_a_sentence(tmp_path, most, words):
    trainer = toy_trainer(tmp_path, precision="fp16", loss_scale=1e30, max_skipped=most)
    with pytest.raises(UserError, match=words):
        trainer.run()


def test_a_loss_scale_that_comes_down_in_time_trains_on(tmp_path):
    trainer = toy_trainer(tmp_path, precision="fp16", loss_scale=2.0**24, max_skipped=11)
    assert trainer.run().step == 12
    assert 0 < trainer.stepper.skipped < 11 and trainer.stepper.in_a_row == 0


def test_processes_with_different_starts_are_refused(tmp_path):
    class Two:
        rank, size = 0, 2

        def __init__(self, other_config, other_checkpoint):
            self.answers = [other_config, other_checkpoint]

        def all_gather_text(self, text):
            return [text, self.answers.pop(0) or text]

    with pytest.raises(
        ConfigError,
        match=r"different configurations: train.lr \(0.1 on process 0, 0.3 on process 1\)",
    ):
        resume.check_same_start(Two(CONFIG.replace("0.1", "0.3"), None), CONFIG, None)
    with pytest.raises(
        ConfigError, match="different checkpoints.*no checkpoint, step-00000004.*share run_dir"
    ):
        resume.check_same_start(Two(None, "step-00000004"), CONFIG, None)
    resume.check_same_start(Two(None, None), CONFIG, None)


def test_the_opening_lines_say_what_is_trained(tmp_path):
    lines = Trainer(ToyTask(), toy_options(freeze=["last.*"]), tmp_path).describe()
    assert lines[0] == "parameters: 256 trainable, 18 frozen" and "a toy" in lines
    assert lines[-1].startswith(
        "training: 12 steps of 6 samples on 1 process(es), adam, lr 0.01 constant, fp32"
    )

"""The training loop. Its only clock is the step: every batch, rate and interval is a function of
it.
"""

from __future__ import annotations

import contextlib
import json
import math
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from mindspore import Parameter
from tqdm import tqdm

from mindlong.checkpoints import saved_steps, store
from mindlong.ops import device
from mindlong.parallel.comm import Comm, SerialComm, all_ok
from mindlong.training import metrics, resume, shards
from mindlong.training.board import Board, check_installed
from mindlong.training.ema import Ema, Swap
from mindlong.training.fetch import Batches
from mindlong.training.lora import Adapters
from mindlong.training.offload import HostEma
from mindlong.training.prepare import prepare
from mindlong.training.preview import preview
from mindlong.training.profile import Profile
from mindlong.training.reduce import SumAlone, SumOverRanks
from mindlong.training.run_dir import RunDir
from mindlong.training.signals import StopRequest
from mindlong.training.step import Stepper, Update
from mindlong.training.task import Task, select
from mindlong.utils import interrupts
from mindlong.utils.errors import ConfigError, UserError
from mindlong.utils.log import get_logger
from mindlong.utils.progress import announced, bar

if TYPE_CHECKING:
    from mindlong.checkpoints.inputs import Known
    from mindlong.config.train_options import TrainOptions


@dataclass(frozen=True)
class Outcome:
    """How a training ended: the last step, its newest checkpoint, and the signal that stopped it
    early (or ''), with its number on whichever process it came to (or 0).
    """

    step: int
    checkpoint: Path
    stopped_by: str = ""
    signal: int = 0


def _adapters(task: Task, options: TrainOptions) -> Adapters:
    """The LoRAs of a training, put into its network. Raises ConfigError."""
    if not hasattr(task, "lora_parts"):
        raise ConfigError("train.lora.rank is given; this task has no network that takes a LoRA")
    usual = task.lora_targets() if hasattr(task, "lora_targets") else ()
    return Adapters(task.network, task.lora_parts(), options.lora, usual, options.seed)


def _averages(
    weights: Sequence[Parameter], options: TrainOptions, kept: Sequence[Parameter] | None
) -> Ema:
    """The averages of a training, on the device or in host memory. Raises ConfigError.

    A CPU's own memory is the host's: the same bits without a graph, whose compiling is a sixth of
    the start of a small training.
    """
    if options.offload != "all" and (kept is not None or device.chip() != "cpu"):
        return Ema(weights, options, kept)
    if kept is not None:
        raise ConfigError(
            "train.offload is all; this task computes with its averages, which have to stay on the "
            "device: take train.offload=moments"
        )
    return HostEma(weights, options)


class Trainer:
    """Trains `task` in `run_dir`; the same call again goes on from the newest checkpoint.

    Args:
        task: see `mindlong.training.task.Task`.
        options: the `train` section.
        run_dir: gets config.yaml, metrics.csv, loss.png, previews/ and the checkpoints.
        comm: the processes that share every batch.
        config_text: the resolved configuration; saved, and compared with the one of the run that is
            already there.
        inputs: the files that the training starts from, by their content; saved and compared too.
        place: the folder, claimed already; without, `run` claims it.

    Raises:
        ConfigError: nothing to train, more processes than samples, or a run folder with another
            configuration.
    """

    def __init__(
        self,
        task: Task,
        options: TrainOptions,
        run_dir: str | Path,
        comm: Comm | None = None,
        config_text: str = "",
        inputs: Known | None = None,
        place: RunDir | None = None,
    ) -> None:
        self.task, self.options, self.run_dir = task, options, Path(run_dir)
        self.comm = comm or SerialComm()
        problem = options.problem_of(self.comm.size)
        if problem:
            raise ConfigError(problem)
        self.inputs, self.claimed = inputs or {}, place is not None
        self.place = place or RunDir(self.run_dir, self.comm)
        self.config_text, self.first = config_text, self.comm.rank == 0
        self.lora = _adapters(task, options) if options.lora.wanted else None
        self.selection = select(task.network, options)
        self.kept = self.lora.parameters() if self.lora else list(task.network.get_parameters())
        prepare(task.network, options)
        trainable = self.selection.trainable
        sizes, several = [p.size for p in trainable], self.comm.size > 1
        sharded = several and options.shard != "none"
        reduce = SumOverRanks(sizes, ordered=sharded) if several else None
        self.shares = shards.deal(sizes, self.comm.size, self.comm.rank) if sharded else None
        self.stepper = Stepper(task.loss, trainable, options, reduce, self.shares)
        kept = task.averaged(trainable) if hasattr(task, "averaged") else None
        # averages that a task computes with are whole everywhere
        self.spread = self.shares if kept is None else None
        averaged = [trainable[i] for i in self.spread.mine] if self.spread else trainable
        self.ema = _averages(averaged, options, kept) if options.ema_decay > 0 else None
        self.metrics: metrics.Metrics | None = None
        self.board: Board | None = None
        if options.tensorboard:
            check_installed()
        self.profile = self._profile(sizes)
        self.checkpoint: Path | None = None

    def run(self) -> Outcome:
        """Train up to `options.steps` or until a signal asks to stop; either way everything is
        saved.

        Raises:
            UserError: another trainer is at work in the folder, the loss is no longer finite, or
                another process failed.
        """
        with contextlib.nullcontext() if self.claimed else self.place:
            return self._run()

    def _run(self) -> Outcome:
        start = self._start()
        if start >= self.options.steps:
            get_logger().info(
                "nothing to do: %s is trained to step %d of %d",
                self.run_dir,
                start,
                self.options.steps,
            )
            return Outcome(start, self.checkpoint)
        size, rank = self.comm.size, self.comm.rank
        with (
            StopRequest() as stop,
            Batches(
                self.task, start, self.options.steps, self.options.batch_size, rank, size
            ) as batches,
            bar(self.options.steps, "training", rank=rank, initial=start) as progress,
            contextlib.closing(self.board) if self.board else contextlib.nullcontext(),
        ):
            return self._loop(start, stop, batches, progress)

    def _profile(self, sizes: Sequence[int]) -> Profile:
        o, several = self.options, self.comm.size > 1
        alone = None
        if several and o.profile_steps:
            alone = SumAlone(sizes, self.shares is not None, self.stepper.publish)
        every = {
            "saving": min(o.save_every, o.steps),
            "preview": min(o.preview_every, o.steps) or 1,
        }
        return Profile(o.profile_steps, self.run_dir, every, alone, self.first)

    def describe(self) -> list[str]:
        """Lines for the opening of a run: parameters by group, the task, the length."""
        o = self.options
        averages = f", averages with decay {o.ema_decay:g}" if self.ema else ""
        return [
            *self.selection.describe(),
            *(self.lora.describe() if self.lora else ()),
            *self.task.describe(),
            f"training: {o.steps} steps of {o.batch_size} samples on {self.comm.size} process(es), {o.optimizer}, "
            f"lr {o.lr:g} {o.schedule}, {o.precision}{averages}",
        ]

    def _start(self) -> int:
        """Load the folder's newest checkpoint and note what goes on; returns the steps already
        done.
        """
        newest = saved_steps.latest(self.run_dir)
        text = self.config_text or json.dumps(asdict(self.options))
        resume.check_same_start(self.comm, text, newest)
        changed = self._by_first(
            lambda: resume.changes(self.place, self.config_text, self.inputs, newest),
            "comparing the configuration with that of the run",
        )
        for line in changed or ():
            get_logger().info("changed since the last start: %s", line)
        self.checkpoint, state = newest, {"step": 0, "sums": None}
        if newest is not None:
            trained = self.selection.trainable
            state = resume.restore(newest, self.kept, self.stepper, self.ema, trained)
            get_logger().info("going on from %s", newest)
        self._by_first(
            lambda: self._begin(state, changed or []), "writing to the folder of the run"
        )
        return state["step"]

    def _begin(self, state: dict[str, Any], changed: list[str]) -> None:
        step = state["step"]
        self.place.begin(self.config_text, self.inputs, step, changed, self.comm.size)
        path, every = self.run_dir / metrics.FILE, self.options.log_every
        self.board = Board(self.run_dir, step) if self.options.tensorboard else None
        shown = self.board.row if self.board else None
        self.metrics = metrics.Metrics(path, every, step, state["sums"], shown, self.place.check)

    def _by_first(self, work: Callable[[], Any], what: str) -> Any:
        """What `work` returns on the first process, None on the others; they fail together."""
        made, error = None, None
        if self.first:
            try:
                made = work()
            except (OSError, UserError) as caught:
                error = caught
        all_ok(self.comm, error, what)
        return made

    def _loop(self, start: int, stop: StopRequest, batches: Batches, progress: tqdm) -> Outcome:
        for step in range(start + 1, self.options.steps + 1):
            update, seconds, waited = self._step(step, batches, stop, announce=step == start + 1)
            self._check(step, update)
            if self.ema:
                self.ema.update(step)
            self._record(step, update, seconds, waited, progress)
            self.profile.ended()
            stopped = update.stop or (
                self.comm.size == 1 and bool(stop.name)
            )  # several must agree: one step later
            last = stopped or step == self.options.steps
            if last or step % self.options.save_every == 0:
                with self.profile.apart("saving"):
                    self._save(step)
            every = self.options.preview_every
            if every and not stopped and (step % every == 0 or last):
                with self.profile.apart("preview"):
                    self._preview(step)
            if last:
                return self._end(step, stop if stopped else None)
        raise AssertionError("the loop returns at its last step")

    def _step(
        self, step: int, batches: Batches, stop: StopRequest, announce: bool
    ) -> tuple[Update, float, float]:
        start = time.monotonic()
        arrays, waited = batches.next()
        if announce:
            with announced("compiling the graph (first step)"):
                update = self.stepper(step - 1, arrays, bool(stop.name))
            self.profile.compiled(time.monotonic() - start - waited)
        else:
            update = self.stepper(step - 1, arrays, bool(stop.name))
            self.profile.step(time.monotonic() - start, waited)
        return update, time.monotonic() - start, waited

    def _check(self, step: int, update: Update) -> None:
        self._check_finite(step, update)
        if self.stepper.in_a_row >= self.options.max_skipped:
            raise UserError(
                f"{self.stepper.in_a_row} steps in a row, up to step {step}, were skipped because their gradients "
                f"overflowed: the loss scale is still {self.stepper.scale:g}; {self._kept()}. Start with a smaller "
                "train.loss_scale, or train with train.precision=fp32"
            )

    def _kept(self) -> str:
        if self.checkpoint:
            return f"the last good checkpoint is {self.checkpoint}"
        return "there is no checkpoint yet"

    def _check_finite(self, step: int, update: Update) -> None:
        if math.isfinite(update.loss) and (
            math.isfinite(update.norm) or (update.skipped and self.stepper.scale > 1)
        ):
            return
        what = "loss" if not math.isfinite(update.loss) else "gradient norm"
        numbers = f"loss {update.loss:g}, gradient norm {update.norm:g}"
        raise UserError(
            f"the {what} is not finite at step {step} ({numbers}); {self._kept()}. Try a smaller train.lr, "
            "a longer train.warmup, train.clip_norm=1 or train.precision=fp32, in another run_dir"
        )

    def _record(
        self, step: int, update: Update, seconds: float, waited: float, progress: tqdm
    ) -> None:
        if not self.first:
            return
        self.metrics.add(step, update.loss, update.norm, update.skipped)
        self.metrics.time(seconds, waited, self.options.batch_size)
        self.metrics.row(step, update.lr, self.stepper.skipped)
        progress.set_postfix(loss=f"{update.loss:.4f}", refresh=False)
        progress.update()

    def _preview(self, step: int) -> None:
        averages = self.ema
        if self.spread is not None and self.ema:
            whole, trained = self._averages(), self.selection.trainable
            averages = Swap(trained, lambda: [whole[p.name] for p in trained])
        if self.first and self.place.held:
            files = preview(self.task, averages, step, self.run_dir)
            if self.board:
                self.board.previews(step, files)

    def _averages(self) -> dict[str, np.ndarray] | None:
        """The averages by name; of a sharded training all of them on process 0, and it is called by
        all.
        """
        if self.ema is None or self.spread is None:
            return self.ema.state() if self.ema else None
        return shards.gathered(self.ema.state(), self.selection.trainable, self.spread, self.comm)

    def _save(self, step: int) -> None:
        what, averages = f"saving the checkpoint of step {step}", self._averages()
        moments = resume.moments_to_save(self.stepper, self.comm.rank, self.comm.size)
        if self.shares is None:
            self._by_first(lambda: self._write(step, averages, moments), what)
            return
        self._by_first(lambda: store.open_shared(self.run_dir, step), what)
        error, rows = None, {}
        try:
            rows = store.write_part(self.run_dir, step, moments)
        except (OSError, UserError) as caught:
            error = caught
        all_ok(self.comm, error, what)
        told = [json.loads(text) for text in self.comm.all_gather_text(json.dumps(rows))]
        parts = {name: row for part in told for name, row in part.items()}
        self._by_first(lambda: self._write(step, averages, {}, parts), what)

    def _write(
        self,
        step: int,
        averages: Mapping[str, np.ndarray] | None,
        moments: Mapping[str, store.Arrays],
        parts: Mapping[str, dict[str, Any]] | None = None,
    ) -> None:
        """By the first process. `parts`: rows of the manifest of what all have written already."""
        self.metrics.flush()
        state = {
            "step": step,
            "stepper": self.stepper.state(),
            "sums": self.metrics.state(),
            "seed": self.options.seed,
            "world_size": self.comm.size,
        }
        files = {**resume.networks_to_save(self.kept, averages), **moments}
        about: dict[str, dict[str, str]] = {}
        if self.lora:
            values = files[resume.EMA if self.ema else resume.NETWORK]
            for name, (arrays, metadata) in self.lora.files(values).items():
                files[name], about[name] = arrays, metadata
        elif hasattr(self.task, "extra_files"):
            files |= self.task.extra_files()
        keep = self.options.keep
        self.checkpoint = store.save(self.run_dir, step, files, state, keep, about, parts)
        metrics.draw(self.metrics.path, self.run_dir / "loss.png")

    def _end(self, step: int, stop: StopRequest | None) -> Outcome:
        if stop is None:
            if not self.stepper.updates:
                raise UserError(
                    f"nothing was learnt: all {self.stepper.skipped} steps were skipped because their gradients overflowed. "
                    "Start with a smaller train.loss_scale, or train with train.precision=fp32, in another run_dir"
                )
            get_logger().info(
                "trained to step %d; the newest checkpoint is %s", step, self.checkpoint
            )
            return Outcome(step, self.checkpoint)
        numbers = [int(text) for text in self.comm.all_gather_text(str(stop.number))]
        number = stop.number or next((n for n in numbers if n), signal.SIGTERM)
        get_logger().info(
            "stopped by %s after step %d of %d; all is saved, the same command goes on from there",
            interrupts.name_of(number) if stop.number else "another process",
            step,
            self.options.steps,
        )
        return Outcome(step, self.checkpoint, stop.name or "another process", number)

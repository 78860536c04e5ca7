"""What every rank of the two-process tests runs: `python ranks.py CASE FOLDER`."""

import json
import os
import sys
from functools import partial
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "unit"), str(Path(__file__).parents[2])]

from mindlong.parallel import launch, watch  # noqa: E402

launch.join()

import mindspore as ms  # noqa: E402

ms.set_device("CPU")
ms.set_context(mode=ms.GRAPH_MODE)
COMM = launch.connect()

import numpy as np  # noqa: E402
from mindspore import Tensor  # noqa: E402
from training_toys import ToyTask, toy_options, weights  # noqa: E402

from mindlong.training import shards  # noqa: E402
from mindlong.training import trainer as trainer_module  # noqa: E402
from mindlong.training.gradient_shards import Scatter  # noqa: E402
from mindlong.training.reduce import SumOverRanks  # noqa: E402
from mindlong.training.step import Apply, Stepper  # noqa: E402
from mindlong.utils.errors import UserError  # noqa: E402

CONFIG = "train: {lr: 0.01, steps: 12}\n"


def train(folder, task=None, config_text=CONFIG, **options):
    task = task or ToyTask()
    trainer = trainer_module.Trainer(task, toy_options(**options), folder, COMM, config_text)
    return task, trainer, trainer.run()


def equal(folder: Path) -> None:
    """A whole run, the gradient in three messages, an odd batch, accumulation, clipping and
    averages.
    """
    trainer_module.SumOverRanks = partial(SumOverRanks, limit=100)
    options = {"batch_size": 7, "accumulate": 2, "clip_norm": 0.5, "save_every": 6}
    task, trainer, _ = train(folder / "run", **options)
    assert len(trainer.stepper.apply.reduce.runs) >= 3
    moments = {f"optimizer/{k}": v for k, v in trainer.stepper.adam.state().items()}
    averages = {f"ema/{k}": v for k, v in trainer.ema.state().items()}
    np.savez(
        folder / f"rank{COMM.rank}.npz",
        **weights(task.network),
        **moments,
        **averages,
        samples=np.array([i for _, numbers in task.asked for i in numbers]),
    )
    report(folder, "gathered", COMM.all_gather_text(f"rank {COMM.rank} says ü" * (1 + COMM.rank)))


def sharded(folder: Path) -> None:
    """The run of `equal` with AdamW, by which each keeps all moments and by which only a share."""
    tasks = {}
    for name, shard in (("whole", "none"), ("parts", "optimizer")):
        task, trainer, _ = train(folder / name, shard=shard, preview_every=6, **in_shares())
        tasks[name] = task
        facts = {"moments": len(trainer.stepper.adam.m), "averages": len(trainer.ema.averages)}
        report(folder, f"kept_{name}", facts)
    keep(folder, tasks)
    seen = {name: {str(k): v.tolist() for k, v in t.previewed.items()} for name, t in tasks.items()}
    report(folder, "previewed", seen)


def exchanged(folder: Path) -> None:
    """Each run of `sharded` goes on from its checkpoint in the other's way."""
    tasks = {}
    for name, shard in (("whole", "optimizer"), ("parts", "none")):
        task, _, _ = train(folder / name, shard=shard, **in_shares() | {"steps": 15})
        tasks[f"{name} then {shard}"] = task
    keep(folder, tasks)


def in_shares() -> dict[str, object]:
    """Options of the sharded runs, with messages so small that there are several."""
    trainer_module.SumOverRanks = partial(SumOverRanks, limit=100)
    shards.Publish.__init__.__defaults__ = shards.gathered.__defaults__ = (60,)
    options = {"batch_size": 7, "accumulate": 2, "clip_norm": 0.5, "save_every": 6}
    return options | {"optimizer": "adamw", "weight_decay": 0.1, "no_decay": ["*.bias"]}


def keep(folder: Path, tasks: dict[str, ToyTask]) -> None:
    """The weights that runs ended with."""
    for name, task in tasks.items():
        np.savez(folder / f"{name}{COMM.rank}.npz", **weights(task.network))


class PartWise(Stepper):
    """Keeps all gradients, and sums each part over the processes: the order of shard=gradients."""

    def _run(self, parts, numbers):
        everything = shards.Shares((0,) * len(self.adam.parameters), 0)
        scatter, total = Scatter(self.apply.reduce, everything), None
        whole = Apply(self.adam, self.options.clip_norm, False, None)
        for part in parts:
            weight = Tensor(np.float32(len(part[0]) / self.options.batch_size))
            loss, gradients = self.gradients(weight, *map(Tensor, part))
            _, sums = scatter(Tensor(np.zeros(2, np.float32)), list(gradients))
            total = sums if total is None else self.add(*total, *sums)
        return whole(loss, *numbers, *total)


def scattered(folder: Path) -> None:
    """Each keeps all gradients or those of its share; moments on the device or in host memory; and
    each goes on from the other's checkpoint.
    """
    folder = folder / "scattered"
    folder.mkdir(exist_ok=True)
    options = in_shares() | {"accumulate": 1, "save_every": 3, "steps": 6}
    ways = {
        "whole": {},
        "share": {"shard": "gradients"},
        "share, host": {"shard": "gradients", "offload": "all"},
        "parts, whole": {"accumulate": 2},
        "parts, share": {"accumulate": 2, "shard": "gradients"},
    }
    tasks = {}
    for name, more in ways.items():
        trainer_module.Stepper = PartWise if name == "parts, whole" else Stepper
        tasks[name], trainer, outcome = train(folder / name, **options | more)
        scatter = getattr(trainer.stepper, "scatter", None)
        own = sum(map(len, scatter.own)) if scatter else len(trainer.stepper.adam.m)
        report(folder, f"scattered_{name}", [own, metrics_of(folder / name)])
    ways = {"whole": {"shard": "gradients", "offload": "moments"}, "share, host": {}}
    for name, more in ways.items():
        tasks[f"{name}, on"], _, _ = train(folder / name, **options | more | {"steps": 9})
    keep(folder, tasks)


def metrics_of(folder: Path) -> list[str]:
    """Losses and norms of a run, without its times."""
    lines = (folder / "metrics.csv").read_text().splitlines() if COMM.rank == 0 else []
    return [",".join(line.split(",")[:3]) for line in lines]


def unsaved_part(folder: Path) -> None:
    """Rank 1 cannot write its share of the moments."""
    from mindlong.checkpoints import store

    def full(event):
        if COMM.rank == 1:
            raise OSError(28, "No space left on device")

    store.write_hook = full
    try:
        train(folder / "unsaved_part", steps=2, shard="optimizer")
    except UserError as error:
        report(folder, "unsaved_part", str(error))
    store.write_hook = lambda event: None


def stop(folder: Path) -> None:
    """Only rank 1 is asked to stop; both stop after the same step."""

    class Asked(ToyTask):
        def inputs(self, step, samples):
            if step == 5 and COMM.rank == 1:
                os.kill(os.getpid(), 10)  # SIGUSR1
            return super().inputs(step, samples)

    _, _, outcome = train(folder / "stop", Asked(), steps=5000, save_every=5000)
    report(folder, "stopped", [outcome.step, outcome.stopped_by])


def foreign(folder: Path) -> None:
    """Rank 1 has another configuration."""
    try:
        train(
            folder / "foreign", config_text=CONFIG.replace("0.01", "0.02") if COMM.rank else CONFIG
        )
    except UserError as error:
        report(folder, "foreign", str(error))


def unsaved(folder: Path) -> None:
    """Rank 0 cannot save."""
    from mindlong.checkpoints import store

    def full(event):
        raise OSError(28, "No space left on device")

    store.write_hook = full
    try:
        train(folder / "unsaved", steps=2)
    except UserError as error:
        report(folder, "unsaved", str(error))
    store.write_hook = lambda event: None


def endless(folder: Path) -> None:
    """Trains until it is killed; says who it is once it is under way."""

    class Watched(ToyTask):
        def inputs(self, step, samples):
            if step == 20:
                (folder / f"pid{COMM.rank}").write_text(
                    f"{os.getpid()} {os.environ['MS_SCHED_PORT']}"
                )
            return super().inputs(step, samples)

    train(folder / "endless", Watched(), steps=10**7, save_every=10**7)


def report(folder: Path, name: str, value: object) -> None:
    (folder / f"{name}{COMM.rank}.json").write_text(json.dumps(value))


EAGER = ("stop", "unsaved", "unsaved_part", "endless")  # a few steps: quicker than compiled

if __name__ == "__main__":
    for case in sys.argv[1].split(","):
        ms.set_context(mode=ms.PYNATIVE_MODE if case in EAGER else ms.GRAPH_MODE)
        globals()[case](Path(sys.argv[2]))
    watch.done(0)

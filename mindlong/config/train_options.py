"""The `train` section of a configuration: the optimisation, the checkpoints and the running of a
training.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mindlong.config.lora_options import LoraOptions
from mindlong.config.option import option, section

PRECISIONS = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


@dataclass
class TrainOptions:
    """How a network is trained. One `step` is one update of the weights; every interval is counted
    in steps.
    """

    start: str = option(
        "",
        "weights to start from, of the trained network or one that it can start from: a file (also an "
        "original's), a run, a folder or shipped:NAME; a run that goes on from its own checkpoint ignores it",
    )
    steps: int = option(1000, "updates of the weights", minimum=1)
    batch_size: int = option(
        8, "samples of one update, over all processes and accumulated parts together", minimum=1
    )
    accumulate: int = option(
        1, "parts into which a process cuts its share of the batch, for less memory", minimum=1
    )
    lr: float = option(1e-4, "learning rate after warm-up", minimum=0)
    warmup: int = option(0, "steps over which the learning rate rises from 0", minimum=0)
    schedule: str = option(
        "constant", "learning rate after warm-up", choices=("constant", "cosine", "linear")
    )
    lr_end: float = option(
        0.0,
        "cosine, linear: learning rate at the last step, as a share of lr",
        minimum=0,
        when="schedule=cosine|linear",
    )
    optimizer: str = option(
        "adam",
        "adam: weight decay joins the gradient; adamw: it shrinks the weight itself",
        choices=("adam", "adamw"),
    )
    betas: list[float] = option([0.9, 0.999], "decay of the two moment estimates", minimum=0)
    eps: float = option(1e-8, "added to the root of the second moment", minimum=0)
    weight_decay: float = option(0.0, "weight decay", minimum=0)
    no_decay: list[str] = option(
        [],
        "names of parameters without weight decay (shell patterns such as *.bias)",
        when="weight_decay",
    )
    clip_norm: float = option(0.0, "largest norm of the whole gradient; 0: no clipping", minimum=0)
    ema_decay: float = option(0.995, "decay of the averaged weights, 0: none are kept", minimum=0)
    ema_every: int = option(
        1,
        "steps between two updates of the averaged weights",
        minimum=1,
        when="ema_decay",
    )
    ema_start: int = option(
        0,
        "until this step the averages are a copy of the weights",
        minimum=0,
        when="ema_decay",
    )
    precision: str = option(
        "fp32",
        "fp16 computes the network in half precision with loss scaling, bf16 in bfloat16 (910B) "
        "without; weights stay float32",
        choices=("fp32", "fp16", "bf16"),
    )
    loss_scale: float = option(
        65536.0,
        "fp16: first loss scale",
        minimum=1,
        when="precision=fp16",
    )
    loss_scale_every: int = option(
        1000,
        "fp16: steps without overflow after which the loss scale doubles",
        minimum=1,
        when="precision=fp16",
    )
    max_skipped: int = option(
        30,
        "fp16: training ends with an error after so many steps in a row were skipped because their gradients "
        "overflowed; the loss scale halves at each, so 16 bring its first value down to 1",
        minimum=1,
        when="precision=fp16",
    )
    shard: str = option(
        "none",
        "optimizer: of several processes each keeps the moments and averages of its share of the parameters; "
        "gradients: and the summed gradients of these alone; less memory, the same bits (gradients with accumulate: "
        "but for the order in which parts are added)",
        choices=("none", "optimizer", "gradients"),
    )
    offload: str = option(
        "none",
        "moments: Adam's two are kept and updated in the memory of the host; all: the averages too; less memory "
        "of the device, the same bits, slower",
        choices=("none", "moments", "all"),
    )
    recompute: bool = option(
        False, "compute activations twice instead of keeping them: less memory, more time"
    )
    train_only: list[str] = option(
        [], "names of the parameters to train (shell patterns); empty: all"
    )
    freeze: list[str] = option(
        [], "names of parameters to leave as they are (shell patterns), taken out of train_only"
    )
    lora: LoraOptions = section(LoraOptions)
    save_every: int = option(
        1000, "steps between checkpoints; one is always made at the end", minimum=1
    )
    keep: int = option(3, "newest checkpoints kept", minimum=2)
    preview_every: int = option(1000, "steps between preview videos; 0: none", minimum=0)
    log_every: int = option(10, "steps between rows of metrics.csv", minimum=1)
    tensorboard: bool = option(
        False,
        "write the numbers of metrics.csv and the previews as TensorBoard events too, to run_dir/tensorboard (needs the "
        "package tensorboard)",
    )
    profile_steps: int = option(
        0,
        "measure where the time of so many steps goes, from the second on: profile.csv and profile.png; 0: not",
        minimum=0,
    )
    workers: int = option(2, "background processes that read clips", minimum=0)
    seed: int = option(
        0, "initial weights, order of the samples, noise, timesteps and dropout", minimum=0
    )

    def problems(self) -> Iterator[str]:
        """Sentences on fields that do not fit together."""
        if len(self.betas) != 2 or not all(b < 1 for b in self.betas):
            yield f"train.betas is {list(self.betas)}; it must be two numbers from 0 to below 1"
        if self.offload == "all" and self.ema_decay == 0:
            yield "train.offload is all, and train.ema_decay=0 keeps no averages; take train.offload=moments"
        if self.ema_decay >= 1:
            yield f"train.ema_decay is {self.ema_decay:g}; it must be below 1"
        if self.lr_end > 1:
            yield f"train.lr_end is {self.lr_end:g}; it is a share of train.lr and at most 1"
        if self.accumulate > self.batch_size:
            yield f"train.accumulate is {self.accumulate}, more than the {self.batch_size} samples of train.batch_size"
        if self.warmup > self.steps:
            yield f"train.warmup is {self.warmup}, longer than the {self.steps} steps of train.steps"

    def problem_of(self, processes: int) -> str:
        """A sentence where so many processes cannot train so; '' where they can."""
        least = self.batch_size // processes
        if processes == 1 or self.shard != "gradients" or self.accumulate <= max(least, 1):
            return ""
        return (
            f"train.accumulate is {self.accumulate}, and of train.batch_size={self.batch_size} one of the {processes} "
            f"processes has {least} samples; with train.shard=gradients all need equally many parts: "
            f"take train.accumulate={max(least, 1)} or train.shard=optimizer"
        )

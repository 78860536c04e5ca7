"""Train a network from a configuration. Running the same command again goes on where the last run
stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mindlong import __version__
from mindlong.cli.common import guarded, parser
from mindlong.config.leaves import leaves
from mindlong.config.load import Loaded, load
from mindlong.config.schema import TrainConfig
from mindlong.networks import table
from mindlong.utils.errors import UserError
from mindlong.utils.lines import count, opening_lines

EXAMPLES = """  python train.py --config configs/train/vdm_shapes.yaml run_dir=runs/mine train.steps=2000
  python train.py --config configs/train/clips.yaml data.folder=my_clips --dry_run"""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, check, and either print the plan (`--dry_run`) or train."""
    args = parser("train.py", __doc__, TrainConfig, _keys(), EXAMPLES).read(argv)
    loaded = load(args.config, args.overrides, TrainConfig)
    if args.dry_run:
        print("\n".join([loaded.text, *plan(loaded)]))
        return 0
    from mindlong.parallel import launch

    launch.join()  # before MindSpore is imported
    from mindlong.cli.train_run import run

    return run(loaded)


def _keys() -> list[str]:
    """The keys of all families."""
    models = (key for entry in table.networks() for key in leaves(entry.keys, "model."))
    return list(dict.fromkeys([*leaves(TrainConfig), *models]))


def plan(loaded: Loaded) -> list[str]:
    """What the run would do and cost, without MindSpore."""
    from mindlong.config.cost import training_cost
    from mindlong.parallel.launch import world_size

    config: TrainConfig = loaded.values
    cost = training_cost(config, _factor(config))
    options = config.train
    last = max(options.steps // options.save_every, 1)
    return opening_lines(
        {
            "mindlong": f"{__version__}, dry run: nothing is trained",
            "world size": world_size(),
            "parameters": ", ".join(f"{group} {count(n)}" for group, n in cost.groups.items()),
            "a step": f"{options.batch_size} samples, {count(cost.flops)}FLOP",
            "peak memory": f"about {cost.memory / 2**30:.2f} GiB on one process (estimate)",
            "plan": f"{options.steps} steps, {options.steps * options.batch_size} samples, "
            f"about {last} checkpoints in {Path(config.run_dir)}",
        }
    )


def _factor(config: TrainConfig) -> int:
    """Pixels of a latent along an edge, as the autoencoder of a latent family says; 8, the usual,
    where it is not there yet.
    """
    from mindlong.checkpoints.files import open_weights
    from mindlong.checkpoints.find import locate
    from mindlong.checkpoints.parts import read_part

    try:
        return (
            read_part(open_weights(locate(config.latents.vae)), "vae").spec.factor
            if config.latents.vae
            else 8
        )
    except UserError:
        return 8


def command(argv: Sequence[str] | None = None) -> int:
    """The console entry: `main` with exit codes."""
    return guarded(main, argv)

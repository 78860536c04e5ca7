"""Train a network from a configuration. Running the same command again goes on where the last run
stopped.
"""

from __future__ import annotations

from collections.abc import Sequence

from mindlong.cli.common import guarded, listed, parser
from mindlong.config.leaves import leaves
from mindlong.config.load import Loaded, load
from mindlong.config.schema import TrainConfig
from mindlong.networks import table
from mindlong.parallel import launch
from mindlong.training.plan import notes_on_data, plan_of
from mindlong.training.start import check_memory, start
from mindlong.utils.lines import opening_lines

EXAMPLES = """  python train.py --config configs/train/vdm_shapes.yaml run_dir=runs/mine train.steps=2000
  python train.py --config configs/train/clips.yaml data.folder=my_clips --dry_run"""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, check, and either print the plan (`--dry_run`) or train."""
    args = parser("train", __doc__, TrainConfig, _keys(), EXAMPLES).read(argv)
    if listed(args, "train"):
        return 0
    loaded = load(args.config, args.overrides, TrainConfig)
    return _dry_run(loaded) if args.dry_run else start(loaded)


def _dry_run(loaded: Loaded) -> int:
    """Print the plan, and refuse what the run would refuse."""
    made = plan_of(loaded)
    found = [*loaded.notes, *made.notes, *notes_on_data(loaded.values)]
    lines = [loaded.text, *opening_lines(made.rows), *(f"note: {note}" for note in found)]
    if launch.world()[0] == 0:
        print("\n".join(lines), flush=True)
    check_memory(loaded, made)
    return 0


def _keys() -> list[str]:
    """The keys of all families."""
    models = (key for entry in table.networks() for key in leaves(entry.keys, "model."))
    return list(dict.fromkeys([*leaves(TrainConfig), *models]))


def plan(loaded: Loaded) -> list[str]:
    """What the run would do and cost, without MindSpore."""
    return opening_lines(plan_of(loaded).rows)


def command(argv: Sequence[str] | None = None) -> int:
    """The console entry: `main` with exit codes."""
    return guarded(main, argv)

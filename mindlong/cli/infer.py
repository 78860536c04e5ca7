"""Make videos: from prompts, or what the pipeline chosen makes them from."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace

from mindlong import __version__
from mindlong.cli.common import guarded, listed, parser
from mindlong.config.command_line import pairs
from mindlong.config.infer_schema import InferConfig
from mindlong.config.leaves import leaves
from mindlong.config.load import Loaded, load
from mindlong.config.pipelines import PIPELINES, function, pipeline
from mindlong.media.colours import parse_colour, shown_on
from mindlong.parallel import launch, memory
from mindlong.pipelines import recipe
from mindlong.pipelines.inputs import inputs_of
from mindlong.pipelines.planned import Planned
from mindlong.utils.errors import ConfigError
from mindlong.utils.lines import opening_lines
from mindlong.utils.system import check_folder

EXAMPLES = """  python infer.py --config configs/infer/quickstart.yaml
  python infer.py weights=runs/mine prompts='[a red circle moving left]' sample.guidance=2 seed=7
  python infer.py --config configs/infer/text_to_video_modelscope.yaml weights=my_modelscope \\
      prompt='a panda eating bamboo'
  python infer.py --from outputs/0001/video.mp4 seed=8"""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, check, and either print the plan (`--dry_run`) or make the videos."""
    arguments = parser("infer", __doc__, InferConfig, _keys(), EXAMPLES)
    arguments.add_argument(
        "--from",
        dest="source",
        metavar="FILE",
        help="make a video of ours again, from the recipe in its file (mp4, webm, gif, webp, png); "
        "keys are put over it",
    )
    args = arguments.read(argv)
    if listed(args, "infer"):
        return 0
    loaded = _from_recipe(args) if args.source else load(args.config, args.overrides, InferConfig)
    return start(loaded, args.dry_run)


def _from_recipe(args: argparse.Namespace) -> Loaded:
    """The configuration that a file of ours was made with, and the command line's over it."""
    recipe.refuse_both(args.config, args.source)
    found = recipe.read(args.source)
    given = {pair.key: pair.words for pair in pairs(args.overrides)}
    loaded = load(None, args.overrides, InferConfig, saved=True, tree=recipe.tree_of(found, given))
    values = loaded.values
    notes = recipe.differences(found, inputs_of(values), values.env.bf16)
    return replace(loaded, notes=(*loaded.notes, *notes))


def start(loaded: Loaded, dry_run: bool = False) -> int:
    """Print the plan, or make the videos; both refuse the same things."""
    background = getattr(loaded.values.own, "alpha_background", "")
    with shown_on(parse_colour(background)) if background else nullcontext():
        planned = planned_of(loaded)
        check_folder(loaded.values.output, "output")
        if dry_run and launch.world()[0] == 0:
            print("\n".join([loaded.text, *_lines(loaded, planned)]), flush=True)
        _check_memory(loaded, planned)
        return 0 if dry_run else _run(loaded, [*loaded.notes, *planned.notes])


def _run(loaded: Loaded, notes: list[str]) -> int:
    launch.join(loaded.values.output)  # before anything imports MindSpore
    from mindlong.cli.infer_run import run

    return run(loaded, notes)


def planned_of(loaded: Loaded) -> Planned:
    """The plan of a run, without MindSpore. Raises ConfigError, InputFileError where it cannot
    run.
    """
    _check_weights(loaded)
    return function(pipeline(loaded.values.pipeline).plan)(loaded)


def _check_weights(loaded: Loaded) -> None:
    """A file says whose weights it means: the shapes model that is shipped would make something
    else than what its author had in mind.
    """
    values = loaded.values
    if loaded.path is None or "weights" in loaded.given:
        return
    if "weights" not in dict(values.idle()):
        ours = f", or weights={values.weights} for the shipped model of the shapes world"
        raise ConfigError(
            f"{loaded.path} names no weights; give weights=FOLDER (docs/bring_your_checkpoint.md)"
            f"{'' if loaded.path.suffix == '.json' else ours}"
        )


def _check_memory(loaded: Loaded, planned: Planned) -> None:
    env = loaded.values.env
    ignore, here = env.memory == "ignore", launch.local_size()
    memory.check(planned.memory, planned.lower, env.device_target, here, ignore)


def _keys() -> list[str]:
    """The keys of all pipelines."""
    return list(dict.fromkeys(key for e in PIPELINES.values() for key in leaves(e.schema)))


def plan(loaded: Loaded) -> list[str]:
    """What the run would do and cost, and what is to be said of it, without MindSpore."""
    return _lines(loaded, planned_of(loaded))


def _lines(loaded: Loaded, planned: Planned) -> list[str]:
    rows = {"mindlong": f"{__version__}, dry run: nothing is made", **planned.rows}
    return opening_lines(rows) + [f"note: {note}" for note in (*loaded.notes, *planned.notes)]


def command(argv: Sequence[str] | None = None) -> int:
    """The console entry: `main` with exit codes."""
    return guarded(main, argv)

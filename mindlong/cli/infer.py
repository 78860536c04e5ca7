"""Make videos: from prompts, or what the pipeline chosen makes them from."""

from __future__ import annotations

from collections.abc import Sequence

from mindlong import __version__
from mindlong.cli.common import guarded, parser
from mindlong.config.infer_schema import InferConfig
from mindlong.config.leaves import leaves
from mindlong.config.load import Loaded, load
from mindlong.config.pipelines import PIPELINES, function, pipeline
from mindlong.media.colours import parse_colour, shown_on
from mindlong.parallel import launch
from mindlong.utils.lines import opening_lines

EXAMPLES = """  python infer.py --config configs/infer/quickstart.yaml
  python infer.py weights=runs/mine prompts='[a red circle moving left]' sample.guidance=2 seed=7
  python infer.py --config configs/infer/text_to_video_modelscope.yaml weights=my_modelscope prompt='a panda eating bamboo'"""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, check, and either print the plan (`--dry_run`) or make the videos."""
    args = parser("infer.py", __doc__, InferConfig, _keys(), EXAMPLES).read(argv)
    loaded = load(args.config, args.overrides, InferConfig)
    section = getattr(loaded.values, loaded.values.pipeline, None)
    with shown_on(parse_colour(getattr(section, "alpha_background", "white"))):
        return _dry_run(loaded) if args.dry_run else _run(loaded)


def _dry_run(loaded: Loaded) -> int:
    lines = [loaded.text, *plan(loaded)]
    if launch.world()[0] == 0:
        print("\n".join(lines))
    return 0


def _run(loaded: Loaded) -> int:
    launch.join()  # before anything imports MindSpore
    from mindlong.cli.infer_run import run

    return run(loaded)


def _keys() -> list[str]:
    """The keys of all pipelines."""
    return list(dict.fromkeys(key for e in PIPELINES.values() for key in leaves(e.schema)))


def plan(loaded: Loaded) -> list[str]:
    """What the run would do and cost, without MindSpore."""
    rows = function(pipeline(loaded.values.pipeline).plan)(loaded)
    return opening_lines({"mindlong": f"{__version__}, dry run: nothing is made", **rows})


def command(argv: Sequence[str] | None = None) -> int:
    """The console entry: `main` with exit codes."""
    return guarded(main, argv)

"""Make videos from trained weights."""

from __future__ import annotations

from collections.abc import Sequence

from mindlong import __version__
from mindlong.cli.common import count, guarded, opening_lines, parser
from mindlong.config.load import Loaded, load
from mindlong.config.schema import InferConfig, TrainConfig

EXAMPLES = """  python infer.py --config configs/infer/quickstart.yaml
  python infer.py weights=runs/mine prompts='[a red circle moving left]' sample.guidance=2 seed=7"""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, check, and either print the plan (`--dry_run`) or make the videos."""
    args = parser("infer.py", __doc__, InferConfig, EXAMPLES).parse_args(argv)
    loaded = load(args.config, args.overrides, InferConfig)
    if args.dry_run:
        print("\n".join([loaded.text, *plan(loaded)]))
        return 0
    from mindlong.cli.infer_run import run

    return run(loaded)


def plan(loaded: Loaded) -> list[str]:
    """What the run would do and cost, without MindSpore."""
    from mindlong.config.cost import sampling_cost
    from mindlong.pipelines.weights import config_of, locate

    config: InferConfig = loaded.values
    trained: TrainConfig = config_of(locate(config.weights))
    frames, size = config.frames or trained.data.frames, config.size or trained.data.size
    videos = len(prompts_of(config)) * config.count
    cost = sampling_cost(trained.model, config.sample.guidance, frames, size, min(config.batch, videos))
    steps = trained.diffusion.timesteps if config.sample.sampler == "ddpm" else config.sample.steps
    rounds = -(-videos // config.batch)
    return opening_lines({
        "mindlong": f"{__version__}, dry run: nothing is made",
        "parameters": ", ".join(f"{group} {count(n)}" for group, n in cost.groups.items()),
        "plan": f"{videos} videos of {frames} frames {size[0]}x{size[1]}, {rounds} batches of {steps} steps",
        "a step": f"{count(cost.flops)}FLOP",
        "peak memory": f"about {cost.memory / 2**30:.2f} GiB (estimate)",
    })  # fmt: skip


def prompts_of(config: InferConfig) -> list[str]:
    """`prompt` and `prompts` as one list; one empty prompt where there is none."""
    return ([config.prompt] if config.prompt else []) + list(config.prompts) or [""]


def command(argv: Sequence[str] | None = None) -> int:
    """The console entry: `main` with exit codes."""
    return guarded(main, argv)

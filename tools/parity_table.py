"""Print, as Markdown, how far our networks are from the originals: `python tools/parity_table.py`.

Every figure is the largest absolute difference over the largest absolute value of the original's
array, measured now against the golden arrays of tests/golden. The table of docs/vdm.md is this
command's output.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "parity")]


def rows(mode: str, native: str) -> Iterator[tuple[str, dict[str, float]]]:
    """(what is compared, difference of each array)."""
    import vdm_cases as cases
    import vdm_measure as measure

    with measure.running(mode, native):
        yield from _grouped_pieces(measure.piece_differences())
        for case in cases.BLOCKS:
            yield case.about, measure.block_differences(case)
        for case in cases.NETS:
            yield f"whole network, {case.about}", measure.net_differences(case)
        for kind in ("l1", "l2"):
            yield f"training loss, {kind}", measure.loss_differences(kind)
        for kind in ("static", "dynamic"):
            yield (
                f"10 guided steps from a noise tape, {kind} threshold (absolute)",
                measure.sample_differences(kind),
            )


def _grouped_pieces(found: dict[str, float]) -> Iterator[tuple[str, dict[str, float]]]:
    titles = {
        "sinusoid": "sinusoidal time embedding",
        "time_mlp": "time MLP",
        "bias": "relative position bias, 1 to 65 frames",
        "rotary": "rotary positions, 1 to 70 frames",
    }
    for start, title in titles.items():
        yield title, {"out": max(value for name, value in found.items() if name.startswith(start))}


def line(about: str, found: dict[str, float]) -> str:
    """One row: output, gradient of the input, worst gradient of a parameter."""
    parameters = [value for name, value in found.items() if name.startswith("grad/")]
    cells = [found["out"], found.get("grad_x"), max(parameters) if parameters else None]
    return (
        f"| {about} | " + " | ".join("" if cell is None else f"{cell:.1e}" for cell in cells) + " |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mode", choices=("graph", "pynative"), default="graph")
    parser.add_argument("--native", choices=("on", "off"), default="on", help="C++ operators")
    chosen = parser.parse_args()
    print(
        "| Unet3D against video-diffusion-pytorch 0.7.0 | output | gradient of the input | gradients of parameters |"
    )
    print("|---|---|---|---|")
    for about, found in rows(chosen.mode, chosen.native):
        print(line(about, found), flush=True)


if __name__ == "__main__":
    main()

"""The measured table of a model's card (README.md beside its weights), between two marks, so that a
command rewrites it and nothing else of the page.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mindlong.data.shapes_reader import Reading
from mindlong.scores.shapes import Scores
from mindlong.utils.atomic import write_text
from mindlong.utils.errors import InputFileError
from mindlong.utils.text_file import read_text

BEGIN = "<!-- measured: written by scripts/model_card.sh -->"
END = "<!-- end of measured -->"
IN_IMAGES = ("shape and colour",)  # of these rates single images can say something
SAID = {
    "shape and colour": "shape and colour as asked",
    "direction": "direction as asked",
    "steady": "one steady object through all frames",
    "all": "all of these",
}


def card_table(scores: Scores) -> str:
    """The rates with 95 % intervals and the two medians with quartiles, as a Markdown table; of
    single images what they can show.
    """
    images = all(isinstance(r, Reading) and len(r.position_F2) == 1 for r in scores.readings)
    rows = ["| | | 95 % interval |", "|---|---|---|"]
    for name, said in SAID.items():
        if name not in scores.rates or (images and name not in IN_IMAGES):
            continue
        rate = scores.rates[name]
        low, high = (100 * bound for bound in rate.interval)
        rows.append(f"| {said} | {rate.hits}/{rate.total} | {low:.1f} to {high:.1f} % |")
    for said, values in (
        ("outline against the ideal one (intersection over union), median", scores.overlaps),
        ("change of the background a frame, of 255, median", scores.backgrounds),
    )[: 1 if images else 2]:
        low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
        rows.append(f"| {said} | {middle:.3f} | quartiles {low:.3f} to {high:.3f} |")
    return "\n".join(rows)


def write_card(path: Path, scores: Scores) -> None:
    """Put the table of `scores` between the marks of the card `path`. Raises InputFileError if the
    card cannot be read or has not both marks once, in their order.
    """
    try:
        text = read_text(path)
    except OSError as error:
        raise InputFileError(f"{path} cannot be read: {error.strerror}") from error
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(END) < text.index(BEGIN):
        raise InputFileError(
            f"{path} has no place for the table; it needs the lines '{BEGIN}' and '{END}', once each"
        )
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    write_text(path, f"{before}{BEGIN}\n{card_table(scores)}\n{END}{after}")

"""What is wrong with the data of a training, found before it starts and without MindSpore.

    report = check(config.data, needs_of(config))
    report.problems   # sentences; with any, the training would fail
    report.notes      # sentences on what is left out, cut, turned or not used

Clips are opened, in processes of their own, as far as their first frame.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mindlong.config.data_options import DataOptions
from mindlong.data.build import ANY, build_folder, film_world
from mindlong.data.clips import ClipFolder, several
from mindlong.data.inspection import Look, inspect
from mindlong.data.needs import Needs
from mindlong.data.nodes import read_index
from mindlong.media.colours import parse_colour
from mindlong.networks.caption.spec import tokens
from mindlong.utils.errors import ConfigError, UserError
from mindlong.utils.log import get_logger


@dataclass
class Report:
    """What a look at the data found: `problems` that end a training, `notes` that do not."""

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def problems_of(data: DataOptions, needs: Needs = ANY, seed: int = 0) -> list[str]:
    """Sentences on why a training on `data` would fail; empty where it would not."""
    return check(data, needs, seed).problems


def check(data: DataOptions, needs: Needs = ANY, seed: int = 0) -> Report:
    """Look at the data.

    Args:
        data: the `data` section. needs: what the model takes (`mindlong.data.needs.needs_of`).
        seed: of the training.
    """
    report = Report(needs.problems())
    if needs.videos or needs.index:
        report.problems += _of_files(data, needs)
    if needs.clips:
        report.problems += of_world(data, needs)
    if data.kind != "clips" or not needs.clips:
        return report
    try:
        with _silent():
            source = build_folder(data, seed, needs)
    except UserError as error:
        report.problems.append(str(error))
        return report
    report.notes = [source.describe(), *source.sentences]
    found = remarks(source, needs)
    report.problems += found.problems
    report.notes += found.notes
    return report


def of_world(data: DataOptions, needs: Needs) -> list[str]:
    """Why a caption encoder cannot take the captions of the film world, which are long."""
    if data.kind != "film" or not needs.longest:
        return []
    longest = film_world(data).longest_caption(lambda text: len(tokens(text)))
    needed = len(tokens(longest))
    if needed <= needs.longest:
        return []
    return [
        f"captions of data.kind=film have up to {needed} tokens ({longest!r}); the caption encoder "
        f"takes {needs.longest}: raise model.text.length"
    ]


def remarks(source: ClipFolder, needs: Needs) -> Report:
    """What the clips of a folder lack, or have to no purpose, for what a model needs."""
    report = Report()
    _of_captions(source, needs, report)
    _of_sizes(source, report)
    return report


def refuse(needs: Needs, found: Report) -> None:
    """Raise ConfigError with the first problem, if there is one."""
    for problem in (*needs.problems(), *found.problems):
        raise ConfigError(problem)


def _of_files(data: DataOptions, needs: Needs) -> list[str]:
    """Why videos that are named one by one cannot be read."""
    paths = [Path(video) for video in needs.videos]
    try:
        if needs.index:
            path = Path(needs.index)
            paths += [path.parent / film["video"] for film in read_index(path)[1]]
        background = parse_colour(data.alpha_background, "data.alpha_background")
        return [look.reason for look in inspect(paths, background) if look.reason]
    except UserError as error:
        return [str(error)]


def _of_captions(source: ClipFolder, needs: Needs, report: Report) -> None:
    captioned = _where(source, lambda look: look.caption)
    if needs.embeddings and not any(look.embedding for look in source.looks):
        report.problems.append(
            f"model.text.encoder is embedding, and no clip of {source.folder} has one: NAME.npy beside "
            "NAME.mp4, (D,) floats"
        )
    elif captioned and not needs.captions:
        how = f"; {needs.remedy} trains on them" if needs.remedy else ""
        report.notes.append(
            f"{several(captioned)} {_has(captioned)} a caption, which this model does not take{how}"
        )
    if needs.overlong:
        cut = _where(source, lambda look: needs.overlong(look.caption) > 0)
        if cut:
            report.notes.append(
                f"{several(cut)} {_has(cut)} a caption longer than the text encoder takes; its end is not read"
            )


def _of_sizes(source: ClipFolder, report: Report) -> None:
    height, width = source.size
    small = _where(source, lambda look: look.size[0] < height or look.size[1] < width)
    if small:
        report.notes.append(
            f"{several(small)} {_is(small)} smaller than {height}x{width} (data.size) and enlarged"
        )
    if source.short != "refuse" or source.fps:
        return
    span = int(np.floor((source.frames - 1) * source.stride)) + 1
    brief = _where(source, lambda look: look.frames is not None and look.frames < span)
    if len(brief) == len(source.paths):
        report.problems.append(
            f"no clip of {source.folder} has the {span} frames that data.frames={source.frames} and "
            f"data.stride={source.stride} need; data.short=repeat_last or loop takes shorter ones"
        )
    elif brief:
        report.notes.append(
            f"{several(brief)} {_has(brief)} fewer than {span} frames and {_is(brief)} refused (data.short)"
        )


def _where(source: ClipFolder, test) -> list[Path]:
    looks: Sequence[Look] = source.looks
    return [p for p, look in zip(source.paths, looks, strict=True) if test(look)]


def _has(paths: list[Path]) -> str:
    return "has" if len(paths) == 1 else "have"


def _is(paths: list[Path]) -> str:
    return "is" if len(paths) == 1 else "are"


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """The sentences are returned, not said as well."""
    logger = get_logger()
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before

"""A video edited by prompts: DDIM inversion under the model, then sampling from the shared noise
(Tune-A-Video, arXiv 2212.11565).

`edit.strength` and `edit.inject` keep more of the source than the published way; see
mindlong.pipelines.edit.make and mindlong.networks.unet.injection.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mindlong.diffusion.sample import count_steps, sampler_of
from mindlong.pipelines.clips import Clip
from mindlong.pipelines.edit.make import (
    Editor,
    Reconstruction,
    clips_of,
    editor_of,
    encoded,
    starts,
)
from mindlong.pipelines.edit.plan import EditWork, work_of
from mindlong.pipelines.models import Models
from mindlong.pipelines.results import Results
from mindlong.pipelines.session import Session
from mindlong.utils import atomic, progress
from mindlong.utils.lines import opening_lines


def run(session: Session) -> None:
    """Edit as configured."""
    config, work, results = session.config, work_of(session.config), Results(session)
    editor, clips = editor_of(Models(), config, work), clips_of(config)
    session.log.info("\n".join(opening_lines(_facts(config, work, clips))))
    z = encoded(editor.model, work.frames_FHWC, config)
    rows = _report(session, editor, work, z)
    rows_shown = _edits(results, editor, clips, z, _started(session, editor, z, clips), work)
    results.sheet(rows_shown, ["source", *(c.title for c in clips)])
    results.finish(
        {
            "source": config.edit.video,
            "prompts": [{"prompt": c.title, "negative": config.edit.negative} for c in clips],
            "inverted": config.edit.invert,
            "strength": config.edit.strength,
            "inject": dict(config.edit.inject),
            "reconstructions": [vars(row) for row in rows],
            "tuned": not work.fresh,
        }
    )


def _facts(config: Any, work: EditWork, clips: Sequence[Clip]) -> dict[str, Any]:
    parts, o = work.parts, config.edit
    return {
        "weights": f"{parts.where}"
        + (" not tuned: an image model whose temporal layers do nothing yet" if work.fresh else ""),
        "parameters": ", ".join(f"{name} {n:,}" for name, n in parts.parameters().items()),
        "source": f"{o.video}, {len(work.frames_FHWC)} frames "
        + "x".join(map(str, work.frames_FHWC.shape[1:3])),
        "plan": f"{len(clips)} edits, {sampler_of(config.sample, parts.noising).name} "
        f"{config.sample.steps} steps, guidance {config.sample.guidance:g}, "
        f"{parts.noising.prediction} predicted, "
        + (f"inverted in {o.invert_steps} steps" if o.invert else "fresh noise")
        + f", {o.strength:g} of the noise levels" * (o.strength < 1)
        + "".join(
            f", {kind} maps of the source in {share:g} of the steps"
            for kind, share in o.inject.items()
        ),
    }


def _report(
    session: Session, editor: Editor, work: EditWork, z: np.ndarray
) -> list[Reconstruction]:
    o = session.config.edit
    refines, rows = ([0, o.refine] if o.refine else [0]), []
    with progress.bar(sum(o.report) * 2 * len(refines), "comparing inversions") as bar:
        for steps in o.report:
            for refine in refines:
                rows.append(
                    editor.compare(
                        work.frames_FHWC, z, steps, refine, lambda *_: bar.update(1) and None
                    )
                )
    for row in rows:
        session.log.info("%s", row.row())
    if rows:
        names = list(vars(rows[0]))
        lines = [",".join(names), *(",".join(f"{vars(row)[n]:.6g}" for n in names) for row in rows)]
        atomic.write_text(session.folder / "inversion.csv", "\n".join(lines) + "\n")
    return rows


def _started(
    session: Session, editor: Editor, z: np.ndarray, clips: Sequence[Clip]
) -> list[list[np.ndarray]]:
    """Where the clips start, with a bar and a line on it."""
    o = session.config.edit
    if not clips or not o.invert:
        return starts(editor, z, clips)
    with progress.bar(o.invert_steps, "inverting") as bar:
        paths = starts(editor, z, clips, lambda *_: bar.update(1) and None)
    end = paths[0][-1]
    session.log.info(
        "the inverted noise has mean %.3f and deviation %.3f%s",
        end.mean(),
        end.std(),
        " (0 and 1 are right)" if o.strength == 1 else f" (at {o.strength:g} of the noise levels)",
    )
    return paths


def _edits(
    results: Results,
    editor: Editor,
    clips: Sequence[Clip],
    z: np.ndarray,
    paths: Sequence[list[np.ndarray]],
    work: EditWork,
) -> list[np.ndarray]:
    """The files of every edit and of the source; returns the contact sheet's rows, the source's
    first.
    """
    config, rows, kept = results.config, [], {"source": z}
    for clip, path in zip(clips, paths, strict=True):
        steps = count_steps(config.sample, editor.noising)
        with progress.bar(steps, clip.title[:40]) as bar:
            latents = editor.make(clip, path, lambda *_: bar.update(1) and None)
        kept |= {clip.name: latents, "x_T": path[-1]}
        rows.append(results.video(clip.name, editor.model.decode(latents), len(work.frames_FHWC)))
    source = results.video("source", work.frames_FHWC, len(work.frames_FHWC))
    if config.edit.keep_latents:
        path = results.session.folder / "latents" / "edit.npz"
        with atomic.replacing(path) as aside:
            np.savez(aside, **kept)
    return [source, *rows]

"""A video edited by prompts: DDIM inversion under the model, then sampling from the shared noise
(Tune-A-Video, arXiv 2212.11565).

`edit.strength` and `edit.inject` keep more of the source than the published way; see
mindlong.pipelines.edit.make and mindlong.networks.unet.injection.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.diffusion.sample import count_steps, sampler_of
from mindlong.pipelines.edit.make import (
    Editor,
    Reconstruction,
    editor_of,
    encoded,
    starts,
)
from mindlong.pipelines.edit.plan import EditWork, clips_of, work_of
from mindlong.pipelines.models import Models
from mindlong.pipelines.previews import Previews
from mindlong.pipelines.videos import Videos
from mindlong.utils import arrays, atomic, progress
from mindlong.utils.run_folder import SOURCE

if TYPE_CHECKING:
    from mindlong.pipelines.clips import Clip
    from mindlong.pipelines.session import Session


def run(session: Session) -> None:
    """Edit as configured, as far as an earlier run has not."""
    config, work, videos = session.config, work_of(session.config), Videos(session)
    editor, clips = editor_of(Models(), config, work), clips_of(config, len(work.frames_FHWC))
    session.open_with(_facts(config, work, clips))
    z = encoded(editor.model, work.frames_FHWC, config)
    rows = _report(session, editor, work, z) if videos.first else []
    _edits(videos, editor, clips, z, work)
    names = [SOURCE, *(clip.name for clip in clips)]
    if videos.first and config.edit.keep_latents:
        _keep(videos, clips, z)
    videos.finish(
        names, [SOURCE, *(c.title for c in clips)], lambda: _record(config, work, clips, rows)
    )


def _record(
    config: Any, work: EditWork, clips: Sequence[Clip], rows: Sequence[Reconstruction]
) -> dict[str, Any]:
    return {
        "source": config.edit.video,
        "prompts": [{"prompt": c.title, "negative": config.edit.negative} for c in clips],
        "inverted": config.edit.invert,
        "strength": config.edit.strength,
        "inject": dict(config.edit.inject),
        "reconstructions": [vars(row) for row in rows],
        "tuned": not work.fresh,
    }


def _facts(config: Any, work: EditWork, clips: Sequence[Clip]) -> dict[str, Any]:
    parts, o = work.parts, config.edit
    return {
        "weights": f"{parts.where}"
        + (" not tuned: an image model whose temporal layers do nothing yet" if work.fresh else ""),
        "parameters": parts.said_parameters(),
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


def _inverted(session: Session, editor: Editor, z: np.ndarray, clip: Clip) -> list[np.ndarray]:
    """The samples (C, F, h, w) on the way to the noise that all clips start from."""
    o, rank = session.config.edit, session.comm.rank
    with progress.bar(o.invert_steps, "inverting", rank=rank) as bar:
        (path,) = starts(editor, z, [clip], lambda *_: bar.update(1) and None)
    session.log.info(
        "the inverted noise has mean %.3f and deviation %.3f%s",
        path[-1].mean(),
        path[-1].std(),
        " (0 and 1 are right)" if o.strength == 1 else f" (at {o.strength:g} of the noise levels)",
    )
    return path


def _edits(
    videos: Videos, editor: Editor, clips: Sequence[Clip], z: np.ndarray, work: EditWork
) -> None:
    """The files of every edit and of the source. Every process inverts by itself, if it edits."""
    session, config = videos.session, videos.session.config
    named, paths = {clip.name: clip for clip in clips}, []
    previews = Previews(session, editor.model.decode)

    def make(name: str) -> None:
        if name == SOURCE:
            videos.write(name, iter(work.frames_FHWC), len(work.frames_FHWC), as_given=True)
            return
        clip = named[name]
        if config.edit.invert:
            paths[:] = paths or [_inverted(session, editor, z, clip)]
        path = paths[0] if paths else starts(editor, z, [clip])[0]
        steps = count_steps(config.sample, editor.noising)
        with progress.bar(steps, clip.title[:40], rank=session.comm.rank) as bar:
            latents = editor.make(clip, path, previews.step(bar, name, [clip.title]))
        kept = {"latents": latents, "x_T": path[-1]} if config.edit.keep_latents else {}
        videos.write(name, editor.model.decode(latents), len(work.frames_FHWC), **kept)

    videos.deal("videos", [*named, SOURCE], make)


def _keep(videos: Videos, clips: Sequence[Clip], z: np.ndarray) -> None:
    """The latents of all edits and of the source, and the noise of the last edit, in one file."""
    kept = {"source": z}
    for clip in clips:
        latents, x_T = videos.read(clip.name, "latents", "x_T")
        kept |= {clip.name: latents, "x_T": x_T}
    arrays.write_npz(videos.session.folder / "latents" / "edit.npz", **kept)

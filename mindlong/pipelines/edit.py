"""A video edited by prompts: DDIM inversion under the model, then sampling from the shared noise (Tune-A-Video, arXiv 2212.11565).

Legend: B videos, C channels of a latent, F frames, h w latent pixels.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mindlong.data.interpolation_scores import psnr, ssim
from mindlong.diffusion.inversion import invert_ddim
from mindlong.diffusion.samplers import sample_ddim
from mindlong.diffusion.samplers.loop import Callback
from mindlong.media.sheet import write_contact_sheet
from mindlong.pipelines.clips import Clip
from mindlong.pipelines.edit_plan import EditWork, work_of
from mindlong.pipelines.files import write_files
from mindlong.pipelines.latent_model import LatentModel, from_parts
from mindlong.pipelines.session import Session
from mindlong.pipelines.text_to_video import TextToVideo, first_noise
from mindlong.utils import atomic, progress, rng
from mindlong.utils.lines import opening_lines


@dataclass(frozen=True)
class Reconstruction:
    """A video inverted in `steps` steps and made again in as many, under the prompt of the inversion and without guidance.

    Attributes:
        latent: PSNR of the latents in dB, their largest value as the peak.
        pixels, similarity: PSNR and SSIM of the frames against the autoencoder's own reconstruction.
        total: PSNR against the source; `ceiling` is what the autoencoder alone reaches.
    """

    steps: int
    refine: int
    latent: float
    pixels: float
    similarity: float
    total: float
    ceiling: float

    def row(self) -> str:
        """A line of the report."""
        return (f"{self.steps:5d} steps, {self.refine} repetitions: latents {self.latent:6.2f} dB, frames {self.pixels:6.2f} dB "
                f"and SSIM {self.similarity:.4f} against the autoencoder's, {self.total:6.2f} dB against the source "
                f"({self.ceiling:.2f} by the autoencoder alone)")


class Editor:
    """A latent model with what editing needs: inversion, sampling from it, and how good the way back is.

    Args:
        model: the networks.
        sample: the `sample` section of a configuration.
        edit: the `edit` section.
        fps: told to a UNet that wants to know.
    """

    def __init__(self, model: LatentModel, sample: Any, edit: Any, fps: float = 8) -> None:
        self.model, self.sample, self.edit, self.fps = model, sample, edit, fps
        self.texts = TextToVideo(model, sample, negative=edit.negative, fps=fps)

    def invert(self, z_CFhw: np.ndarray, steps: int, refine: int = 0, callback: Callback | None = None) -> np.ndarray:
        """The noise (C, F, h, w) from which DDIM leads back to `z_CFhw`, without guidance."""
        noising, compat = self.model.noising, self.edit.compat == "tune_a_video"
        path = invert_ddim(self._plain(), z_CFhw[None], noising.schedule, steps, prediction=noising.prediction,
                           flavour=noising.flavour, refine=refine, callback=callback, compat=compat)
        return path[-1][0]

    def make(self, clip: Clip, x_T: np.ndarray, callback: Callback | None = None) -> np.ndarray:
        """Latents (C, F, h, w) of a clip under its prompt, from `x_T` of the same shape."""
        return self.texts.latents([clip], x_T[None], callback)[0]

    def again(self, x_T: np.ndarray, steps: int, callback: Callback | None = None) -> np.ndarray:
        """The way back of `invert`: the same prompt, no guidance."""
        noising = self.model.noising
        return sample_ddim(self._plain(), x_T[None], noising.schedule, steps, callback=callback, prediction=noising.prediction,
                           flavour=noising.flavour)[0]

    def compare(self, frames_FHWC: np.ndarray, z: np.ndarray, steps: int, refine: int,
                callback: Callback | None = None) -> Reconstruction:
        """Invert in `steps` steps, make the video again in as many, and measure."""
        back = self.again(self.invert(z, steps, refine, callback), steps, callback)
        coded, made = (np.stack(list(self.model.decode(latents))) for latents in (z, back))
        peak = float(np.abs(z).max())
        error = max(float(np.square(back - z).mean()), 1e-20)
        return Reconstruction(steps, refine, 10 * np.log10(peak**2 / error), psnr(coded, made), _ssim(coded, made),
                              psnr(frames_FHWC, made), psnr(frames_FHWC, coded))

    def _plain(self):
        return self.model.denoiser(self.model.encode_text([self.edit.invert_prompt]), self.fps)


def _ssim(a_FHWC: np.ndarray, b_FHWC: np.ndarray) -> float:
    return float(np.mean([ssim(a, b) for a, b in zip(a_FHWC, b_FHWC, strict=True)]))


def run(session: Session) -> None:
    """Edit as configured."""
    config, work, clock = session.config, work_of(session.config), time.monotonic()
    model = from_parts(work.parts, config.latent, config.seed if work.fresh else None)
    editor = Editor(model, config.sample, config.edit, config.fps)
    clips = _clips(config)
    session.log.info("\n".join(opening_lines(_facts(config, work, clips))))
    z = _encoded(model, work.frames_FHWC, config)
    rows = _report(session, editor, work, z)
    x_T = _start(session, editor, z, clips)
    written, videos = _edits(session, editor, clips, z, x_T, work)
    if "png" in config.formats:
        sheet = [v.repeat(config.scale, 1).repeat(config.scale, 2) for v in (work.frames_FHWC, *videos)]
        path = session.folder / "contact_sheet.png"
        written.append(write_contact_sheet(path, sheet, ["source", *(c.title for c in clips)]))
    for path in written:
        session.log.info("  %s", path.resolve())
    session.write_record({
        "source": config.edit.video, "prompts": [{"prompt": c.title, "negative": config.edit.negative} for c in clips],
        "inverted": config.edit.invert, "reconstructions": [vars(row) for row in rows], "tuned": not work.fresh,
        "files": [path.name for path in written], "timings": {"seconds": round(time.monotonic() - clock, 2)},
    })  # fmt: skip


def _facts(config: Any, work: EditWork, clips: Sequence[Clip]) -> dict[str, Any]:
    parts, o = work.parts, config.edit
    return {
        "weights": f"{parts.where}" + (" not tuned: an image model whose temporal layers do nothing yet" if work.fresh else ""),
        "parameters": ", ".join(f"{name} {n:,}" for name, n in parts.parameters().items()),
        "source": f"{o.video}, {len(work.frames_FHWC)} frames " + "x".join(map(str, work.frames_FHWC.shape[1:3])),
        "plan": f"{len(clips)} edits, {config.sample.sampler} {config.sample.steps} steps, guidance {config.sample.guidance:g}, "
                f"{parts.noising.prediction} predicted, " + (f"inverted in {o.invert_steps} steps" if o.invert else "fresh noise"),
    }  # fmt: skip


def _clips(config: Any) -> list[Clip]:
    prompts = [prompt for prompt in config.wanted_prompts() for _ in range(config.count)]
    return [Clip(f"edit-{i:03d}", (prompt,), prompt, config.seed, i) for i, prompt in enumerate(prompts)]


def _encoded(model: LatentModel, frames_FHWC: np.ndarray, config: Any) -> np.ndarray:
    channels, count, *area = model.latent_shape(*frames_FHWC.shape[:3])
    drawn = rng.normal((count, channels, *area), config.seed, "posterior") if config.edit.encode == "sample" else None
    return model.encode(frames_FHWC, drawn)


def _report(session: Session, editor: Editor, work: EditWork, z: np.ndarray) -> list[Reconstruction]:
    o = session.config.edit
    refines, rows = ([0, o.refine] if o.refine else [0]), []
    with progress.bar(sum(o.report) * 2 * len(refines), "comparing inversions") as bar:
        for steps in o.report:
            for refine in refines:
                rows.append(editor.compare(work.frames_FHWC, z, steps, refine, lambda *_: bar.update(1) and None))
    for row in rows:
        session.log.info("%s", row.row())
    if rows:
        names = list(vars(rows[0]))
        lines = [",".join(names), *(",".join(f"{vars(row)[n]:.6g}" for n in names) for row in rows)]
        atomic.write_text(session.folder / "inversion.csv", "\n".join(lines) + "\n")
    return rows


def _start(session: Session, editor: Editor, z: np.ndarray, clips: Sequence[Clip]) -> np.ndarray:
    """(B, C, F, h, w): the noise that each clip starts from."""
    o = session.config.edit
    if not clips:
        return np.zeros((0, *z.shape), np.float32)
    if not o.invert:
        return first_noise(clips, z.shape)
    with progress.bar(o.invert_steps, "inverting") as bar:
        x_T = editor.invert(z, o.invert_steps, o.refine, lambda *_: bar.update(1) and None)
    session.log.info("the inverted noise has mean %.3f and deviation %.3f (0 and 1 are right)", x_T.mean(), x_T.std())
    return np.broadcast_to(x_T, (len(clips), *x_T.shape))


def _edits(session: Session, editor: Editor, clips: Sequence[Clip], z: np.ndarray, starts: np.ndarray,
           work: EditWork) -> tuple[list[Path], list[np.ndarray]]:
    config, written, videos, kept = session.config, [], [], {"source": z}
    for clip, x_T in zip(clips, starts, strict=True):
        with progress.bar(config.sample.steps, clip.title[:40]) as bar:
            latents = editor.make(clip, x_T, lambda *_: bar.update(1) and None)
        kept |= {clip.name: latents, "x_T": x_T}
        videos.append(np.stack(list(editor.model.decode(latents))))
        written += _written(session, clip.name, videos[-1])
    written += _written(session, "source", work.frames_FHWC)
    if config.edit.keep_latents:
        path = session.folder / "latents" / "edit.npz"
        with atomic.replacing(path) as aside:
            np.savez(aside, **kept)
    return written, videos


def _written(session: Session, stem: str, frames_FHWC: np.ndarray) -> list[Path]:
    config = session.config
    return write_files(session.folder, stem, frames_FHWC, config.formats, config.fps, config.scale)

"""What is being made, shown while it is denoised: contact sheets in `preview/` of the run's folder.

Legend: B videos or runs of a batch, C channels, F frames, h w latent pixels, H W pixels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mindlong.media.sheet import write_contact_sheet

if TYPE_CHECKING:
    from mindlong.diffusion.samplers.loop import Callback
    from mindlong.pipelines.session import Session

FOLDER = "preview"  # in the run's folder
Decode = Callable[[np.ndarray], Iterable[np.ndarray]]  # (C, F, h, w) -> frames uint8 (H, W, 3)


class Previews:
    """The predicted clean samples of a run, every `preview_every` steps; without the key, nothing.

    Args:
        session: of the run.
        decode: a sample's frames.
    """

    def __init__(self, session: Session, decode: Decode) -> None:
        self.every: int = session.config.preview_every
        self.folder, self.rank, self.decode = session.folder / FOLDER, session.comm.rank, decode
        self.walks: Counter[str] = Counter()

    def step(self, bar: Any, name: str, titles: Sequence[str] = ()) -> Callback:
        """A sampler's callback that moves `bar` and draws.

        Args:
            name: of what is made; a name that is sampled several times is numbered.
            titles: one for each row of a batch; none: rows have no captions.
        """

        def on_step(step: int, total: int, x0_BCFhw: np.ndarray) -> None:
            bar.update(1)
            self.draw(name, step, total, x0_BCFhw, titles)

        return on_step

    def draw(
        self, name: str, step: int, total: int, x0_BCFhw: np.ndarray, titles: Sequence[str] = ()
    ) -> None:
        """The sheet of a step, if it is due."""
        if self.every and (step % self.every == 0 or step == total):
            videos = [np.stack(list(self.decode(x0))) for x0 in x0_BCFhw]
            captions = list(titles) if len(titles) == len(videos) else None
            write_contact_sheet(self.folder / self._file(name, step), videos, captions)
        self.walks[name] += step == total

    def _file(self, name: str, step: int) -> str:
        walk, process = self.walks[name], f"-process-{self.rank}" if self.rank else ""
        return f"{name}{process}{f'-run-{walk + 1:04d}' if walk else ''}-step-{step:04d}.png"

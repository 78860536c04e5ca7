"""Where the time of a step goes: waiting for data, compiling, computing, communication, saving and
previews, as a table and a plot in the run's folder.

A step is one graph, its sum over the processes among it. So communication is measured apart: the
sum runs alone on gradients of the same sizes, and computing is what is left of the step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mindlong.utils import look
from mindlong.utils.atomic import write_text
from mindlong.utils.log import get_logger

TABLE, PLOT = "profile.csv", "profile.png"  # in a run's folder
PARTS = {
    "data": "waiting for the next batch",
    "compile": "the first step, with the compilation of its graph",
    "compute": "forward, backward and update",
    "communication": "the sum of the gradients over the processes",
    "other": "averages, metrics and what else the loop does",
    "saving": "checkpoints",
    "preview": "preview videos",
}
SELDOM = ("compile", "saving", "preview")  # not a part of every step


class Profile:
    """The clock of a training.

    Args:
        steps: those that are measured, from the second of this start on. 0: nothing is.
        every: of "saving" and "preview": steps between two.
        communicate: runs the step's communication once, alone, on every process; None: there is
            none.
    """

    def __init__(
        self,
        steps: int,
        folder: Path,
        every: dict[str, int],
        communicate: Callable[[], None] | None = None,
        write: bool = True,
    ) -> None:
        self.steps, self.folder, self.every, self.write = steps, folder, every, write
        self.communicate = communicate
        self.seconds: dict[str, list[float]] = {part: [] for part in PARTS}
        self.whole: list[float] = []
        self._end = 0.0

    def compiled(self, seconds: float) -> None:
        """The first step is done."""
        self._add("compile", seconds)
        self._end = time.monotonic()

    def step(self, seconds: float, waited: float) -> None:
        """A further step was made, in so many seconds, of which it waited for data; it is counted
        from the end of the step before, without saving and previews.
        """
        if self.done:
            return
        self._add("data", waited)
        self._add("compute", seconds - waited)

    def ended(self) -> None:
        """All that belongs to a step is done."""
        now = time.monotonic()
        if self.done or not self.seconds["compute"]:
            self._end = now
            return
        known = self.seconds["data"][-1] + self.seconds["compute"][-1]
        self._add("other", max(now - self._end - known, 0.0))
        self.whole.append(now - self._end)
        self._end = now
        if len(self.whole) == self.steps:
            self._finish()

    @contextmanager
    def apart(self, part: str) -> Iterator[None]:
        """What is saved or drawn inside counts as that part, not as one of a step."""
        start = time.monotonic()
        yield
        self._add(part, time.monotonic() - start)
        self._end = time.monotonic()
        if self.steps and self.done:
            self._write()

    @property
    def done(self) -> bool:
        """Whether all steps that are measured are done."""
        return len(self.whole) >= self.steps

    def rows(self) -> list[tuple[str, int, float, float]]:
        """(part, how often, seconds each, seconds of a step)."""
        made = []
        for part, seconds in self.seconds.items():
            count = len(seconds)
            each = sum(seconds) / count if count else 0.0
            share = 0.0 if part == "compile" else each / self.every.get(part, 1)
            made.append((part, count, each, share))
        return made

    def text(self) -> str:
        """The table in lines."""
        rows = self.rows()
        whole = sum(share for *_, share in rows) or 1.0
        lines = [f"{'part':<14}{'times':>6}{'s each':>10}{'s a step':>10}{'share':>8}"]
        for part, count, each, share in rows:
            if count:
                kept = "" if part == "compile" else f"{share:>10.4f}{100 * share / whole:>7.1f}%"
                lines.append(f"{part:<14}{count:>6}{each:>10.4f}{kept}  {PARTS[part]}")
        return "\n".join(lines)

    def _add(self, part: str, seconds: float) -> None:
        if self.steps:
            self.seconds[part].append(seconds)

    def _finish(self) -> None:
        """Measure the communication, take it from the computing, write."""
        if self.communicate is not None:
            self.communicate()  # compiles
            for place, seconds in enumerate(self.seconds["compute"]):
                start = time.monotonic()
                self.communicate()
                spent = min(time.monotonic() - start, seconds)
                self._add("communication", spent)
                self.seconds["compute"][place] = seconds - spent
        self._end = time.monotonic()
        if self.write:
            get_logger().info("a step, over %d of them:\n%s", len(self.whole), self.text())
        self._write()

    def _write(self) -> None:
        if not self.write:
            return
        rows = self.rows()
        lines = ["part,times,seconds_each,seconds_a_step,what"]
        lines += [f"{p},{n},{e:.6f},{s:.6f},{PARTS[p].replace(',', ';')}" for p, n, e, s in rows]
        write_text(self.folder / TABLE, "\n".join(lines) + "\n")
        draw(self.rows(), self.folder / PLOT)


def draw(rows: Sequence[tuple[str, int, float, float]], path: Path) -> None:
    """A bar for each part of a step, in milliseconds, with its share; compiling stands in the
    title.
    """
    shown = [
        (part, each, share) for part, count, each, share in rows if count and part != "compile"
    ]
    whole = sum(share for *_, share in shown) or 1.0
    with look.plot(path, 8, 0.5 * len(shown) + 1.6) as figure:
        axis = figure.subplots()
        names = [part for part, *_ in shown]
        bars = axis.barh(names, [1e3 * share for *_, share in shown], color=look.COLOURS[0])
        axis.bar_label(bars, [_label(*row, whole) for row in shown], padding=4)
        axis.invert_yaxis()
        axis.margins(x=0.35)
        axis.set(xlabel="milliseconds of a step")
        compiling = next(
            (each for part, count, each, _ in rows if part == "compile" and count), 0.0
        )
        title = f"a step: {1e3 * whole:.1f} ms; compiling, once: {compiling:.1f} s"
        axis.set_title(title, loc="left")


def _label(part: str, each: float, share: float, whole: float) -> str:
    seldom = f" ({each:.2f} s each)" if part in SELDOM else ""
    return f"{1e3 * share:.1f} ms, {100 * share / whole:.0f} %{seldom}"

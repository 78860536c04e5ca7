"""The tab that watches trainings: curves, the last figures, previews, the log."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from mindlong.app.page import html
from mindlong.app.runs import all_shown
from mindlong.app.trainings import Training, chosen_of, drawn, trainings_of
from mindlong.utils import atomic
from mindlong.utils.errors import UserError

if TYPE_CHECKING:
    from mindlong.app.desk import Desk
    from mindlong.app.page.whose import DeskOf
    from mindlong.app.place import Place

EVERY = 5.0  # seconds between two looks
PREVIEWED = 4
EMPTY = "No row yet."
NONE = (
    "No training yet. The page shows those in the folders that it is started with: --trainings runs"
)


class TrainingsTab:
    """Builds the tab inside the current Blocks."""

    def __init__(self, place: Place, desk_of: DeskOf) -> None:
        self.place, self.desk_of = place, desk_of
        self.seen = gr.State(())  # (names in the list, stamp of what is shown)
        names = [training.name for training in trainings_of(place)]
        self.which = gr.Dropdown(
            names, value=chosen_of(names, None), label="Training", elem_id="training"
        )
        with gr.Row(equal_height=False):
            with gr.Column(scale=3, min_width=460):
                self.curves = gr.HTML(html.empty(NONE), elem_id="curves")
                self.previews = gr.HTML("", elem_id="training_previews")
            with gr.Column(scale=1, min_width=240):
                self.facts = gr.HTML("", elem_id="facts")
        with gr.Accordion("Log", open=False):
            self.log = gr.Textbox(lines=14, max_lines=14, show_label=False, interactive=False)
        self.outputs = [
            self.which, self.curves, self.previews, self.facts, self.log, self.seen,
        ]  # fmt: skip
        quiet = {"api_visibility": "private", "show_progress": "hidden"}
        inputs = [self.which, self.seen]
        gr.Timer(EVERY).tick(self.look, inputs, self.outputs, **quiet)
        self.which.change(self.look, inputs, self.outputs, **quiet)

    def first(self, which: str | None, request: gr.Request) -> list[Any]:
        """What is shown when the page is loaded: trainings have begun since it was built."""
        return self.look(which, (), request)

    def look(self, which: str | None, seen: Any, request: gr.Request) -> list[Any]:
        """What has changed since the last look: the list of trainings, and the one watched.

        Args:
            which: the training that is chosen. seen: (names in the list, stamp of what is shown).
        """
        found = trainings_of(self.place)
        names = tuple(training.name for training in found)
        chosen = chosen_of(names, which)
        listed, stamp = seen or (None, None)
        choice = _choice(names, listed, chosen, which)
        training = next((each for each in found if each.name == chosen), None)
        now = training.stamp() if training else ()
        if now == stamp:
            return [choice, *[gr.skip()] * 4, (names, now)]
        if training is None:
            return [choice, html.empty(NONE), "", "", "", (names, now)]
        try:
            return [choice, *self._shown(self.desk_of(request), training), (names, now)]
        except UserError as error:  # looked at again, as if it had not been seen
            return [choice, html.error(error), *[gr.skip()] * 3, (names, None)]

    def _shown(self, desk: Desk, training: Training) -> list[Any]:
        curves, facts = self._figures(desk, training)
        copies = all_shown(training.previews()[:PREVIEWED], self.place, desk.person)
        return [curves, html.media(copies), facts, training.said()]

    def _figures(self, desk: Desk, training: Training) -> tuple[str, str]:
        """Curves and the last figures. Where metrics.csv is damaged the sentence stands in their
        place: previews and log are shown all the same.
        """
        try:
            rows = training.rows()
        except UserError as error:
            return html.error(error), ""
        curves = html.media([self._curves(desk, training, rows)]) if rows else html.empty(EMPTY)
        return curves, html.table(training.facts(rows), ("step", "loss"))

    def _curves(self, desk: Desk, training: Training, rows: list[dict[str, str]]) -> str:
        mark = sha256(repr((training.stamp(), len(rows))).encode()).hexdigest()[:16]
        target = Path(self.place.served) / desk.person.owner / f"curves-{mark}" / "curves.png"
        if not target.exists():
            atomic.write_bytes(target, drawn(rows))
        return str(target)


def _choice(names: Sequence[str], listed: Any, chosen: str | None, which: str | None) -> Any:
    """The update of the list: nothing while it is as it was, so that one that is open stays so.
    What is chosen is sent only where it changes: a person may just be choosing another.
    """
    if chosen != which:
        return gr.update(choices=list(names), value=chosen)
    return gr.skip() if names == listed else gr.update(choices=list(names))

"""The tab that watches trainings: curves, the last figures, previews, the log."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from mindlong.app.page import html
from mindlong.app.runs import all_shown
from mindlong.app.trainings import Training, drawn, trainings_of
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
        self.seen = gr.State(())
        names = self._names()
        self.which = gr.Dropdown(
            names, value=names[0] if names else None, label="Training", elem_id="training"
        )
        with gr.Row(equal_height=False):
            with gr.Column(scale=3, min_width=460):
                self.curves = gr.HTML(html.empty(NONE), elem_id="curves")
                self.previews = gr.HTML("", elem_id="training_previews")
            with gr.Column(scale=1, min_width=240):
                self.facts = gr.HTML("", elem_id="facts")
        with gr.Accordion("Log", open=False):
            self.log = gr.Textbox(lines=14, max_lines=14, show_label=False, interactive=False)
        outputs = [self.curves, self.previews, self.facts, self.log, self.seen]
        quiet = {"api_visibility": "private", "show_progress": "hidden"}
        gr.Timer(EVERY).tick(self._look, [self.which, self.seen], outputs, **quiet)
        self.which.change(self._look, [self.which, self.seen], outputs, **quiet)
        self.outputs = outputs

    def first(self, which: str, request: gr.Request) -> list[Any]:
        """What is shown when the page is loaded."""
        return self._look(which, (), request)

    def _names(self) -> list[str]:
        return [training.name for training in trainings_of(self.place)]

    def _look(self, which: str, seen: Any, request: gr.Request) -> list[Any]:
        found = next((each for each in trainings_of(self.place) if each.name == which), None)
        if found is None or (seen and seen == found.stamp()):
            return [gr.skip()] * 5
        try:
            return self._shown(self.desk_of(request), found)
        except UserError as error:
            return [html.error(error), *[gr.skip()] * 4]

    def _shown(self, desk: Desk, training: Training) -> list[Any]:
        stamp = training.stamp()
        curves, facts = self._figures(desk, training)
        copies = all_shown(training.previews()[:PREVIEWED], self.place, desk.person)
        return [curves, html.media(copies), facts, training.said(), stamp]

    def _figures(self, desk: Desk, training: Training) -> tuple[str, str]:
        """Curves and the last figures. Where metrics.csv is damaged the sentence stands in their
        place: previews and log are shown all the same.
        """
        try:
            rows = training.rows()
            curves = html.media([self._curves(desk, training, rows)]) if rows else html.empty(EMPTY)
        except UserError as error:
            return html.error(error), ""
        return curves, html.table(training.facts(rows), ("step", "loss"))

    def _curves(self, desk: Desk, training: Training, rows: list[dict[str, str]]) -> str:
        mark = sha256(repr((training.stamp(), len(rows))).encode()).hexdigest()[:16]
        target = Path(self.place.served) / desk.person.owner / f"curves-{mark}" / "curves.png"
        if not target.exists():
            atomic.write_bytes(target, drawn(rows))
        return str(target)

"""The tab that shows jobs while they are made: how far they are, what they look like, stop and go
on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from mindlong.app.job import FAILED, RUNNING, STOPPED, WAITING, Job
from mindlong.app.page import html
from mindlong.app.runs import all_shown, of_job
from mindlong.utils.errors import UserError

if TYPE_CHECKING:
    from mindlong.app.desk import Desk
    from mindlong.app.page.whose import DeskOf
    from mindlong.app.place import Place
    from mindlong.app.queue import Queue

EVERY = 1.0  # seconds between two looks
HEADERS = ["job", "state", "pipeline", "prompt"]
PREVIEWED = 3  # previews shown, the newest first
LISTED = 200
LAST_LINES = 40


class JobsTab:
    """Builds the tab inside the current Blocks.

    Args:
        started: a gr.State with the number of the job to show.
    """

    def __init__(self, place: Place, queue: Queue, desk_of: DeskOf, started: gr.State) -> None:
        self.place, self.queue, self.desk_of, self.chosen = place, queue, desk_of, started
        self.seen = gr.State(())
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=380):
                self.table = gr.Dataframe(
                    headers=HEADERS,
                    interactive=False,
                    wrap=True,
                    column_widths=["14%", "19%", "29%", "38%"],
                    show_label=False,
                    elem_id="jobs",
                    max_height=620,
                )
            with gr.Column(scale=3, min_width=460):
                self.progress = gr.HTML(html.empty("No job yet."), elem_id="progress")
                with gr.Row():
                    self.stop = gr.Button("Stop", elem_id="stop", interactive=False)
                    self.go_on = gr.Button("Go on", elem_id="go_on", interactive=False)
                self.pictures = gr.HTML("", elem_id="pictures")
                with gr.Accordion("What infer.py says", open=False):
                    self.said = gr.Textbox(
                        lines=14, max_lines=14, show_label=False, interactive=False, elem_id="said"
                    )
        self._wire()

    def _wire(self) -> None:
        shown_all = [self.table, self.progress, self.stop, self.go_on, self.pictures, self.said]
        quiet = {"api_visibility": "private", "show_progress": "hidden"}
        looked = {
            "inputs": [self.chosen, self.seen],
            "outputs": [*shown_all, self.chosen, self.seen],
        }
        gr.Timer(EVERY).tick(self._look, **looked, **quiet)
        self.table.select(self._select, None, [self.chosen, self.seen], **quiet)
        self.stop.click(self._stop, self.chosen, self.seen, **quiet)
        self.go_on.click(self._go_on, self.chosen, self.seen, **quiet)

    def _look(self, chosen: str, seen: Any, request: gr.Request) -> list[Any]:
        try:
            desk = self.desk_of(request)
            jobs = desk.jobs()[:LISTED]
            rows = [self._row(job) for job in jobs]
            chosen = chosen or (jobs[0].name if jobs else "")
            job = desk.job(chosen) if chosen else None
            found = self._shown(desk, job) if job else [gr.skip()] * 5
        except UserError as error:
            return [gr.skip(), html.error(error), *[gr.skip()] * 4, "", ()]
        now = (rows, *(each if isinstance(each, str) else repr(each) for each in found))
        before = seen if isinstance(seen, tuple) and len(seen) == len(now) else [None] * len(now)
        changed = [
            value if old != new else gr.skip()
            for value, old, new in zip([rows, *found], before, now, strict=True)
        ]
        return [*changed, chosen, now]

    def _row(self, job: Job) -> list[str]:
        about = job.about()
        return [job.name, job.state(), str(about.get("pipeline", "")), str(about.get("title", ""))]

    def _shown(self, desk: Desk, job: Job) -> list[Any]:
        state = job.state()
        before = self.queue.before(job) if state == WAITING else 0
        lines = job.said().replace("\r", "\n").splitlines()[-LAST_LINES:]
        return [
            html.progress(job, state, before),
            gr.update(interactive=state in (WAITING, RUNNING)),
            gr.update(interactive=state in (STOPPED, FAILED)),
            self._media(desk, job, state),
            "\n".join(lines),
        ]

    def _media(self, desk: Desk, job: Job, state: str) -> str:
        """What is there to see: results, and while it is made the newest previews."""
        run = of_job(job)
        if run is None:
            return ""
        found = [*run.videos(), *run.sheets()]
        if state == RUNNING or not found:
            found += run.previews()[:PREVIEWED]
        return html.media(all_shown(found, self.place, desk.person))

    def _select(self, event: gr.SelectData) -> tuple[Any, Any]:
        row = event.row_value or []
        return (str(row[0]), ()) if row else (gr.skip(), gr.skip())

    def _stop(self, chosen: str, request: gr.Request) -> tuple[()]:
        self._told(lambda: self.desk_of(request).stop(chosen))
        return ()

    def _go_on(self, chosen: str, request: gr.Request) -> tuple[()]:
        self._told(lambda: self.desk_of(request).go_on(chosen))
        return ()

    def _told(self, work: Any) -> None:
        try:
            work()
        except UserError as error:
            gr.Warning(html.escape(str(error)))

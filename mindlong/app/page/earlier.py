"""The tab of earlier runs: players, contact sheets, what they were made with, and once more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from mindlong.app.page import html
from mindlong.app.runs import Run, all_shown, runs_of
from mindlong.utils.errors import ConfigError, UserError

if TYPE_CHECKING:
    from mindlong.app.desk import Desk
    from mindlong.app.page.whose import DeskOf
    from mindlong.app.place import Place

HEADERS = ["run", "state", "pipeline", "prompt", "made"]


class EarlierTab:
    """Builds the tab inside the current Blocks.

    Args:
        started: a gr.State with the number of the job that was started last.
    """

    def __init__(self, place: Place, desk_of: DeskOf, started: gr.State) -> None:
        self.place, self.desk_of, self.started = place, desk_of, started
        self.chosen = gr.State("")
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=380):
                self.reload = gr.Button("Look again", size="sm", elem_id="reload_runs")
                self.table = gr.Dataframe(
                    headers=HEADERS,
                    interactive=False,
                    wrap=True,
                    column_widths=["15%", "14%", "24%", "27%", "20%"],
                    show_label=False,
                    elem_id="runs",
                    max_height=620,
                )
            with gr.Column(scale=3, min_width=460):
                self.media = gr.HTML(html.empty("Choose a run."), elem_id="run_media")
                with gr.Row():
                    self.seed = gr.Number(
                        1, label="Seed", precision=0, minimum=0, elem_id="new_seed"
                    )
                    self.again = gr.Button(
                        "Make again with this seed", elem_id="again", interactive=False
                    )
                self.said = gr.HTML("", elem_id="again_said")
                with gr.Accordion("Made with", open=False):
                    self.config = gr.Code(
                        language="yaml",
                        show_label=False,
                        interactive=False,
                        max_lines=30,
                        elem_id="config",
                    )
        quiet = {"api_visibility": "private", "show_progress": "hidden"}
        self.reload.click(self.rows, None, self.table, **quiet)
        outputs = [self.chosen, self.media, self.config, self.again, self.said]
        self.table.select(self._select, None, outputs, **quiet)
        self.again.click(self._again, [self.chosen, self.seed], [self.said, self.started], **quiet)

    def rows(self, request: gr.Request) -> Any:
        """The list, for whoever asks."""
        try:
            return [run.row() for run in self._runs(self.desk_of(request))]
        except UserError:
            return []

    def _runs(self, desk: Desk) -> list[Run]:
        return runs_of(self.place, desk.person, desk.jobs())

    def _run(self, desk: Desk, name: str) -> Run:
        for run in self._runs(desk):
            if run.name == name:
                return run
        raise ConfigError("this run is not here any more")

    def _select(self, event: gr.SelectData, request: gr.Request) -> list[Any]:
        try:
            desk = self.desk_of(request)
            run = self._run(desk, str((event.row_value or [""])[0]))
            files = [*run.videos(), *run.sheets()] or run.previews()[:1]
            copies = all_shown(files, self.place, desk.person)
        except UserError as error:
            return ["", html.error(error), "", gr.update(interactive=False), ""]
        seen = html.media(copies) or html.empty("This run has made nothing yet.")
        return [run.name, seen, run.config(), gr.update(interactive=run.state == "done"), ""]

    def _again(self, chosen: str, seed: Any, request: gr.Request) -> tuple[str, Any]:
        try:
            desk = self.desk_of(request)
            run = self._run(desk, chosen)
            job = desk.again(run.recipe_file(), run.config(), int(seed or 0))
        except UserError as error:
            return html.error(error), gr.skip()
        return html.good(f"Job {job.name} is in the queue; the tab Jobs shows it."), job.name

"""The whole page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gradio as gr

from mindlong import __version__
from mindlong.app.page.earlier import EarlierTab
from mindlong.app.page.jobs import JobsTab
from mindlong.app.page.make import MakeTab
from mindlong.app.page.trainings import TrainingsTab
from mindlong.app.page.whose import desks

if TYPE_CHECKING:
    from mindlong.app.place import Place
    from mindlong.app.queue import Queue

DAY = 24 * 3600
TITLE = f'<div class="ml-head"><h1>mindlong</h1><span>long-video diffusion on MindSpore, {__version__}</span></div>'


def page(place: Place, queue: Queue, with_users: bool) -> gr.Blocks:
    """The page's Blocks.

    Args:
        with_users: people log in; otherwise browsers are told apart.
    """
    desk_of = desks(place, with_users)
    with gr.Blocks(
        title="mindlong", analytics_enabled=False, delete_cache=(DAY, DAY), fill_width=True
    ) as blocks:
        gr.HTML(TITLE)
        with gr.Tabs():
            with gr.Tab("Make", id="make"):
                make = MakeTab(place, desk_of)
            with gr.Tab("Jobs", id="jobs"):
                JobsTab(place, queue, desk_of, make.started)
            with gr.Tab("Earlier runs", id="earlier") as tab:
                earlier = EarlierTab(place, desk_of, make.started)
            with gr.Tab("Trainings", id="trainings"):
                trainings = TrainingsTab(place, desk_of)
        quiet = {"api_visibility": "private", "show_progress": "hidden"}
        tab.select(earlier.rows, None, earlier.table, **quiet)
        blocks.load(make.weights_now, make.named, make.lists, **quiet)
        blocks.load(trainings.first, trainings.which, trainings.outputs, **quiet)
    blocks.queue(default_concurrency_limit=8)
    return blocks

"""The tab in which a run is described, planned and started."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gradio as gr

from mindlong.app.form import Form
from mindlong.app.page import fields, html
from mindlong.app.uploads import of_name
from mindlong.utils.errors import UserError

if TYPE_CHECKING:
    from mindlong.app.page.whose import DeskOf
    from mindlong.app.place import Place

FIRST = "text_to_video"
EVERY = 5.0  # seconds between two looks for weights
SHOWN = (
    "negative",
    "scenes",
    "count",
    "video",
    "images",
    "last",
    "strength",
    "branch",
    "key_weights",
)
KEPT = ("video", "images", "last")  # fields that hold names of uploads
BRANCH = ["", "shipped:infinet_shapes"]
VIDEO_TYPES = [".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi", ".gif", ".apng", ".webp"]
IMAGE_TYPES = [".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"]
NOTHING = (
    "Show the plan to see what would be made, the memory and the time. Nothing is started by it."
)


class MakeTab:
    """Builds the tab inside the current Blocks.

    Attributes:
        started: a gr.State that holds the number of the job that was started last.
        lists: what `weights_now` fills.
    """

    def __init__(self, place: Place, desk_of: DeskOf) -> None:
        self.place, self.desk_of = place, desk_of
        self.by_name: dict[str, Any] = {}
        with gr.Row(equal_height=False):
            with gr.Column(scale=3, min_width=420):
                self._what()
                self._given()
                self._sampling()
            with gr.Column(scale=2, min_width=340):
                self._plan()
        self.named = gr.State([])  # the weights in the lists
        self.lists = [self.by_name["weights"], self.by_name["key_weights"], self.named]
        self._wire()

    def weights_now(self, named: Any) -> list[Any]:
        """The lists of weights where they have changed: trainings begin and files arrive while the
        page is shown. What is chosen or typed stays.

        Args:
            named: the weights in the lists.
        """
        found = fields.weights_named(self.place)
        if found == named:
            return [gr.skip()] * 3
        return [gr.update(choices=found), gr.update(choices=["", *found]), found]

    def _add(self, name: str, component: Any) -> Any:
        self.by_name[name] = component
        return component

    def _what(self) -> None:
        usual = fields.USUAL[FIRST]
        self._add(
            "pipeline",
            gr.Dropdown(
                fields.choices(),
                value=FIRST,
                label="Pipeline",
                info=fields.about(FIRST),
                elem_id="pipeline",
            ),
        )
        self._add(
            "weights",
            gr.Dropdown(
                fields.weights_named(self.place),
                value=usual["weights"],
                label="Weights",
                info="shipped, or the path of a file or folder that this page was started with",
                allow_custom_value=True,
                elem_id="weights",
            ),
        )
        self._add(
            "prompts",
            gr.Textbox(
                fields.PROMPT,
                label="Prompts",
                info="one a line; a video for each",
                lines=3,
                elem_id="prompts",
            ),
        )
        self._text(
            "negative",
            "Negative prompt",
            "what the video should not show; needs guidance above 1",
            1,
        )
        self._text(
            "scenes", "Scenes", "one a line, FRAMES: PROMPT, for example 0-15: a red circle", 2
        )

    def _text(self, name: str, label: str, info: str, lines: int) -> None:
        shown = fields.takes(FIRST, name) if name in SHOWN else True
        self._add(
            name,
            gr.Textbox("", label=label, info=info, lines=lines, visible=shown, elem_id=name),
        )

    def _given(self) -> None:
        with gr.Row():
            self.files = {
                "video": self._file("video", "Video", VIDEO_TYPES, "single"),
                "images": self._file("images", "Images", IMAGE_TYPES, "multiple"),
                "last": self._file("last", "Last image", IMAGE_TYPES, "single"),
            }
        self.kept = {name: gr.State([]) for name in KEPT}
        self.checked = gr.HTML("", elem_id="upload_said")
        self._number("strength", "Strength", 0, "share of the noise levels; 0: the usual one", 0.05)
        self._choice("branch", "Control branch", BRANCH, "empty: the one in the weights")
        self._choice(
            "key_weights",
            "Weights of the key frames",
            ["", *fields.weights_named(self.place)],
            "where neither video nor images are given; empty: the weights above",
        )

    def _file(self, name: str, label: str, types: list[str], count: str) -> gr.File:
        return gr.File(
            label=label,
            file_types=types,
            file_count=count,
            type="filepath",
            height=130,
            visible=fields.takes(FIRST, name),
            elem_id=f"{name}_file",
        )

    def _choice(self, name: str, label: str, choices: list[str], info: str) -> None:
        self._add(
            name,
            gr.Dropdown(
                choices,
                value="",
                label=label,
                info=info,
                allow_custom_value=True,
                visible=fields.takes(FIRST, name),
                elem_id=name,
            ),
        )

    def _number(self, name: str, label: str, value: float, info: str = "", step: float = 1) -> None:
        shown = fields.takes(FIRST, name) if name in SHOWN else True
        self._add(
            name,
            gr.Number(
                value, label=label, info=info or None, step=step, minimum=0, visible=shown, elem_id=name,
                min_width=110,
            ),
        )  # fmt: skip

    def _sampling(self) -> None:
        usual = fields.USUAL[FIRST]
        with gr.Row():
            self._number("steps", "Denoising steps", usual["steps"])
            self._number("guidance", "Guidance scale", usual["guidance"], step=0.1)
            self._number("seed", "Seed", 0)
            self._number("frames", "Frames", 0, "0: as trained")
        with gr.Accordion("Size, files and previews", open=False):
            with gr.Row():
                self._number("height", "Height", 0, "0: as trained")
                self._number("width", "Width", 0, "0: as trained")
                self._number("fps", "Frames per second", 0, "0: usual")
            with gr.Row():
                self._number("count", "Videos per prompt", 1)
                self._number("scale", "Enlarge", 4, "whole number, for small videos")
                self._number("deflicker", "Deflicker", 0, "0: none; 2: five frames averaged")
                self._number("previews", "Preview every", 5, "steps; 0: none")
            self._add(
                "formats",
                gr.CheckboxGroup(
                    ["mp4", "gif", "png", "webm", "frames"],
                    value=["mp4", "png"],
                    label="Files",
                    info="png: contact sheet",
                    elem_id="formats",
                ),
            )
        with gr.Accordion("Other keys", open=False):
            self._text("more", "Keys", "key=value, one a line, as infer.py --help lists them", 3)

    def _plan(self) -> None:
        with gr.Row():
            self.show = gr.Button("Show the plan", elem_id="show_plan")
            self.start = gr.Button("Start", variant="primary", elem_id="start")
        self.plan = gr.HTML(html.empty(NOTHING), elem_id="plan")
        self.started = gr.State("")

    def _wire(self) -> None:
        inputs = [*self.by_name.values(), *self.kept.values()]
        quiet = {"api_visibility": "private", "show_progress": "hidden"}
        self.show.click(self._planned, inputs, self.plan, api_visibility="private")
        self.start.click(self._begun, inputs, [self.plan, self.started], **quiet)
        named = [self.by_name[name] for name in ("pipeline", *USUALLY)]
        outputs = [*(self._shown_as(name) for name in SHOWN), *named]
        self.by_name["pipeline"].change(self._chosen, self.by_name["pipeline"], outputs, **quiet)
        gr.Timer(EVERY).tick(self.weights_now, self.named, self.lists, **quiet)
        for name, file in self.files.items():
            target = [self.kept[name], self.checked]
            file.upload(self._keeper(name), file, [*target, file], **quiet)
            file.clear(lambda: ([], ""), None, target, **quiet)

    def _shown_as(self, name: str) -> Any:
        return self.files[name] if name in self.files else self.by_name[name]

    def _chosen(self, pipeline: str) -> list[Any]:
        if pipeline not in fields.USUAL:
            return [gr.skip()] * (len(SHOWN) + 1 + len(USUALLY))
        usual = fields.USUAL[pipeline]
        values = {**usual, "key_weights": "", "branch": ""}
        if pipeline == "hierarchical":
            values["branch"] = "shipped:infinet_shapes"
        if pipeline == "interpolate":
            values["key_weights"] = "shipped:latent_shapes"
        shown = [
            gr.update(visible=fields.takes(pipeline, name))
            if name not in values
            else gr.update(visible=fields.takes(pipeline, name), value=values[name])
            for name in SHOWN
        ]
        about = gr.update(info=fields.about(pipeline))
        return [*shown, about, *(gr.update(value=values[name]) for name in USUALLY)]

    def _keeper(self, name: str) -> Callable[..., Any]:
        def kept(files: Any, request: gr.Request) -> tuple[list[str], str, Any]:
            paths = files if isinstance(files, list) else [files] if files else []
            try:
                desk = self.desk_of(request)
                names = [desk.upload(path).name for path in paths]
            except UserError as error:
                return [], html.error(error), None
            return names, html.good(f"{name}: {len(names)} checked and kept"), gr.skip()

        return kept

    def _form(self, values: tuple[Any, ...], request: gr.Request) -> Form:
        given = dict(zip([*self.by_name, *KEPT], values, strict=True))
        person = self.desk_of(request).person
        held = {
            name: [str(of_name(each, person)) for each in given.pop(name) or []] for name in KEPT
        }
        pipeline = given["pipeline"]
        for name in KEPT:
            if pipeline in fields.USUAL and not fields.takes(pipeline, name):
                held[name] = []
        return Form(
            **{name: _plain(name, value) for name, value in given.items()},
            video=next(iter(held["video"]), ""),
            images=tuple(held["images"]),
            last=next(iter(held["last"]), ""),
        )

    def _planned(self, request: gr.Request, *values: Any) -> str:
        try:
            return html.plan(self.desk_of(request).plan(self._form(values, request)))
        except UserError as error:
            return html.error(error)

    def _begun(self, request: gr.Request, *values: Any) -> tuple[str, Any]:
        try:
            job = self.desk_of(request).submit(self._form(values, request))
        except UserError as error:
            return html.error(error), gr.skip()
        return html.good(f"Job {job.name} is in the queue; the tab Jobs shows it."), job.name


USUALLY = ("weights", "steps", "guidance", "frames")
TEXTS = ("pipeline", "weights", "prompts", "negative", "scenes", "branch", "key_weights", "more")


def _plain(name: str, value: Any) -> Any:
    """A field's value as a form has it, whatever a browser sends."""
    if name == "formats":
        return tuple(str(each) for each in value or ())
    if name in TEXTS:
        return str(value or "")
    if name == "guidance" and value in (None, ""):
        return None  # left empty; a 0 is meant
    kind = float if name in ("guidance", "strength") else int
    try:
        return kind(value or 0)
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{name} is {str(value)[:40]!r}; it must be a number") from None

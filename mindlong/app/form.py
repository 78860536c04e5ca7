"""What a person fills in, as the keys of a configuration. Whatever is left empty keeps the
pipeline's own default.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mindlong.app.allowed import check_given, literal
from mindlong.config.command_line import pairs
from mindlong.config.leaves import leaves
from mindlong.config.pipelines import PIPELINES, pipeline
from mindlong.utils.errors import ConfigError
from mindlong.utils.shown import shown

VIDEO = {  # pipelines that take a video, and the key of it
    "extend": "extend.video",
    "interpolate": "interpolate.video",
    "edit": "edit.video",
    "text_to_video": "text_to_video.video",
    "hierarchical": "hierarchical.video",
}
IMAGE = {"animate": "animate.image", "hierarchical": "hierarchical.first"}  # that take one image
IMAGES = {"extend": "extend.images", "interpolate": "interpolate.images"}  # that take several
LAST = {"animate": "animate.last", "hierarchical": "hierarchical.last"}  # the image at the end
STRENGTH = {"edit": "edit.strength", "text_to_video": "text_to_video.strength"}
LONGEST = 20_000  # letters of one field


@dataclass(frozen=True)
class Form:
    """The fields, as typed. Uploads are paths of files that were checked and kept.

    Attributes:
        prompts: one a line. scenes: one a line, `0-99: a red circle`.
        guidance: None where it was left empty; 0 is a scale of its own.
        more: other keys, one `key=value` a line.
    """

    pipeline: str
    weights: str = ""
    prompts: str = ""
    negative: str = ""
    scenes: str = ""
    count: int = 1
    seed: int = 0
    frames: int = 0
    height: int = 0
    width: int = 0
    fps: int = 0
    scale: int = 1
    deflicker: int = 0
    steps: int = 0
    guidance: float | None = None
    previews: int = 0
    formats: tuple[str, ...] = ()
    video: str = ""
    images: tuple[str, ...] = field(default=())
    last: str = ""
    strength: float = 0.0
    branch: str = ""
    key_weights: str = ""
    more: str = ""


def tree_of(form: Form) -> dict[str, Any]:
    """The nested keys of a form.

    Raises:
        ConfigError: a field that cannot be read, or that the pipeline has not.
    """
    _check_length(form)
    flat: dict[str, Any] = {"pipeline": form.pipeline, **_common(form), **_texts(form)}
    flat |= _given(form)
    for name, key in (
        ("branch", "hierarchical.branch"),
        ("key_weights", "interpolate.key_weights"),
    ):
        if getattr(form, name) and key.startswith(f"{form.pipeline}."):
            flat[key] = getattr(form, name)
    return _nested(flat)


def more_of(form: Form) -> list[str]:
    """The `key=value` lines at the end of a form. Raises ConfigError for one that is none, or not a
    person's to set.
    """
    lines = [line.strip() for line in form.more.splitlines()]
    given = [line for line in lines if line and not line.startswith("#")]
    found = pairs(given)
    check_given([pair.key for pair in found])
    own = {pair.key.rpartition(".")[2] for pair in found}
    if "work" in own or "output" in own:
        raise ConfigError("where a run writes is set by the page")
    return given


def _common(form: Form) -> dict[str, Any]:
    held = {
        "weights": form.weights or pipeline(form.pipeline).schema().weights,
        "seed": int(form.seed),
        "count": 0 if form.count == 1 else int(form.count),
        "frames": int(form.frames),
        "fps": int(form.fps),
        "scale": 0 if form.scale == 1 else int(form.scale),
        "deflicker": int(form.deflicker),
        "sample.steps": int(form.steps),
        "preview_every": int(form.previews),
        "formats": list(form.formats),
    }
    if form.height or form.width:
        held["size"] = [int(form.height), int(form.width)]
    found = {key: value for key, value in held.items() if value or key == "seed"}
    if form.guidance is not None:  # 0 too: away from no prompt, which is not the usual scale
        found["sample.guidance"] = float(form.guidance)
    return found


def _texts(form: Form) -> dict[str, Any]:
    prompts = [literal(line.strip()) for line in form.prompts.splitlines() if line.strip()]
    found: dict[str, Any] = {"prompts": prompts} if prompts else {}
    if form.negative.strip():
        found[_key(form.pipeline, "negative", "a negative prompt")] = form.negative.strip()
    scenes = _scenes(form.scenes)
    if scenes:
        key = _key(form.pipeline, "scenes", "scenes", "scene")
        several = "list" in str(leaves(pipeline(form.pipeline).schema)[key].hint)
        found[key] = [scenes] if several else scenes
    return found


def _scenes(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        frames, colon, prompt = line.partition(":")
        if not colon or not prompt.strip() or frames.strip() in found:
            raise ConfigError(
                f"line {number} of the scenes is {shown(line.strip(), most=60)!r}; each is written FRAMES: PROMPT, for "
                "example 0-99: a red circle, and every range once"
            )
        found[frames.strip()] = prompt.strip()
    return found


def _given(form: Form) -> dict[str, Any]:
    """The keys of uploads. One image alone is what a video begins with, or is made from."""
    found: dict[str, Any] = {}
    name, many = form.pipeline, list(form.images)
    if form.video:
        found[_of(VIDEO, name, "a video")] = form.video
    if many and name in IMAGE and len(many) == 1:
        found[IMAGE[name]] = many[0]
    elif many and name == "animate":
        found["animate.images"] = many
    elif many and name == "hierarchical":
        found["hierarchical.images"] = many
    elif many and name == "text_to_video":
        found["text_to_video.image"] = _only(many, "text_to_video.image")
    elif many:
        found[_of(IMAGES, name, "images")] = many
    if form.last:
        found[_of(LAST, name, "an image at the end")] = form.last
    if form.strength and name in STRENGTH and (form.video or many):
        found[STRENGTH[name]] = float(form.strength)
    return found


def _only(many: list[str], key: str) -> str:
    """The image of a key that takes one. Raises ConfigError where there are more, since all but the
    first would be left out without a word.
    """
    if len(many) > 1:
        raise ConfigError(f"{len(many)} images were given; {key} takes one: leave one of them")
    return many[0]


def _of(table: dict[str, str], name: str, what: str) -> str:
    if name not in table:
        raise ConfigError(
            f"pipeline {name} takes no {what.removeprefix('a ')}; {', '.join(table)} do"
        )
    return table[name]


def _key(name: str, word: str, what: str, *others: str) -> str:
    """The key of a field: a common one, or the pipeline's own."""
    known = leaves(pipeline(name).schema)
    for key in (word, *(f"{name}.{each}" for each in (word, *others))):
        if key in known:
            return key
    having = [
        each
        for each, entry in PIPELINES.items()
        if any(f"{each}.{w}" in leaves(entry.schema) for w in (word, *others))
    ]
    raise ConfigError(f"pipeline {name} takes no {what.removeprefix('a ')}; {', '.join(having)} do")


def _check_length(form: Form) -> None:
    for name in ("prompts", "negative", "scenes", "more", "weights", "branch", "key_weights"):
        value = getattr(form, name)
        if len(value) > LONGEST:
            raise ConfigError(f"{name} has {len(value):,} letters; at most {LONGEST:,} are taken")
        if "\0" in value:
            raise ConfigError(f"{name} holds the character NUL, which no text of a run may")
    if form.pipeline not in PIPELINES:
        pipeline(form.pipeline)


def _nested(flat: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *sections, last = key.split(".")
        node = tree
        for section in sections:
            node = node.setdefault(section, {})
        node[last] = value
    return tree

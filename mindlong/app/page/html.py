"""Pieces of HTML. Every word that comes from outside is escaped here."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from html import escape as escape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from mindlong.app.estimate import spoken
from mindlong.app.job import RUNNING, WAITING, Job, number

if TYPE_CHECKING:
    from mindlong.app.desk import Plan

STRONG = ("peak memory", "time")
VIDEOS = (".mp4", ".webm")


def error(sentence: object) -> str:
    """A refusal."""
    return f'<div class="ml-error" role="alert">{escape(str(sentence))}</div>'


def good(sentence: object) -> str:
    """That something was done."""
    return f'<div class="ml-good" role="status">{escape(str(sentence))}</div>'


def empty(sentence: str) -> str:
    """In the place of what is not there yet."""
    return f'<div class="ml-empty">{escape(sentence)}</div>'


def table(rows: Iterable[Sequence[str]], strong: Sequence[str] = ()) -> str:
    """Names and values."""
    lines = "".join(
        f'<tr class="{"ml-strong" if name in strong else ""}"><td>{escape(name)}</td><td>{escape(value)}</td></tr>'
        for name, value in rows
    )
    return f'<table class="ml-table">{lines}</table>'


def plan(found: Plan) -> str:
    """What a dry run says."""
    rows = [*found.rows, ("time", found.time)]
    notes = "".join(f'<p class="ml-note">Note: {escape(note)}</p>' for note in found.notes)
    return table(rows, STRONG) + notes


def progress(job: Job, state: str, before: int) -> str:
    """A job's state, and how far it is."""
    about = job.about()
    title = escape(str(about.get("title", "")))
    head = f'<div><span class="ml-state {state}">{state}</span><b>{title}</b></div>'
    if state == WAITING:
        return head + f'<p class="ml-note">{before} before it in the queue</p>'
    if state == RUNNING:
        return head + _bar(job)
    if state == "failed":
        return head + error(job.sentence() or "it ended without a word")
    return head


def _bar(job: Job) -> str:
    held = job.progress()
    done, total = number(held.get("done")), number(held.get("total"))
    what = str(held.get("what", "starting"))
    known = bool(total)
    share = min(100.0, 100.0 * done / total) if known else 0.0
    count = f" {done:g} of {total:g} {held.get('unit', '')}s" if known else ""
    waited = spoken(max(0.0, time.time() - job.since("started")))
    kind = "" if known else " ml-unknown"
    return (
        f'<div class="ml-bar{kind}" role="progressbar" aria-valuenow="{share:.0f}"><div style="width:{share:.1f}%">'
        f'</div></div><p class="ml-note">{escape(what)}{escape(count)}, {waited} so far</p>'
    )


def media(copies: Sequence[str]) -> str:
    """Players and images of copies that the browser may fetch."""
    return (
        f'<div class="ml-media">{"".join(_figure(path) for path in copies)}</div>' if copies else ""
    )


def _figure(path: str) -> str:
    address = escape(f"/gradio_api/file={quote(path)}")
    name = escape(Path(path).name)
    if Path(path).suffix in VIDEOS:
        shown = f'<video src="{address}" controls loop muted autoplay playsinline></video>'
    else:
        shown = f'<img src="{address}" alt="{name}">'
    return f"<figure>{shown}<figcaption>{name}</figcaption></figure>"

"""How the page looks: fonts of the machine (nothing is fetched), widths, the few things of ours."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")
HEAD = "<title>mindlong</title>"
CSS = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")


def theme() -> gr.themes.Base:
    """Gradio's soft theme in one colour, with fonts that are on the machine."""
    return gr.themes.Soft(
        primary_hue="indigo",
        secondary_hue="indigo",
        neutral_hue="slate",
        radius_size="sm",
        font=list(SANS),
        font_mono=list(MONO),
    )

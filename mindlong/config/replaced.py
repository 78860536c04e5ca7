"""Keys of which a command line's takes the place of a file's: two ways to say one thing, such as
`prompt` and `prompts`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from mindlong.config.given import Setting

SCENES = (
    "text_to_video",
    "animate",
    "hierarchical",
    "interpolate",
    "extend",
    "edit",
    "clip_parallel",
)
SHOWN = ("prompt", "prompts", *(f"{name}.scenes" for name in SCENES))
INFER = (
    *(((key,), tuple(k for k in SHOWN if k != key)) for key in SHOWN),
    (("interpolate.factor",), ("interpolate.factors",)),
    (("interpolate.factors",), ("interpolate.factor",)),
    (("interpolate.video",), ("interpolate.images", "interpolate.key_latents")),
    (("interpolate.images",), ("interpolate.video", "interpolate.key_latents")),
    (("interpolate.key_latents",), ("interpolate.video", "interpolate.images")),
    (("extend.video",), ("extend.images",)),
    (("extend.images",), ("extend.video",)),
    (("steps",), ("sample.steps",)),
    (("sample.steps",), ("steps",)),
)
TRAIN = (
    (("tune.video",), ("tune.videos", "tune.prompts")),
    (("tune.videos",), ("tune.video", "tune.prompt")),
)
Rules = tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]


def replaced(
    rules: Rules, typed: Collection[str], settings: Mapping[str, Setting]
) -> Iterator[tuple[str, str]]:
    """(key, sentence) of every key of a file that one of the command line replaces.

    Args:
        typed: the keys of the command line. settings: those of the file.
    """
    done: set[str] = set()
    for ours, theirs in rules:
        for key in theirs:
            if set(ours) & set(typed) and key in settings and key not in {*typed, *done}:
                done.add(key)
                place = settings[key].place
                yield key, f"{ours[0]} of the command line replaces {key} of {place}"

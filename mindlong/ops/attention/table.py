"""Which backend computes an attention: a table of limits, asked before a graph is built.

| backend      | where                                                            |
|--------------|------------------------------------------------------------------|
| `native`     | CPU: the C++ operator                                            |
| `flash_910b` | 910B: the vendor's `ops.flash_attention_score`                   |
| `flash_910a` | 910A: the Ascend C kernel of `mindlong/ops/ascendc`, once built  |
| `chunked`    | anywhere: the plain form by chunks of queries, with recomputation |
| `math`       | anywhere: the plain form, the oracle of all others               |

Kinds of masks: "none"; "keys" (how many keys of each batch row count); "band" (a window of whole
frames); "bias" (any additive float mask). Directions: "forward" (no gradient is asked for) and
"train".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mindlong.utils.errors import ConfigError, did_you_mean

MASKS = ("none", "keys", "band", "bias")
DIRECTIONS = ("forward", "train")
CHIPS = ("cpu", "910a", "910b")
LARGE_SCORES = 1 << 28  # bytes of float32 scores from which the plain form is taken by chunks


@dataclass(frozen=True)
class Limits:
    """What a backend can do. Lengths are tokens; a head's width may be padded up to a multiple of
    `step`.
    """

    chips: tuple[str, ...] = CHIPS
    dtypes: tuple[str, ...] = ("float32", "float16", "bfloat16")
    head_dims: tuple[int, int] = (1, 1 << 20)
    masks: tuple[str, ...] = MASKS
    directions: tuple[str, ...] = DIRECTIONS
    length: int = 1 << 31
    heads: int = 1 << 31
    worth: int = 1  # queries from which "auto" takes it


@dataclass(frozen=True)
class Choice:
    """A backend and why it was taken."""

    backend: str
    reason: str


BACKENDS: dict[str, Limits] = {
    "native": Limits(chips=("cpu",), dtypes=("float32",), head_dims=(1, 512)),
    "flash_910b": Limits(
        chips=("910b",),
        dtypes=("float16", "bfloat16"),
        head_dims=(1, 512),
        length=512 * 1024,
        heads=256,
    ),
    "flash_910a": Limits(
        chips=("910a",),
        dtypes=("float16",),
        head_dims=(1, 160),
        masks=("none", "keys", "band"),
        length=1 << 20,
        worth=64,
    ),
    "chunked": Limits(),
    "math": Limits(),
}
PREFERRED = {"cpu": ("native",), "910a": ("flash_910a",), "910b": ("flash_910b",)}


def broken_limit(
    backend: str,
    chip: str,
    dtype: str,
    head_dim: int,
    mask_kind: str,
    direction: str,
    lengths: tuple[int, int],
    heads: int = 1,
) -> str | None:
    """The first limit of `backend` that the attention breaks, as words for a message; None if it
    can serve.

    Args:
        lengths: numbers of queries and keys.
    """
    limits = BACKENDS[backend]
    low, high = limits.head_dims
    rules = (
        (chip in limits.chips, f"it runs on {' and '.join(limits.chips)}, and this is {chip}"),
        (dtype in limits.dtypes, f"it takes {' or '.join(limits.dtypes)}, not {dtype}"),
        (low <= head_dim <= high, f"it takes heads of width {low} to {high}, not {head_dim}"),
        (
            mask_kind in limits.masks,
            f"it takes the masks {', '.join(limits.masks)}, not {mask_kind!r}",
        ),
        (direction in limits.directions, f"it has no gradient, and the direction is {direction!r}"),
        (
            max(lengths) <= limits.length,
            f"it takes at most {limits.length} tokens, not {max(lengths)}",
        ),
        (heads <= limits.heads, f"it takes at most {limits.heads} heads, not {heads}"),
    )
    return next((words for holds, words in rules if not holds), None)


def choose(
    chip: str,
    dtype: str,
    head_dim: int,
    mask_kind: str,
    direction: str,
    lengths: tuple[int, int],
    *,
    heads: int = 1,
    rows: int = 1,
    forced: str = "auto",
    missing: Mapping[str, str] | None = None,
) -> Choice:
    """The backend for an attention, decided from what is known before the graph is built.

    Args:
        chip: "cpu", "910a" or "910b" (`device.chip()`).
        dtype: of queries, keys and values: "float32", "float16" or "bfloat16".
        head_dim: width of a head.
        mask_kind: one of `MASKS`.
        direction: one of `DIRECTIONS`.
        lengths: numbers of queries and of keys.
        heads, rows: heads, and batch rows.
        forced: a backend's name, or "auto".
        missing: backends that are not there, with the reason ("the operator is not built").
    Raises:
        ConfigError: a word that is none of the above, or the forced backend cannot serve; the
            message names the limit.
    """
    _check_words(chip, mask_kind, direction, forced)
    missing = missing or {}
    question = (chip, dtype, head_dim, mask_kind, direction, lengths, heads)
    if forced != "auto":
        broken = missing.get(forced) or broken_limit(forced, *question)
        if broken:
            raise ConfigError(
                f"attention.backend is {forced!r}, which cannot serve here: {broken}; take another or 'auto'"
            )
        return Choice(forced, "asked for")
    refused = []
    for name in PREFERRED[chip]:
        broken = missing.get(name) or broken_limit(name, *question)
        if broken is None and lengths[0] < BACKENDS[name].worth:
            broken = f"its tiles would be nearly empty with {lengths[0]} queries"
        if broken is None:
            return Choice(name, f"the fastest on {chip}")
        refused.append(f"not {name}: {broken}")
    return _plain(rows * heads * lengths[0] * lengths[1] * 4, refused, chip)


def _plain(score_bytes: int, refused: list[str], chip: str) -> Choice:
    why = "; ".join(refused)
    if (
        chip != "cpu" and score_bytes > LARGE_SCORES
    ):  # the CPU's graph runtime keeps every chunk and gains nothing
        return Choice("chunked", f"{why}; the scores would take {score_bytes >> 20} MB")
    return Choice("math", why)


def _check_words(chip: str, mask_kind: str, direction: str, forced: str) -> None:
    for field, word, valid in (
        ("the chip", chip, CHIPS),
        ("the kind of mask", mask_kind, MASKS),
        ("the direction", direction, DIRECTIONS),
        ("attention.backend", forced, ("auto", *BACKENDS)),
    ):
        if word not in valid:
            raise ConfigError(f"{field} is {word!r}.{did_you_mean(word, valid)}")

"""What to say of a key that a configuration does not have: the nearest, or what it belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mindlong.utils.errors import did_you_mean, nearest


def unknown_key(key: str, known: Iterable[str], strangers: Mapping[str, str]) -> str:
    """A sentence on the unknown `key`.

    Args:
        known: the keys that there are.
        strangers: keys of other pipelines and commands -> a sentence on what they belong to.
    """
    keys = list(known)
    section, _, last = key.rpartition(".")
    same = [k for k in keys if k.rpartition(".")[2] == last]
    if same and not section:
        return f"unknown key {key!r}. Did you mean {' or '.join(map(repr, same[:3]))}?"
    if key in strangers:
        return strangers[key]
    top = f"{key.partition('.')[0]}."
    if top in strangers and not any(k.startswith(top) for k in keys):
        return strangers[top]
    if same:
        return f"unknown key {key!r}. Did you mean {' or '.join(map(repr, same[:3]))}?"
    beside = [k for k in keys if k.startswith(key.rpartition(".")[0] + ".")] if "." in key else keys
    close = nearest(key, beside) or nearest(key, keys) or nearest_last(last, keys)
    if close:
        return f"unknown key {key!r}. Did you mean {close[0]!r}?"
    return f"unknown key {key!r}.{did_you_mean(key, beside or keys)}"


def nearest_last(last: str, keys: Iterable[str]) -> list[str]:
    """The key whose last name is most like `last`, as a list of at most one."""
    by_last = {key.rpartition(".")[2]: key for key in keys}
    return [by_last[name] for name in nearest(last, by_last)]

"""The tensors of one network under our names, whatever names its file has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mindlong.checkpoints.convert import to_ours
from mindlong.checkpoints.recognise import recognise
from mindlong.checkpoints.report import compare
from mindlong.utils.errors import InputFileError

if TYPE_CHECKING:
    from mindlong.checkpoints.lazy import Lazy
    from mindlong.checkpoints.report import Report
    from mindlong.checkpoints.weight_file import WeightFile
    from mindlong.networks.names import Entry


def our_weights(
    weights: WeightFile,
    network: tuple[str, str],
    entries: Sequence[Entry],
    which: str | None = None,
    allow: Sequence[str] = (),
    overrides: Mapping[str, Any] | None = None,
    spec: Any = None,
) -> dict[str, Lazy]:
    """The tensors of one network under our names, from a file of ours or of the original, whichever
    it is.

    Args:
        network: its (family, part).
        entries: what the network needs, from its spec; only their `ours` and `our_shape` matter.
        allow: patterns of our names that may be missing or left over; a network that starts from
            another family's weights takes them where the fresh tensors are let pass.
        overrides: fields of the spec that the shapes do not tell and that change no shape.
        spec: the network's, where it is known; None: an original's file tells it.

    Raises:
        InputFileError: not such a file, or it does not fit the entries.
        ConfigError: an unknown family or part.
    """
    match = recognise(weights, which, *network)[0]
    if match.ours:
        held = {
            name.removeprefix(match.prefix): weights.lazy(name)
            for name in weights
            if name.startswith(match.prefix)
        }
        if match.based:
            started = {e.ours: match.based.base_name(e.ours) for e in entries}
            held = {ours: held[name] for ours, name in started.items() if name in held}
    else:
        plan = to_ours(weights, match, overrides=overrides, spec=spec)
        _check_fits(weights, plan.report)
        held = plan.arrays
    report = compare(
        {e.ours: e.our_shape for e in entries}, {n: a.shape for n, a in held.items()}, allow
    )
    _check_fits(weights, report)
    return held


def _check_fits(weights: WeightFile, report: Report) -> None:
    if not report.fits:
        lines = [f"{weights.path} does not fit the network: {report.summary()}"]
        raise InputFileError("\n".join([*lines, *report.lines()[1:]]))

"""A video network started from an image network, or a hinted one from one without hints; and the
way back.

By our names, of which a pseudo-3D convolution adds `.spatial` to those of the image's: so a
Stable Diffusion UNet gives 686 of the 930 tensors of the pseudo-3D one. A first convolution that
reads more channels than the source's reads the others with zeros, so mask and hints count for
nothing at first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from mindlong.utils.errors import ConfigError

FIRST = ("conv_in.weight", "conv_in.spatial.weight")
LAST_OF_TIME = (
    "*.attn_temporal.to_out.*",
    "*.attn_temp.to_out.*",
)  # with these at zero a fresh attention adds nothing


@dataclass(frozen=True)
class Inflated:
    """`arrays` under the target's names; which of them came from the source, which are fresh."""

    arrays: dict[str, np.ndarray]
    mapped: tuple[str, ...]
    fresh: tuple[str, ...]

    def describe(self) -> str:
        """One line for people."""
        return f"{len(self.mapped)} tensors from the source, {len(self.fresh)} fresh"


def inflate(
    source: Mapping[str, np.ndarray],
    fresh: Mapping[str, np.ndarray],
    identity: bool = True,
    key: str = "",
) -> Inflated:
    """The source's tensors where the target has them, fresh ones elsewhere.

    Args:
        source: a network's arrays under our names.
        fresh: all of the target's, as they are initialised (temporal convolutions are the
            identity).
        identity: fresh temporal attentions start at zero, so that the target does what the source
            does (apart from norms that run over frames together).
        key: that named the source, for errors.

    Raises:
        ConfigError: a shape that does not fit, or tensors of the source that have no place.
    """
    arrays, mapped, used = {}, [], set()
    where = f"{key}: " if key else ""
    for name, start in fresh.items():
        known = name if name in source else _flat(name)
        if known in source:
            arrays[name] = _fitted(name, np.asarray(source[known]), start.shape, where)
            mapped.append(name)
            used.add(known)
        else:
            still = identity and any(fnmatchcase(name, pattern) for pattern in LAST_OF_TIME)
            arrays[name] = np.zeros_like(start) if still else start
    left = [name for name in source if name not in used]
    if left:
        raise ConfigError(
            f"{where}{len(left)} tensors of the source have no place in the target, for instance {left[0]}; it is "
            "another architecture"
        )
    return Inflated(arrays, tuple(mapped), tuple(name for name in fresh if name not in set(mapped)))


def _fitted(name: str, array: np.ndarray, shape: tuple[int, ...], where: str) -> np.ndarray:
    if array.shape == tuple(shape):
        return array
    grown = array.shape[:1] + tuple(shape[1:2]) + array.shape[2:]
    if name in FIRST and grown == tuple(shape) and array.shape[1] < shape[1]:
        zeros = np.zeros((array.shape[0], shape[1] - array.shape[1], *array.shape[2:]), array.dtype)
        return np.concatenate([array, zeros], axis=1)
    raise ConfigError(
        f"{where}{name} is {list(array.shape)} in the source and {list(shape)} in the target; their sizes differ"
    )


def deflate(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The image's network out of a pseudo-3D one, bit for bit: what works over time is left
    out.
    """
    temporal = (".temporal.", ".attn_temporal.", ".norm_temporal.")
    return {
        _flat(name): array
        for name, array in arrays.items()
        if not any(part in name for part in temporal)
    }


def _flat(name: str) -> str:
    """The image's name of a pseudo-3D convolution's tensor; any other as it is (transformers are
    called spatial too).
    """
    return re.sub(r"\.spatial\.(weight|bias)$", r".\1", name)

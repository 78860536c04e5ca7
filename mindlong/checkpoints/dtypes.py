"""The number formats of weight files, and bfloat16, which numpy does not know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from mindlong.utils.errors import ConfigError, UserError, did_you_mean


@dataclass(frozen=True)
class Format:
    """A number format: its name here, its code in safetensors, its storage class in PyTorch, and
    how bytes hold it.
    """

    name: str
    code: str
    storage: str
    raw: np.dtype

    @property
    def size(self) -> int:
        """Bytes of one number."""
        return self.raw.itemsize


_ROWS = (
    ("float64", "F64", "DoubleStorage", "<f8"),
    ("float32", "F32", "FloatStorage", "<f4"),
    ("float16", "F16", "HalfStorage", "<f2"),
    ("bfloat16", "BF16", "BFloat16Storage", "<u2"),
    ("int64", "I64", "LongStorage", "<i8"),
    ("int32", "I32", "IntStorage", "<i4"),
    ("int16", "I16", "ShortStorage", "<i2"),
    ("int8", "I8", "CharStorage", "|i1"),
    ("uint8", "U8", "ByteStorage", "|u1"),
    ("bool", "BOOL", "BoolStorage", "|b1"),
)
FORMATS = {name: Format(name, code, storage, np.dtype(raw)) for name, code, storage, raw in _ROWS}
BY_CODE = {f.code: f for f in FORMATS.values()}
BY_STORAGE = {f.storage: f for f in FORMATS.values()}
FOREIGN = {  # formats of other files that are not read here: the code in safetensors -> PyTorch's name
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E8M0": "float8_e8m0fnu",
    "F6_E2M3": "float6_e2m3",
    "F6_E3M2": "float6_e3m2",
    "F4": "float4_e2m1fn_x2",
    "C64": "complex64",
    "C128": "complex128",
    "U16": "uint16",
    "U32": "uint32",
    "U64": "uint64",
}
FLOATS = ("float64", "float32", "float16", "bfloat16")
PIECE = 1 << 20  # numbers cast at once
MAX_DIMS = 32
WIDER = {
    "float16": "use bfloat16 or float32",
    "bfloat16": "use float32",
    "float32": "no network here computes with such numbers: the file is damaged, or its training diverged",
}
CASTS = ("float32", "float16", "bfloat16")


def problem_of_shape(shape: Sequence[int], form: Format) -> str:
    """Why no array can have that shape, as the end of a sentence, or "". Empty axes do not make
    another one harmless: memory is laid out as if they had the length 1.
    """
    numbers = prod(max(int(axis), 1) for axis in shape)
    if len(shape) > MAX_DIMS:
        return f"shape of {len(shape)} axes; {MAX_DIMS} is the most"
    if numbers * form.size >= 2**62:
        return f"shape {list(shape)}, which no memory holds"
    return ""


def unread(found: Sequence[tuple[str, str]]) -> str:
    """The end of a sentence on tensors, (name, format) each, whose numbers are not read here."""
    words = ", ".join(dict.fromkeys(words for _, words in found))
    names = ", ".join(repr(name[:100]) for name, _ in found[:3])
    return (
        f"holds {words} tensors ({len(found)}: {names}{', ...' if len(found) > 3 else ''}), which are not read "
        "here; save them as float16, bfloat16 or float32 with the program that made the file"
    )


def whole_numbers(found: Sequence[str]) -> str:
    """The end of a sentence on tensors, as "'name' (int8)", of whole numbers."""
    more = f" and {len(found) - 3} more tensors" if len(found) > 3 else ""
    return (
        f"{', '.join(found[:3])}{more} hold whole numbers where weights are needed: quantised weights are not "
        "read; save them as float16, bfloat16 or float32 with the program that made the file"
    )


def format_of(array: np.ndarray) -> Format:
    """The format of a numpy array. Raises ConfigError where weight files have none for it."""
    if array.dtype.name not in FORMATS:
        raise ConfigError(
            f"an array of {array.dtype} cannot be stored; weight files hold {', '.join(FORMATS)}"
        )
    return FORMATS[array.dtype.name]


def cast_target(stored: str, wanted: str | None) -> Format:
    """The format in which numbers of format `stored` are written when `wanted` floats are asked for
    (None: as is).
    """
    if wanted is not None and wanted not in CASTS:
        raise ConfigError(f"there is no cast to {wanted!r}.{did_you_mean(wanted, CASTS)}")
    return FORMATS[wanted if wanted and stored in FLOATS else stored]


def decode(raw: np.ndarray, form: Format) -> np.ndarray:
    """Stored numbers as numpy knows them: bfloat16 (uint16 bits) becomes float32, exactly; all else
    stays.
    """
    if form.name != "bfloat16":
        return raw
    wide = raw.astype(np.uint32)
    np.left_shift(wide, np.uint32(16), out=wide)
    return wide.view(np.float32)


def encode(array: np.ndarray, form: Format, name: str = "array") -> np.ndarray:
    """`array` as stored numbers of `form`, C order; bfloat16 is rounded to nearest even and given
    as uint16 bits.

    Casts go piece by piece, so that beside the array only the result takes memory.

    Raises:
        UserError: a finite value is beyond the range of the format.
    """
    if array.dtype == form.raw:
        return np.asarray(array, order="C")
    out, values = np.empty(array.shape, form.raw), array.reshape(-1)
    flat = out.reshape(-1)
    for begin in range(0, values.size, PIECE):
        flat[begin : begin + PIECE] = _cast(values[begin : begin + PIECE], form, name)
    return out


def _cast(values: np.ndarray, form: Format, name: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        if form.name == "bfloat16":
            narrow = np.ascontiguousarray(values, np.float32)
            _check_range(values, np.isinf(narrow), FORMATS["float32"], name)
            return _to_bfloat16(narrow, name)
        out = values.astype(form.raw)
    if form.name in ("float16", "float32") and values.dtype.name in ("float32", "float64"):
        _check_range(values, np.isinf(out), form, name)
    return out


def _to_bfloat16(values: np.ndarray, name: str) -> np.ndarray:
    bits = values.view(np.uint32)
    rounded = bits >> 16
    rounded &= 1
    rounded += 0x7FFF
    rounded += bits
    rounded >>= 16
    out = rounded.astype(np.uint16)
    nan = np.isnan(values)
    out[nan] = (bits[nan] >> 16).astype(np.uint16) | np.where(bits[nan] & 0x7F0000, 0, 0x40).astype(
        np.uint16
    )
    _check_range(values, (out & 0x7FFF) == 0x7F80, FORMATS["bfloat16"], name)
    return out


def _check_range(values: np.ndarray, infinite: np.ndarray, form: Format, name: str) -> None:
    lost = infinite & np.isfinite(values) if infinite.any() else infinite
    if lost.any():
        worst = float(np.abs(values[lost]).max())
        raise UserError(
            f"{name} holds values up to {worst:.4g}, beyond the range of {form.name}; {WIDER[form.name]}"
        )


def raw_bytes(array: np.ndarray) -> memoryview:
    """The bytes of a C-ordered array, without a copy."""
    return array.reshape(-1).view(np.uint8).data

"""The machine: which chip, which mode, which operators.

Only this file and `parallel` name hardware. `setup` is called by commands, once, before a network
is built.
"""

from __future__ import annotations

import logging
import os

import mindspore as ms

from mindlong.ops.ascendc.installed import unbuilt
from mindlong.utils import log
from mindlong.utils.errors import ConfigError

# What CANN may make of float32 products. A 910A has none: its cube multiplies halves, and
# must_keep_origin_dtype, MindSpore's own choice, is documented as unusable there.
PRECISION_MODES = {"910a": "allow_fp32_to_fp16", "910b": "must_keep_origin_dtype"}

# MindSpore's names of the chips that are known; what begins with one of a 910B's is one.
SOC_910A = ("ascend910", "ascend910a", "ascend910proa", "ascend910prob", "ascend910premiuma")
SOC_910B = ("ascend910b", "ascend910_93")

_state = {"native": "auto", "threads": 0, "bf16": False, "chip": "cpu", "jit_level": "auto"}


def setup(
    target: str = "auto",
    mode: str = "graph",
    device_id: int | None = None,
    jit_level: str = "auto",
    native: str = "auto",
    threads: int = 0,
    hf32: bool = False,
    bf16: bool = False,
) -> None:
    """Choose the device and the execution mode.

    Args:
        target: "CPU", "Ascend", or "auto": Ascend where MindSpore can drive one.
        mode: "graph" or "pynative".
        device_id: which NPU; None: MindSpore's choice.
        jit_level: Ascend only: O0, O1, O2, or auto; see `level_for`.
        native, threads, bf16: see `configure`.
        hf32: 910B only: float32 products may round their inputs to 10 bits of mantissa.
    Raises:
        ConfigError: Ascend was asked for and MindSpore cannot drive one here, or the NPU is
            neither a 910A nor a 910B.
    """
    eager = (
        mode != "graph"
    )  # in order: an error then shows at its operator, and a busy machine is not slowed tenfold
    ms.set_context(mode=ms.PYNATIVE_MODE if eager else ms.GRAPH_MODE, pynative_synchronize=eager)
    _state["chip"] = (
        _open_ascend(device_id) if target != "CPU" and _ascend_present(target) else _open_cpu()
    )
    level = level_for(_state["chip"], jit_level, unbuilt() is None)
    _state["jit_level"] = "O0" if eager else level
    if level != "auto":
        ms.set_context(jit_config={"jit_level": level})
    if _state["chip"] != "cpu":
        set_precision(_state["chip"], hf32)
    elif hf32 or jit_level != "auto":
        idle = "env.hf32" if hf32 else f"env.jit_level={jit_level}"
        log.once(f"{idle} is for Ascend and does nothing on this CPU", logging.WARNING)
    configure(native, threads, bf16)


def level_for(chip: str, asked: str, built: bool) -> str:
    """The jit level to set, or "auto" for MindSpore's own choice.

    `asked` if it is not auto; else O0 on a 910B, and on a 910A whose operators are built, for
    custom operators are documented with O0 alone. MindSpore's own choice on a 910A is O2.
    """
    if chip == "cpu":
        return "auto"
    return "O0" if asked == "auto" and (chip == "910b" or built) else asked


def chip_of(soc: str) -> str:
    """ "910a" or "910b", of MindSpore's name of a chip. Raises ConfigError for any other."""
    if soc.startswith(SOC_910B):
        return "910b"
    if soc in SOC_910A:
        return "910a"
    raise ConfigError(
        f"the NPU here is {soc!r}, for which nothing was written; it must be a 910A (ascend910) or a 910B "
        "(ascend910b, ascend910_93), or take env.device_target=CPU"
    )


def set_precision(chip: str, hf32: bool) -> None:
    """Tell CANN what may become of float32 products on `chip`; see PRECISION_MODES.

    Raises:
        ConfigError: HF32 on a chip that does not have it.
    """
    if hf32 and chip != "910b":
        raise ConfigError("env.hf32 is true; HF32 is a format of the 910B alone, leave it false")
    asked = ms.device_context.ascend.op_precision
    asked.precision_mode(PRECISION_MODES[chip])
    if chip == "910b":  # CANN's own choice is HF32 for convolutions and not for matrix products
        asked.matmul_allow_hf32(hf32)
        asked.conv_allow_hf32(hf32)


def _ascend_present(target: str) -> bool:
    found = any(os.path.exists(path) for path in ("/dev/davinci_manager", "/dev/davinci0"))
    if target == "Ascend" and not found:
        raise ConfigError(
            "env.device_target is Ascend, but no NPU device file (/dev/davinci0) is here; take CPU or auto"
        )
    return found


def _open_ascend(device_id: int | None) -> str:
    try:
        ms.set_device("Ascend", device_id) if device_id is not None else ms.set_device("Ascend")
        soc = ms.context.MSContext.get_instance().get_ascend_soc_version()
    except (RuntimeError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise ConfigError(
            f"an NPU is here but MindSpore cannot drive it ({first}); see docs/ascend.md, "
            "or env.device_target=CPU"
        ) from None
    return chip_of(soc)


def _open_cpu() -> str:
    if (
        ms.get_context("device_target") != "CPU"
    ):  # MindSpore refuses to be told once it has computed something
        ms.set_device("CPU")
    return "cpu"


def build_for(chip: str) -> None:
    """Have cells built from now on take the form for `chip`, without one being here: to look at
    their graphs. "cpu" is the way back.
    """
    _state["chip"] = chip


def chip() -> str:
    """ "cpu", "910a" or "910b"."""
    return _state["chip"]


def jit_level() -> str:
    """O0, O1, O2, or "auto" for MindSpore's own choice; O0 where operators run one by one."""
    return _state["jit_level"]


def configure(native: str = "auto", threads: int = 0, bf16: bool = False) -> None:
    """Choose the C++ operators for the cells built from now on: "on", "off", or "auto" (on a CPU
    with a compiler).

    `threads` is for them, 0 for all cores the process may use. With `bf16` their linear layers, 3 x
    3 convolutions and attentions round what they multiply to bfloat16, in forward passes alone
    (gradients after them are not exact either: it is for inference); where this processor cannot, a
    warning says so. Raises ConfigError where "on" cannot be.
    """
    if native not in ("auto", "on", "off"):
        raise ConfigError(f"env.native is {native!r}; it must be auto, on or off")
    _state["native"], _state["threads"] = native, threads
    if native == "on" and not use_native():
        raise ConfigError(
            "env.native is on, but the C++ operators cannot be built here; take auto or off"
        )
    _state["bf16"] = _round_factors(bf16)


def exact() -> None:
    """Take back `bf16`, for what runs from now on."""
    _state["bf16"] = _round_factors(False)


def _round_factors(wanted: bool) -> bool:
    """Have the C++ operators multiply in bfloat16, or not; whether they do."""
    from mindlong.ops.native import build

    can = wanted and use_native() and build.round_factors(threads())
    if not can:
        build.round_no_more()
    if wanted and not can:
        log.once(
            "env.bf16 is for the C++ operators on an Intel CPU with AMX and does nothing here: "
            "products stay in float32",
            logging.WARNING,
        )
    return can


def threads() -> int:
    """CPU threads for the C++ operators; 0: all cores the process may use."""
    return _state["threads"]


def settings() -> dict[str, object]:
    """All that was chosen here, for what depends on all of it."""
    return dict(_state)


def library_path() -> str:
    """The library of C++ operators, set up; "" where plain operators serve."""
    if not use_native():
        return ""
    from mindlong.ops.native.build import library

    return library(threads())


def use_native() -> bool:
    """Whether a cell built now takes the C++ operators."""
    if _state["native"] == "off" or _state["chip"] != "cpu":
        return False
    from mindlong.ops.native.build import BuildError, library

    try:
        library(threads())
        return True
    except BuildError as error:
        log.once(f"plain operators are used, which are slower ({error})")
        return False

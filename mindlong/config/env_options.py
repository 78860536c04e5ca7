"""Where a program runs, and how its attentions are computed."""

from __future__ import annotations

from dataclasses import dataclass

from mindlong.config.option import option


@dataclass
class EnvOptions:
    """Where and how the program runs."""

    device_target: str = option(
        "auto", "auto takes an Ascend NPU if there is one", choices=("auto", "CPU", "Ascend")
    )
    mode: str = option(
        "graph",
        "graph compiles the step; pynative runs operator by operator, for debugging",
        choices=("graph", "pynative"),
    )
    native: str = option(
        "auto",
        "C++ operators on the CPU: auto uses them where a compiler is found",
        choices=("auto", "on", "off"),
    )
    threads: int = option(0, "CPU threads; 0: all cores the process may use", minimum=0)
    hf32: bool = option(
        False, "910B: float32 products round their inputs to 10 bits of mantissa, which is faster"
    )
    jit_level: str = option(
        "auto",
        "Ascend: MindSpore's jit level (O0, O1, O2); auto leaves it to the chip",
        choices=("auto", "O0", "O1", "O2"),
    )
    memory: str = option(
        "check",
        "a run that needs more memory than this machine has, by the estimate of the dry run, is "
        "refused; ignore starts it all the same",
        choices=("check", "ignore"),
    )


@dataclass
class InferEnvOptions(EnvOptions):
    """The same for infer.py."""

    graph_cache: bool = option(
        True,
        "on a CPU, one process: graphs are kept from run to run, so that a later run of the same networks and "
        "sizes compiles nothing (docs/benchmarks.md)",
    )
    bf16: bool = option(
        False,
        "on an Intel CPU with AMX: most linear layers, convolutions and attentions round their factors to "
        "bfloat16, which is faster and less exact (docs/benchmarks.md)",
    )


@dataclass
class AttentionOptions:
    """How attentions are computed."""

    backend: str = option(
        "auto",
        "auto chooses by chip, type, width and mask; one that is named and cannot serve is refused (docs/ascend.md)",
        choices=("auto", "native", "flash_910b", "flash_910a", "chunked", "math"),
    )

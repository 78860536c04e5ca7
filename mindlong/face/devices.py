"""The words by which a program names a device, and what is set up for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mindlong.ops import attention, device
from mindlong.ops.graph_cache import calls as graph_cache
from mindlong.parallel import launch
from mindlong.utils.errors import ConfigError

FORM = re.compile(r"(auto|cpu|ascend)(?::(\d+))?", re.IGNORECASE)
NAMES = {"auto": "auto", "cpu": "CPU", "ascend": "Ascend"}


def device_keys(name: str) -> tuple[Mapping[str, Any], int | None]:
    """The key that a word stands for, and the number of the NPU: auto, CPU, Ascend, Ascend:0.

    Raises:
        ConfigError: another word.
    """
    found = FORM.fullmatch(str(name).strip())
    if not found or (found[2] and found[1].lower() != "ascend"):
        raise ConfigError(
            f"device is {str(name)!r}; it must be 'auto', 'CPU', 'Ascend' or 'Ascend:NUMBER'"
        )
    number = int(found[2]) if found[2] else None
    return {"env.device_target": NAMES[found[1].lower()]}, number


def set_up(config: Any, number: int | None, bf16: bool = False) -> None:
    """Set the process up for the sections env and attention of a configuration, on NPU `number`;
    `bf16` is said apart, as it holds while a call runs. Raises ConfigError where that device is not
    there.
    """
    env = config.env
    device.setup(
        env.device_target,
        env.mode,
        number,
        env.jit_level,
        env.native,
        env.threads,
        env.hf32,
        bf16,
    )
    attention.use(config.attention.backend)
    graph_cache.switch(env.graph_cache and launch.world_size() == 1)

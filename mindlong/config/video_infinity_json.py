"""Video-Infinity's JSON configurations, read as they are: each key of theirs as a key of ours.

Every device becomes a clip, so that a file for eight GPUs runs on any number of processes up to
eight.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mindlong.utils.errors import ConfigError, did_you_mean

MARKS = {"pipe_configs", "plugin_configs"}  # keys that tell such a file
TOP = ("devices", "seed", "master_port", "base_path", "dtype", "pipe_configs", "plugin_configs")
PIPE = (
    "prompts",
    "steps",
    "guidance_scale",
    "fps",
    "num_frames",
    "height",
    "width",
    "export_fps",
    "file_name",
)
PLUGINS = ("attn", "conv_layer", "conv_3d", "group_norm")
ATTENTION = (
    "padding",
    "top_k",
    "top_k_chunk_size",
    "attn_scale",
    "token_num_scale",
    "dynamic_scale",
    "local_phase",
    "global_phase",
)
PHASE = ("t", "local_biase", "global_biase")
SPELLINGS = {
    "topk": "top_k",
    "local_bias": "local_biase",
    "global_bias": "global_biase",
}  # as the original's README writes them
MISSING = object()


def translated(tree: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The same as a configuration of ours.

    Raises:
        ConfigError: an unknown or a missing key, a wrong type, or values that the original cannot
            run with; one sentence.
    """
    top = _section(tree, "", TOP, where)
    pipe = _section(_need(top, "pipe_configs", dict, where), "pipe_configs.", PIPE, where)
    plugins = _section(_need(top, "plugin_configs", dict, where), "plugin_configs.", PLUGINS, where)
    attention = _section(plugins.get("attn") or {}, "plugin_configs.attn.", ATTENTION, where)
    conv = _section(
        plugins.get("conv_layer") or {}, "plugin_configs.conv_layer.", ("padding",), where
    )
    devices, prompts = _devices(top, where), _prompts(pipe, where)

    def number(key, usual):
        return _number(pipe, key, usual, where, "pipe_configs.")

    frames = number("num_frames", 24)
    own = {"strategy": "video_infinity", "clips": len(devices), "fps_condition": number("fps", 24)}
    own |= {"name": pipe["file_name"]} if pipe.get("file_name") else {}
    own |= _attention(attention, frames, where) | {
        "conv_padding": _reach(conv, 4, frames, "plugin_configs.conv_layer.", where)
    }
    return {
        "pipeline": "clip_parallel",
        "seed": _number(top, "seed", MISSING, where),
        "prompts": prompts,
        "output": _need(top, "base_path", str, where),
        "fps": number("export_fps", 12),
        "frames": frames * len(devices),
        "size": [number("height", 320), number("width", 512)],
        "sample": {
            "sampler": "dpm_solver_sde",
            "steps": number("steps", 50),
            "guidance": float(number("guidance_scale", 12)),
        },
        "latent": {"dynamic_scale": "off"},
        "clip_parallel": own,
    }


def _prompts(pipe: Mapping[str, Any], where: str) -> list[str]:
    prompts = _need(pipe, "prompts", list, where, "pipe_configs.")
    if not prompts or not all(isinstance(p, str) for p in prompts):
        raise ConfigError(
            f"{where}: pipe_configs.prompts is {prompts}; it must be a list of at least one text"
        )
    return prompts


def _section(given: Any, prefix: str, known: tuple[str, ...], where: str) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise ConfigError(f"{where}: {prefix.rstrip('.')} is {given!r}; it must be a group of keys")
    found = {SPELLINGS.get(str(key), str(key)): value for key, value in given.items()}
    for key in found:
        if key not in known:
            raise ConfigError(f"{where}: unknown key {prefix + key!r}.{did_you_mean(key, known)}")
    return found


def _need(group: Mapping[str, Any], key: str, kind: type, where: str, prefix: str = "") -> Any:
    if key not in group:
        raise ConfigError(f"{where}: {prefix}{key} is missing")
    if not isinstance(group[key], kind):
        raise ConfigError(f"{where}: {prefix}{key} is {group[key]!r}; it must be a {kind.__name__}")
    return group[key]


def _number(group: Mapping[str, Any], key: str, usual: Any, where: str, prefix: str = "") -> Any:
    value = group.get(key, usual)
    if value is MISSING:
        raise ConfigError(f"{where}: {prefix}{key} is missing")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{where}: {prefix}{key} is {value!r}; it must be a number")
    return value


def _devices(top: Mapping[str, Any], where: str) -> list[int]:
    devices = _need(top, "devices", list, where)
    if not devices or len(set(devices)) != len(devices):
        raise ConfigError(
            f"{where}: devices is {devices}; it must name at least one device, each once"
        )
    return devices


def _reach(group: Mapping[str, Any], usual: int, frames: int, prefix: str, where: str) -> int:
    padding = _number(group, "padding", usual, where, prefix)
    if not 1 <= padding <= frames:
        raise ConfigError(
            f"{where}: {prefix}padding is {padding}; it must be 1 to the {frames} frames of a device"
        )
    return padding


def _attention(attention: Mapping[str, Any], frames: int, where: str) -> dict[str, Any]:
    prefix = "plugin_configs.attn."
    made = {
        "padding": _reach(attention, 24, frames, prefix, where),
        "top_k": _number(attention, "top_k", 16, where, prefix),
        "attn_scale": float(_number(attention, "attn_scale", 1.0, where, prefix)),
        "token_scale": bool(attention.get("token_num_scale", False)),
    }
    if attention.get("dynamic_scale", False):
        for ours, theirs in (("late", "local_phase"), ("early", "global_phase")):
            phase = _section(
                _need(attention, theirs, dict, where, prefix), f"{prefix}{theirs}.", PHASE, where
            )
            made[ours] = [
                float(_number(phase, key, MISSING, where, f"{prefix}{theirs}.")) for key in PHASE
            ]
    return made

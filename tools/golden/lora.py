"""Golden numbers of LoRA merges: by kohya's trainer (github.com/kohya-ss/sd-scripts 48d368f,
networks/lora.py), by diffusers with PEFT, and by AnimateDiff's own loader
(github.com/guoyww/AnimateDiff e92bd56). Needs torch, diffusers, transformers, peft, accelerate, and
the two sources in the folders that KOHYA and ANIMATEDIFF name.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
import types
from pathlib import Path

import numpy as np
import torch

sys.modules.setdefault("torchvision", None)  # transformers can do without
HERE = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(HERE), str(HERE / "tests" / "unit")]
import lora_files as files  # noqa: E402

Arrays = dict[str, np.ndarray]


def models(base: dict) -> tuple[torch.nn.Module, torch.nn.Module]:
    """diffusers' UNet and transformers' text encoder with the base's numbers."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    network, text = base["network"], base["text_encoder"]
    unet = UNet2DConditionModel.from_config(network.network.hub.config(network.spec))
    encoder = CLIPTextModel(CLIPTextConfig(**text.network.hub.config(text.spec)))
    _fill(unet, network, "")
    _fill(encoder, text, "text_model." if hasattr(encoder, "text_model") else "")
    return unet.eval(), encoder.eval()


def _fill(module: torch.nn.Module, part, head: str) -> None:
    held = {
        head + e.source: torch.from_numpy(part.arrays[e.ours].read().reshape(e.source_shape).copy())
        for e in part.network.formats[0].entries(part.spec)
    }
    missing, left = module.load_state_dict(held, strict=False)
    assert not left and all("position_ids" in name for name in missing), (missing, left)


def seen(unet, encoder, base: dict) -> Arrays:
    """role/our name of a weight -> eight numbers of it."""
    found = {}
    for role, module in (("network", unet), ("text_encoder", encoder)):
        held = {n.removeprefix("text_model."): t for n, t in module.state_dict().items()}
        held = {n.replace(".base_layer.", "."): t for n, t in held.items()}
        for layer in files.layers(base[role].network, base[role].spec):
            value = held[f"{layer.source}.weight"].float().numpy()
            found[f"{role}/{layer.ours}.weight"] = files.few(value)
    return found


def kohyas():
    """networks.lora of sd-scripts, without what only its trainer needs."""
    utils = types.ModuleType("library.utils")
    utils.setup_logging = lambda *a, **k: None
    sdxl = types.ModuleType("library.sdxl_original_unet")
    sdxl.SdxlUNet2DConditionModel = type("SdxlUNet2DConditionModel", (), {})
    library = types.ModuleType("library")
    sys.modules |= {"library": library, utils.__name__: utils, sdxl.__name__: sdxl}
    return _module(Path(os.environ["KOHYA"]) / "networks" / "lora.py", "kohya_lora")


def _module(path: Path, name: str):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def by_kohya(base: dict, wanted: list[tuple[dict, float]]) -> Arrays:
    """Merged one file after the other."""
    lora = kohyas()
    unet, encoder = models(base)
    for arrays, strength in wanted:
        held = {n: torch.from_numpy(np.array(a)) for n, a in arrays.items()}
        if not hasattr(encoder, "text_model"):
            held = {n.replace("lora_te_text_model_", "lora_te_"): a for n, a in held.items()}
        network, _ = lora.create_network_from_weights(
            strength, None, None, encoder, unet, held, True
        )
        network.merge_to(encoder, unet, held, torch.float32, "cpu")
    return seen(unet, encoder, base)


def by_diffusers(base: dict, arrays: dict, metadata: dict, strength: float) -> Arrays:
    """Loaded and fused."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    unet, encoder = models(base)
    parts = {"vae": None, "tokenizer": None, "safety_checker": None, "feature_extractor": None}
    pipe = StableDiffusionPipeline(
        unet=unet,
        text_encoder=encoder,
        scheduler=DDIMScheduler(),
        requires_safety_checker=False,
        **parts,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = files.write(Path(folder) / "pytorch_lora_weights.safetensors", arrays, metadata)
        pipe.load_lora_weights(str(path.parent), weight_name=path.name)
    pipe.fuse_lora(components=["unet", "text_encoder"], lora_scale=strength)
    return seen(unet, encoder, base)


def by_animatediff(base: dict, arrays: dict, strength: float) -> Arrays:
    """`load_diffusers_lora` of AnimateDiff."""
    folder = Path(os.environ["ANIMATEDIFF"]) / "animatediff" / "utils"
    loader = _module(folder / "convert_lora_safetensor_to_diffusers.py", "animatediff_lora")
    unet, encoder = models(base)
    held = {n: torch.from_numpy(np.array(a)) for n, a in arrays.items()}
    loader.load_diffusers_lora(types.SimpleNamespace(unet=unet), held, alpha=strength)
    return seen(unet, encoder, base)


def described(base: dict) -> dict[str, str]:
    """The metadata that diffusers writes: alpha twice the rank, but for two layers."""
    from peft import LoraConfig

    names = [layer.source for layer in files.targets(base["network"], "unet")]
    apart = {names[0]: 1.5, names[-1]: 12.0}
    config = LoraConfig(r=3, lora_alpha=6, target_modules=names, alpha_pattern=apart).to_dict()
    plain = {n: sorted(v) if isinstance(v, set) else v for n, v in config.items()}
    return files.adapter(**{f"unet.{name}": value for name, value in plain.items()})


def make(folder: Path) -> list[Path]:
    """Write lora.npz into `folder`."""
    one, two = files.parts(), files.parts(linear=True)
    cases = {
        "kohya": by_kohya(one, [(files.kohya(one), 0.7)]),
        "kohya_linear": by_kohya(two, [(files.kohya(two), -0.4)]),
        "kohya_two": by_kohya(one, [(files.kohya(one), 0.7), (files.kohya(one, 1), -0.4)]),
        "peft": by_diffusers(one, files.peft(one), {}, 0.8),
        "kohya_by_diffusers": by_diffusers(one, files.kohya(one, 0, (2.0,)), {}, 0.7),
        "processors": by_diffusers(two, files.processors(two), {}, 1.2),
        "animatediff": by_animatediff(two, files.processors(two, ""), 0.8),
    }
    said, only = described(two), {n: a for n, a in files.peft(two).items() if n[:5] == "unet."}
    cases["metadata"] = by_diffusers(two, only, said, 1.0)
    path = Path(folder) / "lora.npz"
    arrays = {"metadata/said": np.array(json.dumps(said))}
    for case, found in cases.items():
        arrays[f"{case}/names"] = np.array(list(found))
        arrays[f"{case}/values"] = np.stack(list(found.values()))
    np.savez_compressed(path, **arrays)
    return [path]


if __name__ == "__main__":
    print(*make(Path(sys.argv[1])), sep="\n")

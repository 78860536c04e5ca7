"""Golden arrays of both towers of open_clip, and what its published vision transformers are made of
(developers only).
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parents[1] / "tests" / "unit")]
PUBLISHED = (
    "ViT-B-32",
    "ViT-B-16",
    "ViT-B-16-plus-240",
    "ViT-L-14",
    "ViT-L-14-336",
    "ViT-H-14",
    "ViT-H-14-378",
    "ViT-g-14",
    "ViT-bigG-14",
    "ViT-e-14",
)


def make(folder: Path) -> list[Path]:
    """Write open_clip_towers.npz (features of the tiny network of the test) and
    open_clip_published.json.
    """
    import test_open_clip_towers as cases
    from clip_vision import _ids
    from open_clip.model import CLIP

    from mindlong.networks.clip.vision_cell import prepared

    pixels, ids, found = prepared(cases.pictures(), 32), _ids(), {}
    for quick in (False, True):
        net = CLIP(**cases.SIZES, quick_gelu=quick).eval()
        net.load_state_dict(
            {n: torch.from_numpy(np.asarray(w)) for n, w in cases.weights().items()}, strict=True
        )
        name = "quick_gelu" if quick else "gelu"
        with torch.no_grad():
            found[f"image_{name}"] = net.encode_image(torch.from_numpy(pixels)).numpy()
            found[f"text_{name}"] = net.encode_text(torch.from_numpy(ids).long()).numpy()
    path = Path(folder) / "open_clip_towers.npz"
    np.savez_compressed(path, pixels=pixels, ids=ids, names=np.array(_listed(net)), **found)
    table = Path(folder) / "open_clip_published.json"
    table.write_text(json.dumps({name: _published(name) for name in PUBLISHED}, indent=1) + "\n")
    return [path, table]


def _listed(net: torch.nn.Module) -> list[str]:
    """Names and shapes of the picture tower and of both projections."""
    held = {
        n: tuple(t.shape)
        for n, t in net.state_dict().items()
        if n.startswith("visual.") or n == "text_projection"
    }
    return sorted(f"{n} {shape}" for n, shape in held.items())


def _published(name: str) -> dict:
    """Sizes of a published model, with a digest of its names and shapes; no memory is taken for its
    weights.
    """
    import open_clip
    from open_clip.model import CLIP

    sizes = open_clip.get_model_config(name)
    with torch.device("meta"):
        net = CLIP(**sizes)
    visual, block = net.visual, net.visual.transformer.resblocks[0]
    spec = {
        "size": visual.image_size[0],
        "patch": visual.patch_size[0],
        "width": visual.conv1.out_channels,
        "layers": len(visual.transformer.resblocks),
        "heads": block.attn.num_heads,
        "hidden": block.mlp.c_fc.out_features,
        "projection": visual.output_dim,
        "text_width": net.text_projection.shape[0],
        "activation": "gelu",
    }
    digest = hashlib.sha256("\n".join(_listed(net)).encode()).hexdigest()
    return {"spec": spec, "numbers": sum(p.numel() for p in visual.parameters()), "digest": digest}

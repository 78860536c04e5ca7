"""Golden arrays of shipped:storyboard_shapes by the original's own classes (developers only).

git clone https://github.com/Doubiiu/DynamiCrafter && git -C DynamiCrafter checkout c453369
python tools/convert_checkpoint.py --src mindlong/weights/storyboard_shapes --dst twin.safetensors
python tools/golden/storyboard_twin.py DynamiCrafter twin.safetensors tests/golden
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.gpu import interp_networks as networks  # noqa: E402

PARTS = {
    "model.diffusion_model.": networks.unet,
    "image_proj_model.": networks.resampler,
    "cond_stage_model.model.": networks.TextEncoder,
    "embedder.model.": lambda: networks.Embedder(64),
}


def main() -> None:
    """Write storyboard_twin.npz: inputs and what each network makes of them."""
    checkout, file, folder = map(Path, sys.argv[1:4])
    networks.use(checkout)
    state = load_file(file)
    nets = []
    for prefix, build in PARTS.items():
        own = {k.removeprefix(prefix): v.float() for k, v in state.items() if k.startswith(prefix)}
        nets.append(build().eval())
        nets[-1].load_state_dict(own)
    torch.manual_seed(20261127)
    x, ids = torch.randn(1, 8, 16, 8, 8), torch.randint(0, 582, (1, 77))
    image, t, fps = torch.rand(1, 3, 64, 64) * 2 - 1, torch.tensor([437]), torch.tensor([9])
    unet, resampler, text, embedder = nets
    with torch.no_grad():
        states, seen = text(ids), embedder.visual(image)
        tokens = resampler(seen)
        made = unet(x, t, context=torch.cat([states, tokens], 1), fs=fps)
    arrays = {"x": x, "ids": ids, "image": image, "t": t, "fps": fps, "states": states}
    arrays |= {"seen": seen, "tokens": tokens, "made": made}
    np.savez_compressed(
        folder / "storyboard_twin.npz", **{k: np.asarray(v) for k, v in arrays.items()}
    )


if __name__ == "__main__":
    main()

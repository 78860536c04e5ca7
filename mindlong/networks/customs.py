"""How publishers name a whole pipeline: for each network of it the naming of its tensors."""

from __future__ import annotations

CUSTOMS = {  # the word of --layout -> role -> layout
    "diffusers": {"network": "diffusers", "vae": "diffusers", "text_encoder": "transformers"},
    "modelscope": {"network": "modelscope", "vae": "ldm", "text_encoder": "open_clip"},
    "lvdm": {"network": "lvdm", "vae": "ldm", "text_encoder": "open_clip"},
    "sat": {"network": "sat", "vae": "sat", "text_encoder": "transformers"},
    "ldm": {"network": "ldm", "vae": "ldm", "text_encoder": "transformers"},
}


def layout_for(custom: str, role: str) -> str:
    """What a custom calls the naming of a network; "" where it says nothing of that role."""
    return CUSTOMS.get(custom, {}).get(role, "")

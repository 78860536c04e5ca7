"""CLIP's encoders in the table of networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mindlong.networks.clip import lone, text_files, tokenizer_files, vision_files
from mindlong.networks.clip.keys import TEXT, VISION, ClipTextModel, ClipVisionModel
from mindlong.networks.clip.text_names import parameter_count
from mindlong.networks.cost import RUNTIME_BYTES, Cost, Load
from mindlong.networks.network import Hub, Image, Network, Text

if TYPE_CHECKING:
    from mindlong.networks.clip.text_spec import ClipTextSpec


def hub_config(spec: ClipTextSpec) -> dict[str, Any]:
    """The config.json of a CLIPTextModel; a layer that is held but not used is left out by the
    number of layers.
    """
    return {
        "architectures": ["CLIPTextModel"],
        "attention_dropout": 0.0,
        "bos_token_id": spec.vocabulary - 2,
        "eos_token_id": spec.vocabulary - 1,
        "hidden_act": spec.activation,
        "hidden_size": spec.width,
        "intermediate_size": spec.hidden,
        "layer_norm_eps": spec.eps,
        "max_position_embeddings": spec.length,
        "model_type": "clip_text_model",
        "num_attention_heads": spec.heads,
        "num_hidden_layers": spec.layers,
        "pad_token_id": spec.pad_id,
        "projection_dim": spec.width,
        "vocab_size": spec.vocabulary,
    }


def text_cost(spec: ClipTextSpec, load: Load) -> Cost:
    """One call on `load.videos` prompts of `spec.length` tokens: products of the layers; memory is
    the weights and one layer's features, not measured.
    """
    numbers, tokens = parameter_count(spec), load.videos * spec.length
    layer = 4 * spec.width**2 + 2 * spec.width * spec.hidden + 2 * spec.width * spec.length
    flops = 2.0 * tokens * (spec.layers - spec.skip_last) * layer
    held = RUNTIME_BYTES + 4.0 * numbers + 4.0 * tokens * (4 * spec.width + spec.hidden)
    return Cost(numbers, flops, held, held + 16.0 * numbers)


NETWORKS = (
    Network(
        family=TEXT,
        role="text_encoder",
        about="a text encoder of CLIP",
        keys=ClipTextModel,
        section=text_files.section,
        formats=(
            text_files.format_of(
                "transformers",
                together="cond_stage_model.transformer.text_model.",
                trim=text_files.used,
            ),
            text_files.format_of(
                "open_clip", together="cond_stage_model.model.", file="open_clip_pytorch_model.bin"
            ),
        ),
        our_markers=("token_embedding.weight", "layers.0.attn.to_q.weight", "final_norm.weight"),
        build="mindlong.networks.clip.text_cell:build",
        cost=text_cost,
        hub=Hub(
            "transformers",
            "CLIPTextModel",
            hub_config,
            "model.safetensors",
            tokenizer="CLIPTokenizer",
        ),
        lone=(lone.TEXT,),
        text=Text(
            "mindlong.networks.clip.tokenizer:for_spec",
            tokenizer_files.NAMES,
            declares="mindlong.networks.clip.tokenizer_files:declared",
            worded=True,
        ),
    ),
    Network(
        family=VISION,
        role="image_encoder",
        about="an image encoder of CLIP",
        keys=ClipVisionModel,
        section=vision_files.section,
        formats=tuple(vision_files.format_of(layout) for layout in ("transformers", "open_clip")),
        our_markers=("patch_embedding.weight", "layers.0.attn.to_q.weight", "projection.weight"),
        build="mindlong.networks.clip.vision_cell:build",
        lone=(lone.VISION,),
        asked_for=True,
        image=Image(
            "mindlong.networks.clip.vision_cell:prepared_for",
            tokens="mindlong.networks.clip.vision_cell:ImageTokens",
            squash="mindlong.networks.clip.squash:squashed_for",
        ),
    ),
)

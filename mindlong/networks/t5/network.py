"""T5's encoder in the table of networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mindlong.networks.clip.lone import text_alone
from mindlong.networks.cost import RUNTIME_BYTES, Cost, Load
from mindlong.networks.network import Hub, Network, Text
from mindlong.networks.t5.files import format_of, section
from mindlong.networks.t5.keys import FAMILY, T5Model
from mindlong.networks.t5.names import parameter_count
from mindlong.networks.t5.tokenizer import FILES

if TYPE_CHECKING:
    from mindlong.networks.t5.spec import T5Spec


def hub_config(spec: T5Spec) -> dict[str, Any]:
    """The config.json of a T5EncoderModel."""
    return {
        "architectures": ["T5EncoderModel"],
        "d_ff": spec.hidden,
        "d_kv": spec.head_dim,
        "d_model": spec.width,
        "dense_act_fn": "gelu_new",
        "dropout_rate": 0.0,
        "eos_token_id": 1,
        "feed_forward_proj": "gated-gelu",
        "is_encoder_decoder": True,
        "is_gated_act": True,
        "layer_norm_epsilon": spec.eps,
        "model_type": "t5",
        "num_heads": spec.heads,
        "num_layers": spec.layers,
        "pad_token_id": spec.pad_id,
        "relative_attention_max_distance": spec.distance,
        "relative_attention_num_buckets": spec.buckets,
        "tie_word_embeddings": False,
        "vocab_size": spec.vocabulary,
    }


def cost(spec: T5Spec, load: Load) -> Cost:
    """One call on `load.videos` prompts, a layer at a time: memory is the table of tokens or one
    layer twice, and its features.
    """
    numbers, tokens = parameter_count(spec), load.videos * spec.length
    inner, table = spec.heads * spec.head_dim, spec.vocabulary * spec.width
    layer = 4 * spec.width * inner + 3 * spec.width * spec.hidden
    flops = 2.0 * tokens * spec.layers * (layer + 2 * inner * spec.length)
    features = tokens * (6 * spec.width + 3 * spec.hidden) + 3 * spec.heads * spec.length**2
    held = RUNTIME_BYTES + 4.0 * max(2 * layer, table) + 4.0 * features
    return Cost(numbers, flops, held, held + 20.0 * numbers)


NETWORKS = (
    Network(
        family=FAMILY,
        role="text_encoder",
        about="T5's encoder",
        keys=T5Model,
        section=section,
        formats=(format_of(),),
        our_markers=(
            "token_embedding.weight",
            "position_bias.weight",
            "layers.0.gate.weight",
            "final_norm.weight",
        ),
        build="mindlong.networks.t5.cell:build",
        cost=cost,
        hub=Hub(
            "transformers",
            "T5EncoderModel",
            hub_config,
            "model.safetensors",
            tokenizer="T5Tokenizer",
        ),
        lone=(text_alone("mindlong.networks.t5.cell:alone"),),
        asked_for=True,
        text=Text(
            "mindlong.networks.t5.tokenizer:for_spec",
            FILES,
            layered="mindlong.networks.t5.cell:Layered",
        ),
    ),
)

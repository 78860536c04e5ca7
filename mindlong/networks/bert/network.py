"""BERT in the table of networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mindlong.networks.bert.files import format_of, section
from mindlong.networks.bert.keys import FAMILY, BertModel
from mindlong.networks.bert.names import LAYOUTS, parameter_count
from mindlong.networks.bert.tokenizer import FILES
from mindlong.networks.clip.lone import text_alone
from mindlong.networks.cost import RUNTIME_BYTES, Cost, Load
from mindlong.networks.network import Hub, Network, Text

if TYPE_CHECKING:
    from mindlong.networks.bert.spec import BertSpec


def hub_config(spec: BertSpec) -> dict[str, Any]:
    """The config.json of a BertModel."""
    return {
        "architectures": ["BertModel"],
        "attention_probs_dropout_prob": 0.0,
        "hidden_act": spec.activation,
        "hidden_dropout_prob": 0.0,
        "hidden_size": spec.width,
        "intermediate_size": spec.hidden,
        "layer_norm_eps": spec.eps,
        "max_position_embeddings": spec.positions,
        "model_type": "bert",
        "num_attention_heads": spec.heads,
        "num_hidden_layers": spec.layers,
        "pad_token_id": spec.pad_id,
        "type_vocab_size": spec.types,
        "vocab_size": spec.vocabulary,
    }


def cost(spec: BertSpec, load: Load) -> Cost:
    """One call on `load.videos` prompts of `spec.length` tokens: products of the layers; memory is
    the weights and one layer's features, not measured.
    """
    numbers, tokens = parameter_count(spec), load.videos * spec.length
    layer = 4 * spec.width**2 + 2 * spec.width * spec.hidden + 2 * spec.width * spec.length
    held = RUNTIME_BYTES + 4.0 * numbers + 4.0 * tokens * (4 * spec.width + spec.hidden)
    return Cost(numbers, 2.0 * tokens * spec.layers * layer, held, held + 16.0 * numbers)


NETWORKS = (
    Network(
        family=FAMILY,
        role="text_encoder",
        about="BERT's encoder",
        keys=BertModel,
        section=section,
        formats=tuple(format_of(layout) for layout in LAYOUTS),
        our_markers=(
            "token_embedding.weight",
            "type_embedding",
            "embedding_norm.weight",
            "layers.0.attn.to_q.weight",
        ),
        build="mindlong.networks.bert.cell:build",
        cost=cost,
        hub=Hub(
            "transformers", "BertModel", hub_config, "model.safetensors", tokenizer="BertTokenizer"
        ),
        lone=(text_alone("mindlong.networks.bert.cell:alone"),),
        text=Text(
            "mindlong.networks.bert.tokenizer:for_spec",
            FILES,
            pooled="mindlong.networks.bert.cell:Pooled",
        ),
    ),
)

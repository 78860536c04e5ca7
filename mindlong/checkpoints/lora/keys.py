"""Keys of LoRA files: which layer's, which of its matrices, and kinds of additions that are no
LoRA.

One layer has a `down` matrix (A) and an `up` matrix (B), perhaps an alpha. Programs write

    lora_unet_NAME.lora_down.weight             kohya's sd-scripts, dots as underscores
    lora_transformer_NAME.lora_down.weight      the same of a transformer
    unet.NAME.lora_A.weight                     PEFT, diffusers (or transformer.NAME)
    unet.BLOCK.processor.to_q_lora.down.weight  older diffusers, AnimateDiff's motion LoRAs
    0, 1, 2, ...                                lists without names (cloneofsimo, T2V-Turbo)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

UP, DOWN, ALPHA = "up", "down", "alpha"
_HALF = {"A": DOWN, "B": UP, "down": DOWN, "up": UP}
_KEY = re.compile(
    r"(?P<stem>.+?)(?:"
    r"\.lora_(?P<a>down|up|A|B)(?:\.(?!weight$)\w+)?\.weight|"
    r"(?:\.lora_linear_layer|[._]lora)\.(?P<b>down|up)\.weight|"
    r"(?:\.lora_linear_layer|[._]lora)?\.(?P<alpha>alpha))"
)
KOHYA, PEFT, PROCESSORS, LIST = "kohya", "diffusers (PEFT)", "older diffusers", "a list"
NETWORK, TEXT = "network", "text_encoder"
# what stands before the names of layers -> role, whether dots became underscores
HEADS = (
    ("lora_unet_", NETWORK, True),
    ("lora_transformer_", NETWORK, True),
    ("lora_te_", TEXT, True),
    ("text_encoder.", TEXT, False),
    ("unet.", NETWORK, False),
    ("transformer.", NETWORK, False),
    ("base_model.model.", NETWORK, False),
    ("model.diffusion_model.", NETWORK, False),
    ("diffusion_model.", NETWORK, False),
)
AROUND = ("state_dict.", "module.")  # tables and wrappers around everything
RELATIVES = (  # of the name in a file, what it is instead
    (r"\.hada_[wt][12](_[ab])?$", "LoHa (LyCORIS)"),
    (r"\.lokr_\w+$", "LoKr (LyCORIS)"),
    (r"\.(dora_scale|lora_magnitude_vector)\b", "DoRA, which also scales the columns of a weight"),
    (r"\.lora_mid\.weight$", "a LoRA in Tucker form (lora_mid)"),
    (r"\.b?oft_\w+(\.weight)?$", "OFT"),
    (r"\.(ia3_l|on_input)(\b|$)", "IA3"),
)
OTHERS = (  # marks that only mean something in a file of additions
    (r"\.(a1|a2|b1|b2|bm1|bm2)\.weight$", "GLoRA"),
    (r"\.diff(_b)?$", "whole differences of weights (.diff)"),
    (r"\.([wb]_norm)$", "trained norms (LyCORIS)"),
    (r"\.lora_(B|up)(\.\w+)?\.bias$", "a LoRA with biases"),
    (
        r"^lora_te[12]_|^text_encoder_2\.|^lora_unet_(label_emb|add_embedding|input_blocks_\d+_\d+_"
        r"transformer_blocks_[1-9])|attentions[._]\d+[._]transformer_blocks[._][1-9]",
        "a LoRA of Stable Diffusion XL, another network",
    ),
    (r"^lora_te3_|^text_encoder_3\.|joint_blocks|double_blocks", "a LoRA of another network"),
)


@dataclass(frozen=True)
class Key:
    """A key of a file, taken apart.

    Attributes:
        stem: what is common to the keys of one layer, as the file has it.
        piece: of UP, DOWN, ALPHA.
    """

    stem: str
    piece: str


@dataclass(frozen=True)
class Place:
    """Where a stem says that its layer is.

    Attributes:
        role: of the network: "network", "text_encoder".
        names: what the layer may be called, the likeliest first.
        joined: dots stand as underscores.
        naming: of KOHYA, PEFT, PROCESSORS.
    """

    role: str
    names: tuple[str, ...]
    joined: bool
    naming: str


def taken_apart(key: str) -> Key | None:
    """The parts of a key; None where it is none of a LoRA."""
    match = _KEY.fullmatch(_bare(key))
    if match is None:
        return None
    piece = ALPHA if match["alpha"] else _HALF[match["a"] or match["b"]]
    return Key(match["stem"], piece)


def _bare(key: str) -> str:
    while key.startswith(AROUND):
        key = key.partition(".")[2]
    return key


def place(stem: str) -> Place:
    """Where the layer of a stem is."""
    head, role, joined = next((h for h in HEADS if stem.startswith(h[0])), ("", NETWORK, False))
    name = stem.removeprefix(head)
    if joined:
        return Place(role, _with_inner(name, role, "text_model_"), True, KOHYA)
    if ".processor." in name or name.endswith(".to_out") or ".self_attn.to_" in name:
        return Place(role, (_of_processor(name, role), name), False, PROCESSORS)
    return Place(role, _with_inner(name, role, "text_model."), False, PEFT)


def _with_inner(name: str, role: str, inner: str) -> tuple[str, ...]:
    """A name, and for a text encoder without CLIP's inner model before it, which files of
    earlier versions have for T5 and BERT too.
    """
    bare = name.removeprefix(inner)
    return (name, bare) if role == TEXT and bare != name else (name,)


def _of_processor(name: str, role: str) -> str:
    """The layer that an attention processor's LoRA changes: to_out means to_out.0, and text
    encoders call their projections otherwise.
    """
    block, _, leaf = name.replace(".processor.", ".").rpartition(".")
    if role == TEXT:
        return f"{block}.{leaf.removeprefix('to_')}_proj"
    return f"{block}.to_out.0" if leaf == "to_out" else f"{block}.{leaf}"


def is_list(names: Iterable[str]) -> bool:
    """Whether a file is a list of tensors without names."""
    names = list(names)
    return bool(names) and names == [str(number) for number in range(len(names))]


def other_kind(names: Iterable[str]) -> str:
    """What kind of addition a file holds that is no LoRA which can be merged here, or one of
    another network; "" where it is none of these.
    """
    return next(_found(RELATIVES + OTHERS, list(names)), "")


def relative(names: Iterable[str]) -> str:
    """The same by marks that no file of whole weights has."""
    return next(_found(RELATIVES, list(names)), "")


def _found(marks: Iterable[tuple[str, str]], names: list[str]) -> Iterator[str]:
    for pattern, what in marks:
        found = next((name for name in names if re.search(pattern, _bare(name))), None)
        if found is not None:
            yield f"{what} (it has {found[:100]})"

"""What BERT is compared on: sizes, prompts, and a vocabulary made of them. Shared with
tools/golden/bert.py.
"""

from __future__ import annotations

import random

SIZES = {
    "vocab_size": 61,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 20,
    "type_vocab_size": 2,
}
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
TEXT = (
    "a red blue green yellow circle square triangle moving left right up down fire works "
    "fireworks horse astronaut mars riding photo of the on in with two three seven unbelievable "
    "Paris LONDON naïve café Ünïcödé ÅNGSTRÖM straße cafe\u0301 \ufb01ne 日本 桜 草地 한국어 "
    "Привет мир مرحبا שלום नमस्ते 🎉 👩\u200d🚀 it's don't 8k 1.2 x²+y² #hash @user http://a.b/?q=1 "
    "foo-bar_baz [SEP] [MASK] [UNK] \u00a0 \u200b \u0000 \ufffd \u202e “quotes” … — \t \n (( )) , . "
    "! ? ; :"
)
WORDS = TEXT.split(" ")
SENTENCES = (
    "fireworks with blue and green sparkles",
    "fireworks with red and yellow sparkles",
    "a red circle moving left",
    "An astronaut riding a horse on Mars, in the style of a watercolour.",
    "naïve café, 東京",
    "",
)


def prompts(count: int = 1000) -> list[str]:
    """Prompts of 0 to 24 words, some glued together or repeated; the same every time."""
    draw, made = random.Random(7), list(SENTENCES)
    while len(made) < count:
        words = [draw.choice(WORDS) for _ in range(draw.randrange(25))]
        text = draw.choice((" ", " ", "", "  ")).join(words)
        made.append(text * draw.choice((1, 1, 1, 9)))
    return made


def vocabulary(lower: bool) -> list[str]:
    """A WordPiece vocabulary in which some words are whole, some in pieces, and some unknown."""
    letters = sorted({c for word in (*WORDS, *SENTENCES) for c in word if c.isalnum()})
    letters = letters[: len(letters) - 20]  # the last ones are unknown
    whole = [w for w in " ".join(WORDS[:34]).split() if w.isalpha()]
    marks = list("!\"#'(),-./:;?@_[]+²…“”—")
    tokens = [*SPECIAL, *letters, *(f"##{c}" for c in letters), *whole, *marks, "fire", "##works"]
    tokens += ["un", "##believ", "##able", "Par", "##is", "##s", "##ing", "astro", "##naut"]
    if lower:
        tokens = [t if t in SPECIAL else t.lower() for t in tokens]
    return list(dict.fromkeys(tokens))

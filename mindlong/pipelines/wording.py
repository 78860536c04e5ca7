"""How the prompts of a run are read: word by word with weights, in chunks where they are long, and
as blends. Without MindSpore.

The states of weighted prompts are those of diffusers' community pipeline `lpw_stable_diffusion`:
every token's state times its weight, then all times one number that restores their mean. A blend is
compel's: states mixed by shares, one call of the network. Prompts of several chunks give the states
of the chunks one behind the other, and all prompts of a run have as many chunks as its longest one.

Legend: N chunks, S tokens of a chunk, D width of a state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mindlong.config.leaves import leaves, value_at
from mindlong.plans import prompt_syntax
from mindlong.plans.frame_prompts import Shares
from mindlong.plans.prompt_syntax import PLAIN, Said
from mindlong.utils.errors import ConfigError

CUT, CHUNKS = "cut", "chunks"
MOST_CHUNKS = 16  # of a prompt: 1,200 tokens of CLIP


@dataclass(frozen=True)
class Read:
    """Tokens of a prompt, or of a part of a blend.

    Attributes:
        ids_NS: int32. weights_NS: float64, of each token; None: all are 1.
        share: of the blend.
        cut: tokens that are left out.
    """

    ids_NS: np.ndarray
    weights_NS: np.ndarray | None
    share: float
    cut: int


@dataclass(frozen=True)
class Wording:
    """How a run reads its prompts.

    Attributes:
        syntax: of `mindlong.plans.prompt_syntax.SYNTAXES`.
        chunks: of every prompt.
    """

    syntax: str = PLAIN
    chunks: int = 1

    @property
    def usual(self) -> bool:
        """Whether prompts are read as any text encoder reads them."""
        return self.syntax == PLAIN and self.chunks == 1

    def read(self, tokenizer: Any, prompt: str) -> list[Read]:
        """The tokens of a prompt. Raises ConfigError where it is not written right."""
        if self.usual:
            return [Read(tokenizer([prompt]), None, 1.0, tokenizer.overlong(prompt))]
        said = prompt_syntax.read(prompt, self.syntax)
        return [self._framed(tokenizer, part) for part in said]

    def _framed(self, tokenizer: Any, said: Said) -> Read:
        tokens, weights = _tokens(tokenizer, said)
        room = tokenizer.room
        kept = tokens[: self.chunks * room]
        parts = [kept[n * room : (n + 1) * room] for n in range(self.chunks)]
        ids = np.stack([tokenizer.framed(part) for part in parts])
        rows = np.ones(ids.shape)
        for n, part in enumerate(parts):
            rows[n, 1 : 1 + len(part)] = weights[n * room : n * room + len(part)]
        even = bool((rows == 1).all())
        return Read(ids, None if even else rows, said.share, len(tokens) - len(kept))


def _tokens(tokenizer: Any, said: Said) -> tuple[list[int], list[float]]:
    """The tokens of all pieces and the weight of each."""
    tokens: list[int] = []
    weights: list[float] = []
    for piece in said.pieces:
        own = tokenizer.tokens(piece.text)
        tokens += own
        weights += [piece.weight] * len(own)
    return tokens, weights


def states_of(parts: Sequence[Read], encode: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """(N S, D) float32, the states of a prompt.

    Args:
        encode: ids (1, S) -> states (S, D).

    Raises:
        ConfigError: weights under which the states' mean cannot be restored.
    """
    made = [_weighted(np.concatenate([encode(ids[None]) for ids in p.ids_NS]), p) for p in parts]
    if len(made) == 1:
        return made[0]
    shares = np.array([part.share for part in parts], np.float32)
    return np.tensordot(shares, np.stack(made), 1).astype(np.float32)


def _weighted(states: np.ndarray, part: Read) -> np.ndarray:
    if part.weights_NS is None:
        return states
    scaled = states * part.weights_NS.reshape(-1, 1)
    before, after = states.mean(dtype=np.float64), scaled.mean(dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        made = (scaled * (before / after)).astype(np.float32)
    if not np.isfinite(made).all():
        raise ConfigError(
            "the weights of a prompt leave nothing of its states' mean, which cannot be restored; "
            "take other weights"
        )
    return made


def states_of_rows(rows: Sequence[Shares], encode: Callable[[list[str]], np.ndarray]) -> np.ndarray:
    """(F, N S, D) float32: what each frame reads, between the states of its prompts.

    Args:
        encode: prompts -> their states.
    """
    prompts = list(dict.fromkeys(prompt for row in rows for prompt, _ in row))
    found = dict(zip(prompts, encode(prompts), strict=True))
    return np.stack([_between(row, found) for row in rows])


def _between(row: Shares, found: Mapping[str, np.ndarray]) -> np.ndarray:
    if len(row) == 1:
        return found[row[0][0]]
    shares = np.array([share for _, share in row], np.float32)
    return np.tensordot(shares, np.stack([found[prompt] for prompt, _ in row]), 1)


def texts_of(config: Any) -> list[str]:
    """Every prompt that a configuration of infer.py reads: also negative ones and those of scenes,
    levels and nodes. Raises as `InferConfig.wanted_prompts`.
    """
    reads = config.reader()
    found = list(config.wanted_prompts())
    for key, leaf in leaves(_schema(config)).items():
        if leaf.said("text") and key not in ("prompt", "prompts") and reads.covers(key):
            found += _flat(value_at(config, key))
    return list(dict.fromkeys([*found, ""]))


def _schema(config: Any) -> type:
    from mindlong.config.pipelines import PIPELINES

    return PIPELINES[config.pipeline].schema


def _flat(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _flat(inner)
    else:
        for inner in value:
            yield from _flat(inner)


def wording_of(config: Any, tokenizer: Any) -> Wording:
    """How a configuration reads its prompts, by the tokenizer of its text encoder.

    Raises:
        ConfigError: a prompt that is not written right, or longer than `MOST_CHUNKS`.
    """
    plain = Wording(config.prompt_syntax)
    if config.long_prompts == CUT:
        return plain
    room, longest = tokenizer.room, 1
    for text in texts_of(config):
        for said in prompt_syntax.read(text, config.prompt_syntax):
            longest = max(longest, -(-len(_tokens(tokenizer, said)[0]) // room))
        if longest > MOST_CHUNKS:
            raise ConfigError(
                f"the prompt {text[:30]!r}... takes {longest} chunks of {room} tokens; {MOST_CHUNKS} are the most"
            )
    return Wording(config.prompt_syntax, longest)


def notes_of(wording: Wording, tokenizer: Any, texts: Iterable[str]) -> Iterator[str]:
    """Sentences on what a run makes of its prompts' brackets and lengths."""
    if wording.chunks > 1:
        yield (
            f"the longest prompt takes {wording.chunks} chunks of {tokenizer.room} tokens, and every prompt of this run "
            f"is filled up to that: {wording.chunks * (tokenizer.room + 2)} states"
        )
    if wording.syntax == PLAIN:
        return
    for text in dict.fromkeys(texts):
        said = prompt_syntax.read(text)
        if any(part.open for part in said):
            yield f"the prompt {text[:60]!r} has a bracket that is not closed: it reaches to the end"
        if any(part.stray for part in said):
            yield f"the prompt {text[:60]!r} has a bracket that closes nothing: it is taken as a word"

"""What the field measures of edited videos: agreement of frames with each other and with a text,
through CLIP.

Frame consistency and text agreement are mean cosines (FateZero, arXiv 2303.09535, LOVEU-TGVE); edit
accuracy is the share of frames that are nearer to the text wanted than to the source's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mindspore import Tensor

from mindlong.networks.clip.text_cell import TextEncoder
from mindlong.networks.clip.tokenizer import OPENAI_MERGES, load_tokenizer
from mindlong.networks.clip.vision_cell import ImageEncoder, prepared
from mindlong.scores.clip import load_towers
from mindlong.utils.errors import ConfigError, InputFileError


class ClipScorer:
    """Both encoders of a CLIP.

    Args:
        image, text: the encoders, filled.
        tokenizer: of the text encoder.
        chunk: frames encoded at a time.
    """

    def __init__(self, image: ImageEncoder, text: TextEncoder, tokenizer, chunk: int = 8) -> None:
        self.image, self.text, self.tokenizer, self.chunk = (
            image.set_train(False),
            text.set_train(False),
            tokenizer,
            chunk,
        )

    def frames(self, frames_FHWC: np.ndarray) -> np.ndarray:
        """Embeddings (F, P) of length one."""
        found, spec = [], self.image.spec
        for start in range(0, len(frames_FHWC), self.chunk):
            part = frames_FHWC[start : start + self.chunk]
            whole = np.concatenate(
                [part, np.repeat(part[-1:], min(self.chunk, len(frames_FHWC)) - len(part), 0)]
            )
            found.append(
                self.image(Tensor(prepared(whole, spec.size, spec.mean, spec.deviation))).asnumpy()[
                    : len(part)
                ]
            )
        return _unit(np.concatenate(found))

    def texts(self, prompts: Sequence[str]) -> np.ndarray:
        """Embeddings (len(prompts), P) of length one: the state at the end token, projected."""
        ids = self.tokenizer(prompts)
        states = self.text(Tensor(ids)).asnumpy()
        ends = (ids == self.tokenizer.end_id).argmax(1)
        return _unit(
            states[np.arange(len(ids)), ends] @ self.image.text_projection.weight.asnumpy().T
        )

    def scores(self, frames_FHWC: np.ndarray, prompt: str, source: str = "") -> dict[str, float]:
        """Consistency of neighbours and of all pairs, agreement with the prompt, and, with the
        source's text, edit accuracy.
        """
        frames = self.frames(frames_FHWC)
        found = {
            "frame_consistency": consistency(frames),
            "frame_consistency_all": consistency(frames, True),
        }
        if prompt:
            found["text_agreement"] = float((frames @ self.texts([prompt])[0]).mean())
        if prompt and source:
            wanted, before = self.texts([prompt, source])
            found["edit_accuracy"] = float((frames @ wanted > frames @ before).mean())
        return found


def consistency(units_FP: np.ndarray, all_pairs: bool = False) -> float:
    """Mean cosine of neighbouring frames, or of all pairs of different ones; 1 for a single
    frame.
    """
    if len(units_FP) < 2:
        return 1.0
    if not all_pairs:
        return float((units_FP[:-1] * units_FP[1:]).sum(1).mean())
    cosines = units_FP @ units_FP.T
    return float(cosines[~np.eye(len(units_FP), dtype=bool)].mean())


def load_clip(
    path: str | Path, tokenizer: str | Path = "", chunk: int = 8, activation: str = ""
) -> ClipScorer:
    """Both encoders of a CLIP as transformers or open_clip writes it: a folder with configuration,
    weights and tokenizer, or a file.

    Args:
        tokenizer: where its vocabulary lies, if not beside the weights.
        activation: "quick_gelu" or "gelu", where nothing beside the weights tells (open_clip's
            naming).

    Raises:
        InputFileError: no such file, or not a whole CLIP. ConfigError: no tokenizer, or no
            activation, is named or found.
    """
    path = Path(path)
    if not path.exists():
        raise InputFileError(
            f"--clip: nothing at {path}; give a folder or a weights file of a CLIP model, such as ViT-B/32"
        )
    image, text = load_towers(path, activation)
    folder = Path(tokenizer) if tokenizer else _tokenizer(path)
    return ClipScorer(image, text, load_tokenizer(folder, text.spec.length, None), chunk)


_VOCABULARIES = ("vocab.json", "tokenizer.json", f"{OPENAI_MERGES}.gz", OPENAI_MERGES)


def _tokenizer(path: Path) -> Path:
    folder = path if path.is_dir() else path.parent
    for place in (folder, folder / "tokenizer"):
        if any((place / name).is_file() for name in _VOCABULARIES):
            return place
    raise ConfigError(
        f"there is no vocab.json beside {path}; name the tokenizer's folder with --tokenizer"
    )


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)

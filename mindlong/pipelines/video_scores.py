"""What the field measures of edited videos: agreement of frames with each other and with a text, through CLIP.

Frame consistency and text agreement are mean cosines (FateZero, arXiv 2303.09535, LOVEU-TGVE); edit accuracy is the share of
frames that are nearer to the text wanted than to the source's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from mindspore import Tensor

from mindlong.checkpoints.files import open_weights
from mindlong.checkpoints.load import load_into
from mindlong.checkpoints.parts import read_part
from mindlong.checkpoints.report import compare
from mindlong.models.image_encoder import ImageEncoder, prepared
from mindlong.models.text_encoder import TextEncoder
from mindlong.models.tokenizer import load_tokenizer
from mindlong.spec import clip_vision
from mindlong.spec.names import our_array
from mindlong.utils.errors import ConfigError, InputFileError


class ClipScorer:
    """Both towers of a CLIP.

    Args:
        image, text: the towers, filled.
        tokenizer: of the text tower.
        chunk: frames encoded at a time.
    """

    def __init__(self, image: ImageEncoder, text: TextEncoder, tokenizer, chunk: int = 8) -> None:
        self.image, self.text, self.tokenizer, self.chunk = image.set_train(False), text.set_train(False), tokenizer, chunk

    def frames(self, frames_FHWC: np.ndarray) -> np.ndarray:
        """Embeddings (F, P) of length one."""
        found = []
        for start in range(0, len(frames_FHWC), self.chunk):
            part = frames_FHWC[start : start + self.chunk]
            whole = np.concatenate([part, np.repeat(part[-1:], min(self.chunk, len(frames_FHWC)) - len(part), 0)])
            found.append(self.image(Tensor(prepared(whole, self.image.spec.size))).asnumpy()[: len(part)])
        return _unit(np.concatenate(found))

    def texts(self, prompts: Sequence[str]) -> np.ndarray:
        """Embeddings (len(prompts), P) of length one: the state at the end token, projected."""
        ids = self.tokenizer(prompts)
        states = self.text(Tensor(ids)).asnumpy()
        ends = (ids == self.tokenizer.end_id).argmax(1)
        return _unit(states[np.arange(len(ids)), ends] @ self.image.text_projection.weight.asnumpy().T)

    def scores(self, frames_FHWC: np.ndarray, prompt: str, source: str = "") -> dict[str, float]:
        """Consistency of neighbours and of all pairs, agreement with the prompt, and, with the source's text, edit accuracy."""
        frames = self.frames(frames_FHWC)
        found = {"frame_consistency": consistency(frames), "frame_consistency_all": consistency(frames, True)}
        if prompt:
            found["text_agreement"] = float((frames @ self.texts([prompt])[0]).mean())
        if prompt and source:
            wanted, before = self.texts([prompt, source])
            found["edit_accuracy"] = float((frames @ wanted > frames @ before).mean())
        return found


def consistency(units_FP: np.ndarray, all_pairs: bool = False) -> float:
    """Mean cosine of neighbouring frames, or of all pairs of different ones; 1 for a single frame."""
    if len(units_FP) < 2:
        return 1.0
    if not all_pairs:
        return float((units_FP[:-1] * units_FP[1:]).sum(1).mean())
    cosines = units_FP @ units_FP.T
    return float(cosines[~np.eye(len(units_FP), dtype=bool)].mean())


def load_clip(path: str | Path, tokenizer: str | Path = "", chunk: int = 8) -> ClipScorer:
    """Both towers of a CLIPModel as transformers writes it: a folder with config.json, weights and tokenizer, or a weights file.

    Raises:
        InputFileError: no such file, or not a whole CLIPModel. ConfigError: no tokenizer is named or found.
    """
    path = Path(path)
    if not path.exists():
        raise InputFileError(f"--clip: nothing at {path}; give a folder or a weights file of a CLIP model, such as ViT-B/32")
    weights = open_weights(path)
    config = weights.config_of("")
    try:
        spec = clip_vision.infer({n: weights.shape(n) for n in weights}, config.get("vision_config", {}))
    except ConfigError as error:
        raise InputFileError(f"{path}: {error}") from None
    entries = clip_vision.names(spec)
    held = {n: weights.shape(n) for n in weights if not n.startswith("text_model.") and n not in _IGNORED}
    report = compare({e.source: e.source_shape for e in entries}, held, ("*position_ids",))
    if not report.fits:
        raise InputFileError("\n".join([f"{path} is not a whole picture tower: {report.summary()}", *report.lines()[1:]]))
    image = ImageEncoder(spec)
    load_into(image, {e.ours: our_array(e, weights.read(e.source)).astype(np.float32) for e in entries})
    text = read_part(weights, "text_encoder")
    act = config.get("text_config", {}).get("hidden_act") or spec.activation
    tower = TextEncoder(replace(text.spec, activation=act))
    load_into(tower, {name: lazy.read().astype(np.float32) for name, lazy in text.arrays.items()})
    folder = Path(tokenizer) if tokenizer else _tokenizer(path)
    return ClipScorer(image, tower, load_tokenizer(folder, text.spec.length, None), chunk)


_IGNORED = ("logit_scale",)


def _tokenizer(path: Path) -> Path:
    folder = path if path.is_dir() else path.parent
    for place in (folder, folder / "tokenizer"):
        if (place / "vocab.json").is_file():
            return place
    raise ConfigError(f"there is no vocab.json beside {path}; name the tokenizer's folder with --tokenizer")


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)

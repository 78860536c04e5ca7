"""The text encoder of a model, grown to another vocabulary: a folder to start training from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from mindlong.checkpoints import description
from mindlong.checkpoints.files import open_named, write_safetensors
from mindlong.checkpoints.locate import locate
from mindlong.checkpoints.part_places import read_text_encoder
from mindlong.checkpoints.run_config import latent_training
from mindlong.networks.clip.grown import grown
from mindlong.networks.clip.text_spec import ClipTextSpec
from mindlong.networks.clip.tokenizer_files import NAMES, read_files
from mindlong.utils import atomic
from mindlong.utils.errors import InputFileError

if TYPE_CHECKING:
    from mindlong.networks.network import Network

PART = "text_encoder"
PARTS = (f"{PART}.safetensors", f"{PART}.yaml")  # what `GrownText.write` writes


@dataclass(frozen=True)
class GrownText:
    """A text encoder that is not written yet."""

    network: Network
    spec: Any
    arrays: dict[str, np.ndarray]

    def write(self, folder: Path) -> Path:
        """Write its weights and its model file into `folder`; returns the weights."""
        section, (file, model) = self.network.section(self.spec), [folder / n for n in PARTS]
        write_safetensors(
            file,
            {f"{PART}.{name}": array for name, array in self.arrays.items()},
            description.metadata({PART: section}, {}),
        )
        head = f"# The {PART} in {file.name}: a file for latents.text_encoder=\n"
        atomic.write_text(
            model,
            head + yaml.safe_dump(section, sort_keys=False, default_flow_style=None),
        )
        return file


def grown_text(weights: str, vocabulary: Mapping[str, int], length: int | None) -> GrownText:
    """The CLIP text encoder of a model, a run or a folder that was written here, with the tokens of
    `vocabulary` and prompts of `length` tokens (None: as many as its own have); `clip.grown` says
    how.

    Raises:
        InputFileError: it has no CLIP text encoder, no tokenizer, or one with more tokens than the
            encoder knows. ConfigError: it is longer.
    """
    held, part = open_named(weights, "--weights"), read_text_encoder(weights, "--weights")
    if not isinstance(part.spec, ClipTextSpec):
        raise InputFileError(
            f"{held.path} has a text encoder of the family {part.family}; only that of CLIP can be grown"
        )
    run = latent_training(locate(weights, "--weights"))
    place = held.tokenizer(NAMES) or (run.latents.tokenizer if run else _beside(held.path))
    if not place:
        raise InputFileError(
            f"{held.path} has no tokenizer beside its text encoder, which says what its tokens are"
        )
    files = read_files(Path(place))
    most = max(files.ids().values(), default=0)
    if most >= part.spec.vocabulary:
        raise InputFileError(
            f"{place} has tokens up to number {most}, but the text encoder in {held.path} knows "
            f"{part.spec.vocabulary}; they do not belong together"
        )
    arrays = {name: np.asarray(lazy.read()) for name, lazy in part.arrays.items()}
    wanted = part.spec.length if length is None else length
    spec, made = grown(part.spec, arrays, files, vocabulary, wanted)
    return GrownText(part.network, spec, made)


def _beside(path: Path) -> Path | None:
    """The folder of the weights, where it holds a tokenizer's files as well."""
    folder = path if path.is_dir() else path.parent
    return folder if any((folder / name).is_file() for name in NAMES) else None

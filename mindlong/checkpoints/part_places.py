"""Where the parts beside a latent network are: where the user says, in its own file, or where its
training found them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindlong.checkpoints.files import open_named, open_weights
from mindlong.checkpoints.locate import locate
from mindlong.checkpoints.parts import read_part
from mindlong.checkpoints.run_config import latent_training
from mindlong.utils import hub
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.needed import needed

if TYPE_CHECKING:
    from mindlong.checkpoints.parts import Part
    from mindlong.checkpoints.weight_file import WeightFile
    from mindlong.config.infer_options.latent import LatentModelOptions
    from mindlong.config.schema import TrainConfig
    from mindlong.networks.network import Network


def part_at(part: str, named: str, held: WeightFile, from_run: str) -> Part:
    """A network from the place that the user names, from `weights`, or from where the training
    found it.
    """
    if named:
        return read_part(open_named(named, f"latent.{part}"), part)
    try:
        return read_part(held, part)
    except InputFileError as error:
        if "holds no" not in str(error):
            raise
    if from_run:
        return read_part(open_named(from_run, f"latents.{part}"), part)
    raise InputFileError(f"{held.path} has no {part}; name one with latent.{part}")


def text_encoder(named: str, held: WeightFile, run: TrainConfig | None) -> Part:
    """The text encoder from the place that the user names, or the one that `held` was trained
    with.
    """
    if named or run is None or not run.latents.text_weights:
        return part_at("text_encoder", named, held, "")
    return _trained_with(held, run)


def fitted_text(text: Part, network: Network, spec: Any) -> Part:
    """The text encoder with the length of prompts that a network reads, where it takes any."""
    tokens = needed(network.denoiser, "denoiser").tokens(spec)
    if not (tokens and needed(text.network.text, "text").layered):
        return text
    return replace(text, spec=replace(text.spec, length=tokens))


def read_text_encoder(named: str, key: str = "weights") -> Part:
    """The text encoder of whatever `weights=` can name; `key` is what the user wrote it under.

    Raises:
        InputFileError: it has none, or a damaged one. ConfigError: nothing says its sizes.
    """
    where = locate(named, key)
    return _trained_with(open_weights(where), latent_training(where))


def _trained_with(held: WeightFile, run: TrainConfig | None) -> Part:
    """A run that began with a given text encoder has the weights of it, and the sizes where that
    one came from.
    """
    try:
        return read_part(held, "text_encoder")
    except (InputFileError, ConfigError):
        if run is None or not run.latents.text_weights:
            raise
    given = read_text_encoder(run.latents.text_weights)
    own = {
        n.removeprefix("text_encoder."): held.lazy(n) for n in held if n.startswith("text_encoder.")
    }
    return replace(given, arrays=own or given.arrays)


def image_parts(
    held: WeightFile, network: Part, options: LatentModelOptions, run: TrainConfig | None
) -> dict[str, Part]:
    """The image encoder and the projector, for a network that reads an image's tokens."""
    named = {"image_encoder": options.image_encoder, "projector": options.projector}
    if needed(network.network.denoiser, "denoiser").images is None:
        for role in filter(named.get, named):
            raise ConfigError(
                f"latent.{role} is given, and {network.network.about} reads no image; leave it out"
            )
        return {}
    trained = run.latents if run else None
    found = {}
    for role, place in named.items():
        from_run = getattr(trained, role, "")
        if role == "projector" and from_run and not place:
            found[role] = _projector(held, from_run)
        else:
            found[role] = part_at(role, place, held, from_run)
    return found


def read_projector(named: str, key: str = "latents.projector") -> Part:
    """The projector of a file, a folder or a run, which the user named under `key`. Raises as
    `read_text_encoder`.
    """
    where = locate(named, key)
    held, run = open_weights(where), latent_training(where)
    if run is None or not run.latents.projector:
        return read_part(held, "projector")
    return _projector(held, run.latents.projector)


def _projector(held: WeightFile, start: str) -> Part:
    """A run has the weights of its projector, and the sizes where that one came from; a packaged
    one has both.
    """
    try:
        return read_part(held, "projector")
    except (InputFileError, ConfigError):
        pass
    given = read_projector(start)
    prefix = f"{given.network.part}."
    own = {n.removeprefix(prefix): held.lazy(n) for n in held if n.startswith(prefix)}
    return replace(given, arrays=own or given.arrays)


def tokenizer(
    held: WeightFile, text: Part, options: LatentModelOptions, run: TrainConfig | None
) -> Path:
    """The folder or file of the text encoder's tokenizer. Raises InputFileError."""
    files = needed(text.network.text, "text").files
    if options.tokenizer:
        return existing(options.tokenizer, "latent.tokenizer")
    held_beside = held.tokenizer(files)
    if held_beside:
        return held_beside
    if run and run.latents.tokenizer:
        return Path(run.latents.tokenizer)
    raise InputFileError(
        f"{held.path} has no tokenizer; name a folder with one of {', '.join(files)} with latent.tokenizer"
    )


def existing(named: str, key: str) -> Path:
    """A path that is there; `key` is what the user wrote it under. Raises InputFileError."""
    if not Path(named).exists():
        raise InputFileError(f"{key}: nothing at {named}{hub.advice(named)}")
    return Path(named)

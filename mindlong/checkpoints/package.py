"""A trained latent model as a folder to share: a file for each network, their model files,
tokenizer and noising process.

It has the form of a converted pipeline, so that `infer.py weights=FOLDER` and the converter take
it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from mindlong.checkpoints import description
from mindlong.checkpoints.changed import FILE, open_tuned
from mindlong.checkpoints.files import open_weights, write_safetensors
from mindlong.checkpoints.folders import files_in
from mindlong.checkpoints.locate import locate
from mindlong.checkpoints.part_places import read_projector, read_text_encoder
from mindlong.checkpoints.parts import read_part
from mindlong.config.section import load_model
from mindlong.networks import table
from mindlong.utils import atomic

if TYPE_CHECKING:
    from mindlong.checkpoints.find import Trained
    from mindlong.config.schema import TrainConfig
    from mindlong.networks.network import Network

PREDICTIONS = {"eps": "epsilon", "v": "v_prediction", "x0": "sample"}
BETAS = {"cosine": "squaredcos_cap_v2", "linear": "linear", "scaled_linear": "scaled_linear"}
RECORDS = ("config.yaml", "metrics.csv", "loss.png")


def package(trained: Trained, run: Path, out: Path, dtype: str, own_vae: bool = True) -> list[Path]:
    """Write the folder `out` from a run of a latent family; returns the weight files.

    Args:
        trained: its averaged weights, `unet.*` and `text_encoder.*`, and its configuration.
        run: its folder, for config.yaml, metrics.csv and loss.png.
        own_vae: write the autoencoder too; without it the folder's config.yaml says where it is.
    """
    config, entry = trained.config, table.get(trained.config.model.family)
    text, text_spec = _text(config)
    parts = {
        entry.part: (entry, config.model.spec(), _under(trained.arrays, entry.part)),
        text.part: (text, text_spec, _under(trained.arrays, text.part)),
    }
    parts |= _imaged(config, trained.arrays)
    parts |= {"vae": _vae(config)} if own_vae else {}
    sections = {part: network.section(spec) for part, (network, spec, _) in parts.items()}
    model = {
        **sections[entry.part],
        **{part: section for part, section in sections.items() if part != entry.part},
    }  # what denoises at the top
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for part, (_, _, arrays) in parts.items():
        written.append(out / f"{part}.safetensors")
        write_safetensors(
            written[-1],
            {f"{part}.{name}": a for name, a in arrays.items()},
            description.metadata(model, {}),
            dtype,
        )
        head = f"# The {part} in {part}.safetensors: a file for model=\n"
        atomic.write_text(
            out / f"{part}.yaml",
            head + yaml.safe_dump(sections[part], sort_keys=False, default_flow_style=None),
        )
    _beside(config, out)
    copy_records(run, out)
    return written


def package_changed(trained: Trained, run: Path, out: Path, dtype: str) -> list[Path]:
    """Write the folder `out` from a distillation that left some tensors as they were: those that
    changed, and beside them which weights they belong over.

    Raises:
        InputFileError: the run has no such file: all of its tensors changed, or it started from
            nothing.
    """
    held = open_tuned(trained.where)
    out.mkdir(parents=True, exist_ok=True)
    written = out / f"{FILE}.safetensors"
    write_safetensors(written, {name: held.lazy(name) for name in held}, {}, dtype)
    _scheduler(trained.config, out)
    copy_records(run, out)
    return [written]


def copy_records(run: Path, out: Path) -> None:
    """What the run says of itself; a curve that was never drawn, or was removed, is not missed."""
    for name in RECORDS:
        if (run / name).is_file():
            shutil.copyfile(run / name, out / name)


def _under(arrays: Mapping[str, np.ndarray], part: str) -> dict[str, np.ndarray]:
    return {
        name.removeprefix(f"{part}."): a
        for name, a in arrays.items()
        if name.startswith(f"{part}.")
    }


def _vae(config: TrainConfig) -> tuple[Network, Any, dict[str, np.ndarray]]:
    part = read_part(open_weights(locate(config.latents.vae)), "vae")
    scaling = config.latents.scaling or part.spec.scaling
    return (
        part.network,
        replace(part.spec, scaling=scaling),
        {name: lazy.read() for name, lazy in part.arrays.items()},
    )


def _imaged(
    config: TrainConfig, arrays: Mapping[str, np.ndarray]
) -> dict[str, tuple[Network, Any, dict[str, np.ndarray]]]:
    """What makes an image's tokens, for a network that reads them; the projector as trained."""
    found = {}
    for role in ("image_encoder", "projector"):
        named = getattr(config.latents, role)
        if named:
            part = (
                read_projector(named)
                if role == "projector"
                else read_part(open_weights(locate(named)), role)
            )
            own = _under(arrays, part.network.part)
            held = own or {name: lazy.read() for name, lazy in part.arrays.items()}
            found[part.network.part] = (part.network, part.spec, held)
    return found


def _text(config: TrainConfig) -> tuple[Network, Any]:
    if config.latents.text_weights:
        part = read_text_encoder(config.latents.text_weights)
        return part.network, part.spec
    section = load_model(config.latents.text_encoder)
    return table.get(section.family), section.spec()


def _beside(config: TrainConfig, out: Path) -> None:
    """Tokenizer and noising process, in diffusers' form."""
    (out / "tokenizer").mkdir(exist_ok=True)
    given = Path(config.latents.tokenizer)
    for source in files_in(given) if given.is_dir() else [given]:
        target = out / "tokenizer" / source.name
        if not (target.exists() and target.samefile(source)):
            shutil.copyfile(source, target)
    _scheduler(config, out)


def _scheduler(config: TrainConfig, out: Path) -> None:
    d = config.diffusion
    scheduler = {
        "_class_name": "DDIMScheduler",
        "num_train_timesteps": d.timesteps,
        "beta_start": d.beta_start,
        "beta_end": d.beta_end,
        "beta_schedule": BETAS[d.schedule],
        "prediction_type": PREDICTIONS[d.prediction],
        "rescale_betas_zero_snr": d.zero_terminal_snr,
        "clip_sample": False,
        "set_alpha_to_one": True,
        "steps_offset": 0,
        "timestep_spacing": "trailing",
    }
    if d.snr_shift != 1.0:  # which DDIMScheduler does not know
        shifted = {"snr_shift_scale": d.snr_shift}
        scheduler |= {"_class_name": "CogVideoXDDIMScheduler", **shifted}
    if config.distil.wanted:
        few = {"original_inference_steps": config.distil.original, "timestep_scaling": 10.0}
        scheduler |= {"_class_name": "LCMScheduler", **few}
    (out / "scheduler").mkdir(exist_ok=True)
    atomic.write_text(
        out / "scheduler/scheduler_config.json", json.dumps(scheduler, indent=2) + "\n"
    )

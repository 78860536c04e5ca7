"""A latent model whose UNet can be conditioned on known frames, where a branch goes with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from mindlong.checkpoints import manifest
from mindlong.checkpoints.branch import PREFIX, branch_spec, read_branch
from mindlong.checkpoints.files import open_weights
from mindlong.checkpoints.latent_parts import LatentParts, find_latent_parts
from mindlong.checkpoints.lazy import as_lazy
from mindlong.checkpoints.load import load_into
from mindlong.checkpoints.locate import find_branch
from mindlong.checkpoints.lora.latent import with_loras
from mindlong.checkpoints.run_config import config_of
from mindlong.networks.table import has_feature
from mindlong.networks.unet.control import ControlledUNet
from mindlong.networks.unet.control_spec import ControlSpec, condition
from mindlong.ops.graph_cache.calls import call
from mindlong.ops.precision import store_as
from mindlong.pipelines.image_model import ImageModel
from mindlong.utils.errors import ConfigError, InputFileError
from mindlong.utils.progress import announced

if TYPE_CHECKING:
    from mindlong.checkpoints.parts import Part
    from mindlong.config.infer_options.latent import LatentModelOptions
    from mindlong.diffusion.guidance import Model
    from mindlong.pipelines.latent_model import LatentModel
    from mindlong.pipelines.models import Models


class ControlledModel:
    """What a hierarchical run asks of networks.

    Args:
        latent: the networks; its UNet is a ControlledUNet where `control` is given.
        control: of the branch; None: there is none, and the UNet is conditioned on nothing.
        taken: what a UNet that takes a frame rate is given, of each level (the last for all below);
            empty: that of its run.
    """

    def __init__(
        self, latent: LatentModel, control: ControlSpec | None, taken: Sequence[int] = ()
    ) -> None:
        self.latent, self.control, self.rates = latent, control, list(taken)
        self._compiled: set[tuple[int, ...]] = set()

    def denoiser(
        self,
        context: np.ndarray,
        fps: float,
        clean_BCFHW: np.ndarray,
        known_BF: np.ndarray,
        depth: int,
        image: bool = True,
    ) -> Model:
        """A model for the samplers that knows the frames `known_BF` of `clean_BCFHW`."""
        fps = self.rates[min(depth, len(self.rates) - 1)] if self.rates else fps
        if self.control is None or not known_BF.any():
            return self.latent.denoiser(context, fps)
        cond, mask = condition(clean_BCFHW, known_BF, self.control)
        depths = self.control.depths
        inputs = [
            Tensor(cond),
            Tensor(mask),
            Tensor(np.full(len(cond), min(depth, depths - 1), np.int32)) if depths else None,
        ]
        rate = Tensor(np.full(len(cond), fps, np.float32)) if self.latent.wants_fps else None
        text = Tensor(np.ascontiguousarray(context, np.float32))
        return lambda x, t: self._told(
            Tensor(np.ascontiguousarray(x, np.float32)),
            Tensor(np.asarray(t, np.float32)),
            text,
            rate,
            *inputs,
        )

    def _told(self, x: Tensor, *inputs: Tensor | None) -> np.ndarray:
        if x.shape in self._compiled or ms.get_context("mode") != ms.GRAPH_MODE:
            return call(self.latent.network, x, *inputs).asnumpy()
        self._compiled.add(x.shape)
        with announced(
            f"preparing the graph for latents {tuple(x.shape)} with known frames, and its first step"
        ):
            return call(self.latent.network, x, *inputs).asnumpy()


def controlled(
    models: Models,
    weights: str,
    branch: str,
    options: LatentModelOptions,
    loras: Sequence[str] = (),
    strict: bool = True,
    taken: Sequence[int] = (),
) -> ControlledModel | ImageModel:
    """The networks at `weights` (as `load_latent_model`), and the branch at `branch` or beside them
    where there is one; without one the model is that of other pipelines. LoRAs are added to what
    the branch's file has changed of the base. A network that is conditioned on images needs none.

    Args:
        taken: see `mindlong.pipelines.image_model.ImageModel`.

    Raises:
        InputFileError: something is missing or damaged. ConfigError: parts do not go together.
    """
    parts, place = find_latent_parts(weights, options), find_branch(weights, branch)
    if parts.network.network.denoiser.images:
        if place is not None:
            raise ConfigError(f"{place} is a branch, and {weights} knows given frames without one")
        return ImageModel(models.latent(weights, options, loras, strict), taken)
    if place is None:
        return ControlledModel(models.latent(weights, options, loras, strict), None, taken)
    family = parts.network.family
    if not has_feature(family, "branch"):
        raise ConfigError(
            f"{place} is a branch, and the network of the family {family} has no layers for one"
        )
    control = models.held("control", str(place), load=lambda: _spec_at(place))
    held = read_branch(place, control, parts.network.spec)
    parts = with_loras(_with_changes(parts, held), loras, strict)
    model = models.of_parts(parts, options, weights, str(place))
    model.builders["network"] = lambda: _filled(
        model.held["network"], held, place, control, options.dtype
    )
    return ControlledModel(model, control, taken)


def _with_changes(parts: LatentParts, held: Mapping[str, np.ndarray]) -> LatentParts:
    """The base with the tensors in the place of which the branch's file holds others."""
    own = parts.network.arrays
    changed = {name: as_lazy(array) for name, array in held.items() if name in own}
    return replace(parts, network=replace(parts.network, arrays={**own, **changed}))


def _spec_at(place: Path) -> ControlSpec:
    """What a file says of its branch, or a checkpoint's run; InfiNet's own file says nothing and
    has no cascade.
    """
    said = branch_spec(open_weights(place))
    if said is None and (place / manifest.NAME).is_file():
        return config_of(place).infinet.control()
    return said or ControlSpec(hidden=0)


def _filled(
    base: Part, held: Mapping[str, np.ndarray], place: Path, control: ControlSpec, dtype: str
) -> nn.Cell:
    """The UNet of the base, and the branch."""
    cell = ControlledUNet(base.spec, control, dtype)
    if dtype != "float32":
        store_as(cell, dtype)
    arrays = {name: lazy.read() for name, lazy in base.arrays.items()}
    arrays |= {name: array for name, array in held.items() if name.startswith(PREFIX)}
    strange = sorted(set(held) - set(arrays))
    if strange:
        raise InputFileError(
            f"{place} holds {strange[0]}, which the UNet of the base does not have; they do not belong "
            "together"
        )
    load_into(cell, arrays, what=f"the base with the branch in {place}")
    for parameter in cell.get_parameters():
        parameter.requires_grad = False
    return cell

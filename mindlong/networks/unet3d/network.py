"""Unet3D in the table of networks."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from mindlong.diffusion.noising import Noising
from mindlong.diffusion.samplers.flavours import FLAVOURS
from mindlong.diffusion.schedules import cosine
from mindlong.networks.network import Denoiser, Facts, Network
from mindlong.networks.unet3d.cost import cost
from mindlong.networks.unet3d.files import FORMAT, section
from mindlong.networks.unet3d.keys import FAMILY, VdmModel
from mindlong.networks.unet3d.lone import LONE

if TYPE_CHECKING:
    from mindlong.networks.unet3d.spec import Unet3DSpec


def _takes(spec: Unet3DSpec) -> tuple[str, ...]:
    return ("cond",) if spec.cond_dim else ()


def _noising(spec: Unet3DSpec, facts: Facts) -> Noising:
    return Noising(cosine(int(facts.get("timesteps", 1000))), "eps", FLAVOURS["mindlong"], 1.0)


NETWORKS = (
    Network(
        family=FAMILY,
        role="network",
        about="Unet3D of video-diffusion-pytorch",
        keys=VdmModel,
        section=section,
        formats=(FORMAT,),
        our_markers=(
            "time_bias.weight",
            "init_temporal.to_qkv.weight",
            "mid.spatial.to_qkv.weight",
        ),
        build="mindlong.networks.unet3d.built_cell:build",
        cost=cost,
        part="unet",
        lone=LONE,
        denoiser=Denoiser(
            space="pixel",
            takes=_takes,
            size=(10, 64, 64),
            noising=_noising,
            width=lambda spec: spec.cond_dim or 0,
            conditioned="mindlong.networks.unet3d.conditioned:of_model",
            focused="mindlong.networks.unet3d.conditioned:FocusedUnet3D",
            usual=MappingProxyType({}),
            features=frozenset({"focus"}),
        ),
    ),
)

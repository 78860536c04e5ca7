"""Motion modules alone in the table of networks: files that hold nothing else, to be joined with an
image network.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mindlong.networks.format import Format
from mindlong.networks.keys import frozen, problems_of_spec
from mindlong.networks.network import Hub, Module, Network
from mindlong.networks.their_config import natural, refuse_others
from mindlong.networks.unet import motion
from mindlong.networks.unet.families import FAMILIES
from mindlong.networks.unet.motion_measure import MotionPlaces, infer_alone
from mindlong.networks.unet.motion_names import entries, tables
from mindlong.utils.option import option

if TYPE_CHECKING:
    from mindlong.networks.unet.spec import UNetSpec

WHOLE, NAME, PART = "animatediff", "animatediff_motion", "motion"
_FAMILY = FAMILIES[WHOLE]
_MARKERS = {
    "guoyww": ("down_blocks.0.motion_modules.0.temporal_transformer.proj_in.weight",),
    "diffusers": ("down_blocks.0.motion_modules.0.proj_in.weight",),
    "ldm": ("input_blocks.1.2.temporal_transformer.proj_in.weight",),
}
_REST = r"(?!.*\b(motion_modules|temporal_transformer)\.).*"  # what is no motion module
_ONLY = {
    "motion_transformer_layers_per_block": (1,),
    "motion_transformer_layers_per_mid_block": (1,),
    "motion_mid_block_layers_per_block": (1,),
    "conv_in_channels": (None,),
}


@dataclass
class MotionModel:
    """Motion modules, to be joined with an image network; a key left empty is as published."""

    family: str = option(NAME, "which network", choices=(NAME,))
    version: str = option("", "v1, v2, v3 or lcm; empty: v2", choices=("", *motion.VERSIONS))
    places: int = option(0, "frames that there is a place for; 0: as published", minimum=0)
    compat: str = option(
        "", "diffusers: norms over all frames, as diffusers takes them", choices=motion.COMPATS
    )
    channels: list[int] | None = option(None, "channels of each level", minimum=2)
    layers: int | None = option(None, "layers of a level", minimum=1)
    attends: list[bool] | None = option(None, "whether each level has text attention")
    heads: int | None = option(None, "number of attention heads", minimum=1)
    groups: int | None = option(None, "groups of every GroupNorm", minimum=1)

    def spec(self) -> UNetSpec:
        """The frozen spec of the network that they are for."""
        sizes = {
            key: frozen(value)
            for key in ("channels", "layers", "attends", "heads", "groups")
            if (value := getattr(self, key)) is not None
        }
        return _FAMILY.spec(**motion.fields(self.version, self.places, self.compat), **sizes)

    def problems(self) -> Iterator[str]:
        """Sentences on fields that do not fit together."""
        yield from problems_of_spec(self)

    def training_problems(self, config: Any) -> Iterator[str]:
        """Sentences on what a training configuration with this model gets wrong."""
        yield f"model.family is {NAME}; motion modules are trained in their network, {WHOLE}"


def _section(spec: UNetSpec) -> dict[str, Any]:
    usual, described = _FAMILY.spec(), motion.described(spec)
    keys = ("channels", "layers", "attends", "heads", "groups")
    sizes = {key: getattr(spec, key) for key in keys if getattr(spec, key) != getattr(usual, key)}
    return {
        "family": NAME,
        **described,
        **{key: list(v) if isinstance(v, tuple) else v for key, v in sizes.items()},
    }


def _config(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a MotionAdapter's config.json says beyond the shapes."""
    refuse_others(config, _ONLY)
    found: dict[str, Any] = {}
    for key, theirs in (
        ("heads", "motion_num_attention_heads"),
        ("groups", "motion_norm_num_groups"),
        ("places", "motion_max_seq_length"),
    ):
        if natural(config, theirs):
            found[key] = config[theirs]
    return found


def _format(layout: str) -> Format:
    inside = "model.diffusion_model." if layout == "ldm" else ""
    return Format(
        layout=layout,
        markers=_MARKERS[layout],
        infer=functools.partial(infer_alone, _FAMILY, MotionPlaces(_FAMILY, layout)),
        entries=functools.partial(entries, layout=layout),
        config=_config,
        prefix=inside,
        together=inside,
        ignored=(r".*\.(pos_encoder|pos_embed)\.pe", _REST),
        tables=functools.partial(tables, layout=layout),
    )


def hub_config(spec: UNetSpec) -> dict[str, Any]:
    """The config.json of diffusers' MotionAdapter."""
    stage = motion.stage_in(spec)
    return {
        "_class_name": "MotionAdapter",
        "block_out_channels": list(spec.channels),
        "conv_in_channels": None,
        "motion_layers_per_block": spec.layers,
        "motion_max_seq_length": stage.places,
        "motion_mid_block_layers_per_block": 1,
        "motion_norm_num_groups": spec.groups,
        "motion_num_attention_heads": spec.head_of(0)[0],
        "use_motion_mid_block": stage.mid,
    }


NETWORKS = (
    Network(
        family=NAME,
        role="motion",
        about="motion modules of AnimateDiff",
        keys=MotionModel,
        section=_section,
        formats=tuple(_format(layout) for layout in _MARKERS),
        our_markers=("down.0.motion.proj_in.weight", "down.0.motion.block.attn1.to_q.weight"),
        build="mindlong.networks.unet.motion_cell:MotionModules",
        part=PART,
        hub=Hub("diffusers", "MotionAdapter", hub_config, folder="motion_adapter"),
        asked_for=True,
        module=Module(WHOLE, "mindlong.networks.unet.motion_measure:join"),
    ),
)

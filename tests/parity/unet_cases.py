"""What is compared with the originals of the latent UNets: networks, inputs and weights, all from
seeds and names.

Read by tools/golden/unet.py, which runs the originals on them, and by the parity tests, which run
ours. Weights are never stored: each is a function of its key in the original's file, and none is
zero. Of gradients, which are as large as the networks, each tensor's largest value and norm are
stored, and some of its entries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch

import numpy as np

from mindlong.networks.names import Entry
from mindlong.networks.unet import motion
from mindlong.networks.unet.families import family
from mindlong.networks.unet.names import names
from mindlong.networks.unet.spec import UNetSpec
from mindlong.utils import rng

SEED, TOKENS, ENTRIES = 20230328, 5, 24
STILL = 1e-6  # of the network's largest gradient: below it, one that is zero in exact arithmetic


@dataclass(frozen=True)
class Case:
    """One network on one input.

    Attributes:
        original: whose network gave the golden arrays.
        sizes: fields of the spec that are not the published ones.
        shape: of the latents (B, F, h, w).
        grad: gradients are compared too.
        still: patterns of the original's names whose gradients are zero in exact arithmetic:
            queries and keys of attentions that read one token, whose weight is 1 whatever they are.
        loud: frames are of different strength, so that norms over one frame and over all differ.
    """

    name: str
    original: str
    family: str
    layout: str
    sizes: dict
    shape: tuple[int, int, int, int] = (2, 3, 5, 6)
    grad: bool = False
    about: str = ""
    reads: tuple[str, str] = field(default=("", ""))
    still: tuple[str, ...] = ()
    loud: bool = False

    def spec(self) -> UNetSpec:
        """The spec of ours that is to equal the original."""
        made = family(self.family).spec(**self.sizes)
        return made.reading(*self.reads) if self.reads[0] else made

    def entries(self) -> list[Entry]:
        """Our names and the original's."""
        return names(self.spec(), self.layout)

    def inputs(self) -> dict[str, np.ndarray]:
        """x, t, context, fps where the family is told it; `probe` weighs the output for the
        gradients.
        """
        spec, (batch, *rest) = self.spec(), self.shape

        def draw(shape, what):
            return rng.normal(shape, SEED, what, self.name)

        made = {
            "x": draw((batch, spec.in_channels, *rest), "x"),
            "t": np.array([999, 0, 37][:batch], np.int32),
            "context": draw((batch, TOKENS, spec.context_dim), "context"),
            "probe": draw((batch, spec.out_channels, *rest), "probe"),
        }
        if self.loud:
            strength = np.linspace(0.5, 2, rest[0], dtype=np.float32)
            made["x"] = made["x"] * strength[:, None, None]
        if "fps" in spec.conditions:
            made["fps"] = np.array([24, 8, 16][:batch], np.int32)
        if spec.guidance_dim:  # small: at 14 the waves' angles are rounded by 1e-3 on both sides
            made["guidance"] = np.array([0.5, 0.03, 0.2][:batch], np.float32)
        return made

    def still_names(self) -> set[str]:
        """The original's names of the tensors whose gradients are zero in exact arithmetic."""
        keys = [e.source for e in self.entries()]
        return {key for key in keys if any(fnmatch(key, pattern) for pattern in self.still)}

    def weights(self) -> dict[str, np.ndarray]:
        """A value for every key of the original's file."""
        return {e.source: weight(e.source, e.source_shape) for e in self.entries()}


def weight(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The value of one tensor, sized so that activations stay near 1."""
    drawn = rng.normal(shape, SEED, "weight", key)
    if len(shape) > 1:
        return drawn * np.float32(1.2 / np.sqrt(np.prod(shape[1:])))
    scaled = 1 + 0.2 * drawn if key.endswith("weight") else 0.2 * drawn
    return np.asarray(scaled, np.float32)


def summary(gradients: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What is kept of gradients by name, in the order of the names: largest value, norm, evenly
    spaced entries.
    """
    arrays = [np.asarray(gradients[name], np.float32).reshape(-1) for name in sorted(gradients)]
    chosen = [a[np.linspace(0, a.size - 1, min(a.size, ENTRIES)).astype(int)] for a in arrays]
    return {
        "grad_peaks": np.array([np.abs(a).max() for a in arrays], np.float32),
        "grad_norms": np.array([np.linalg.norm(a.astype(np.float64)) for a in arrays], np.float32),
        "grad_entries": np.concatenate(chosen),
    }


def still(names: Mapping[str, np.ndarray] | set[str], want: Mapping[str, np.ndarray]) -> set[str]:
    """Of the sorted names of a golden summary, those whose gradients are zero but for rounding."""
    floor = STILL * want["grad_peaks"].max()
    return {n for n, peak in zip(sorted(names), want["grad_peaks"], strict=True) if peak <= floor}


def gradient_error(
    ours: Mapping[str, np.ndarray], want: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """For each name the difference of entries, of the largest value and of the norm, over the
    largest value or norm.

    Of a gradient that is zero in exact arithmetic (a query that sees one key) both sides hold
    their own rounding errors: it is measured against the network's largest.
    """
    found, place, zero = summary(ours), 0, still(set(ours), want)
    errors = {}
    for i, name in enumerate(sorted(ours)):
        at = slice(None) if name in zero else i
        peak, norm = want["grad_peaks"][at].max(), want["grad_norms"][at].max()
        part = slice(place, place := place + min(np.size(ours[name]), ENTRIES))
        entries = np.abs(found["grad_entries"][part] - want["grad_entries"][part]).max() / peak
        by_peak = abs(found["grad_peaks"][i] - want["grad_peaks"][i]) / peak
        by_norm = abs(found["grad_norms"][i] - want["grad_norms"][i]) / norm
        errors[name] = float(max(entries, by_peak, by_norm))
    assert place == want["grad_entries"].size, "another set of gradients than the golden one"
    return errors


def relative(ours: np.ndarray, want: np.ndarray) -> float:
    """The largest difference over the largest value; shapes must agree."""
    assert ours.shape == want.shape, (ours.shape, want.shape)
    return float(np.abs(ours - want).max() / np.abs(want).max())


_TINY = {"channels": (8, 16), "layers": 1, "attends": (True, False), "groups": 4, "context_dim": 12}
_VIDEO = _TINY | {"head_dim": 4}
_MID = {"channels": (32, 64, 96, 96), "layers": 2, "groups": 8, "context_dim": 48}
_SD15 = _TINY | {"heads": 2, "head_dim": None, "linear_projection": False}
_SD20 = _TINY | {"heads": (2, 4), "head_dim": None, "linear_projection": True}
_LDM = _TINY | {
    "channels": (64, 128),
    "groups": 32,
    "head_dim": 32,
}  # these originals have 32 groups written in


def _moving(version: str, compat: str = "") -> dict:
    return _LDM | {"heads": 2, "head_dim": None, **motion.fields(version, 32, compat)}


CASES = [
    Case(
        "video",
        "diffusers",
        "modelscope",
        "diffusers",
        _VIDEO,
        grad=True,
        about="UNet3DConditionModel, 5 x 6",
    ),
    Case("video_f1", "diffusers", "modelscope", "diffusers", _VIDEO, (1, 1, 4, 4), about="1 frame"),
    Case(
        "video_f2",
        "diffusers",
        "modelscope",
        "diffusers",
        _VIDEO,
        (2, 2, 3, 7),
        about="2 frames, 3 x 7",
    ),
    Case(
        "video_f16",
        "diffusers",
        "modelscope",
        "diffusers",
        _VIDEO,
        (2, 16, 5, 3),
        about="16 frames",
    ),
    Case(
        "video_f40",
        "diffusers",
        "modelscope",
        "diffusers",
        _VIDEO,
        (1, 40, 2, 2),
        about="40 frames",
    ),
    Case(
        "video_mid",
        "diffusers",
        "modelscope",
        "diffusers",
        _MID | {"head_dim": 16},
        (2, 4, 13, 9),
        True,
        "four levels, (32, 64, 96, 96), 13 x 9",
    ),
    Case(
        "video_mid_f16",
        "diffusers",
        "modelscope",
        "diffusers",
        _MID | {"head_dim": 16},
        (1, 16, 8, 8),
        True,
        "four levels, 16 frames",
        still=("mid_block.attentions.0.*.attn1.to_[qk].weight",),  # one pixel
    ),
    Case(
        "picture_sd15",
        "diffusers",
        "stable_diffusion",
        "diffusers",
        _SD15,
        grad=True,
        about="UNet2DConditionModel, heads given, 1 x 1 projections",
    ),
    Case(
        "picture_sd20",
        "diffusers",
        "stable_diffusion",
        "diffusers",
        _SD20,
        about="heads by level, linear projections",
    ),
    Case(
        "picture_told",
        "diffusers",
        "stable_diffusion",
        "diffusers",
        _SD15 | {"guidance_dim": 256},
        grad=True,
        about="time_cond_proj_dim, the guidance of distilled networks",
    ),
    Case(
        "video_told",
        "diffusers",
        "modelscope",
        "diffusers",
        _VIDEO | {"guidance_dim": 32},
        (1, 2, 3, 4),
        about="the same of UNet3DConditionModel",
    ),
    Case(
        "modelscope",
        "modelscope",
        "modelscope",
        "modelscope",
        _LDM | {"context_dim": 1024},
        (2, 3, 4, 6),
        True,
        "UNetSD itself",
    ),
    Case(
        "modelscope_f1",
        "modelscope",
        "modelscope",
        "modelscope",
        _LDM | {"context_dim": 1024},
        (1, 1, 4, 4),
        True,
        "UNetSD itself, 1 frame",
        still=(  # the transformers over frames, of one frame
            "input_blocks.0.1.*.to_[qk].weight",
            "middle_block.2.*.to_[qk].weight",
            "*put_blocks.*.2.transformer_blocks.*.to_[qk].weight",
        ),
    ),
    Case(
        "lvdm",
        "lvdm",
        "videocrafter2",
        "lvdm",
        _LDM,
        (2, 3, 4, 6),
        True,
        "VideoCrafter2's UNetModel itself",
    ),
    Case(
        "tuned_sd15",
        "tune_a_video",
        "tune_a_video",
        "diffusers",
        _SD15,
        (2, 4, 5, 6),
        True,
        "Tune-A-Video's own, SD 1.5 shaped, 5 x 6",
    ),
    Case(
        "tuned_sd15_f1",
        "tune_a_video",
        "tune_a_video",
        "diffusers",
        _SD15,
        (1, 1, 4, 4),
        about="1 frame",
    ),
    Case(
        "tuned_sd20",
        "tune_a_video",
        "tune_a_video",
        "diffusers",
        _SD20,
        (2, 3, 6, 4),
        True,
        "Tune-A-Video's own, SD 2.x shaped",
    ),
    Case(
        "tuned_mid",
        "tune_a_video",
        "tune_a_video",
        "diffusers",
        _MID | {"heads": 8, "head_dim": None, "linear_projection": False},
        (2, 5, 9, 7),
        True,
        "four levels, 9 x 7",
    ),
    Case(
        "animatediff_v2",
        "guoyww",
        "animatediff",
        "guoyww",
        _moving("v2") | {"linear_projection": False},
        (2, 3, 5, 6),
        True,
        "AnimateDiff's own, v2",
        loud=True,
    ),
    Case(
        "animatediff_v1",
        "guoyww",
        "animatediff",
        "guoyww",
        _moving("v1") | {"linear_projection": False},
        (1, 5, 4, 7),
        about="AnimateDiff's own, v1",
        loud=True,
    ),
    Case(
        "animatediff_v3_f16",
        "guoyww",
        "animatediff",
        "guoyww",
        _moving("v3") | {"linear_projection": False},
        (1, 16, 3, 2),
        about="AnimateDiff's own, v3, 16 frames",
        loud=True,
    ),
    Case(
        "animatediff_compat",
        "diffusers",
        "animatediff",
        "diffusers",
        _moving("v2", "diffusers") | {"linear_projection": False},
        (2, 3, 5, 6),
        True,
        "UNetMotionModel",
        loud=True,
    ),
    Case(
        "pseudo3d",
        "pseudo3d",
        "pseudo3d",
        "diffusers",
        _SD15 | {"in_channels": 9},
        (2, 3, 4, 6),
        True,
        "the pseudo-3D fork's own, 9 channels",
    ),
    Case(
        "pseudo3d_f1",
        "pseudo3d",
        "pseudo3d",
        "diffusers",
        _SD15 | {"in_channels": 9},
        (1, 1, 4, 4),
        about="1 frame",
    ),
    Case(
        "pseudo3d_f17",
        "pseudo3d",
        "pseudo3d",
        "diffusers",
        _SD15 | {"in_channels": 9},
        (1, 17, 2, 4),
        about="17 frames",
    ),
]
CASE = {case.name: case for case in CASES}

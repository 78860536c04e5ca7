"""The memory that a run takes, from what its networks cost; without MindSpore."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mindlong.networks.cost import Cost, Load
from mindlong.parallel.memory import of_type
from mindlong.pipelines.checks import gib

if TYPE_CHECKING:
    from mindlong.checkpoints.latent_parts import LatentParts


@dataclass(frozen=True)
class Room:
    """Bytes at the peaks of a run.

    Attributes:
        denoising: of a call of the denoiser.
        decoding: while frames are decoded; the denoiser's weights are still there.
        at_a_time: what is decoded at once, in words.
    """

    denoising: float
    decoding: float
    at_a_time: str

    @property
    def peak(self) -> float:
        """The larger one."""
        return max(self.denoising, self.decoding)

    def row(self, of_a_step: str = "", beside: str = "") -> str:
        """For a dry run; `of_a_step` is said of denoising, `beside` of what else takes memory."""
        return (
            f"denoising {gib(self.denoising)}{of_a_step}, decoding {self.at_a_time} {gib(self.decoding)}"
            f"{beside} (estimates)"
        )


def room_of(
    config: Any,
    parts: LatentParts,
    step: Cost,
    frames: int,
    size: Sequence[int],
    others: Sequence[LatentParts] = (),
) -> Room:
    """What a run needs whose calls cost `step` and that decodes videos of `frames` images.

    Args:
        size: height and width of an image.
        others: further models of the run, whose weights stay in memory too.
    """
    codec, share = parts.vae.network.codec, of_type(config.latent.dtype, config.env.device_target)
    chunk = frames if codec.chunks else min(config.latent.chunk, frames)
    decode = codec.decode_cost(parts.vae.spec, Load(1, chunk, size[0], size[1]))
    said = "in the model's own chunks" if codec.chunks else f"{chunk} frames at a time"
    stays = 4.0 * sum(sum(other.parameters().values()) for other in others)
    decoding = decode.bytes + 4.0 * step.parameters + stays
    return Room(share * (step.bytes + stays), share * decoding, said)

"""A long video denoised clip by clip in lock step, over one process or several: the network's part.

Every process holds a run of consecutive frames, cut into clips that its device can hold one at a
time. What layers need of other clips comes from this process's memory or from the other processes
(mindlong.parallel.sync).

Legend: B videos, C channels of a latent, F frames of this process, h w latent pixels, S tokens, D
their width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from mindspore import Tensor

from mindlong.networks.network import made
from mindlong.networks.sharded import Answer
from mindlong.parallel import halo, sync
from mindlong.parallel.comm import Comm, SerialComm
from mindlong.parallel.sync import Meeting, Traffic
from mindlong.utils.errors import ConfigError

if TYPE_CHECKING:
    from mindlong.pipelines.latent_model import LatentModel
    from mindlong.plans.clip_layout import ClipLayout


def _stay(x: Tensor) -> Tensor:
    return x


def to_host(x: Tensor) -> np.ndarray:
    """A copy in host memory; the device can forget the tensor."""
    return x.asnumpy()


def sharded(model: LatentModel, exact: bool, context: int) -> Any:
    """The network of a model in the form that runs a video clip by clip. Raises ConfigError where
    it has none.
    """
    if not model.denoises.sharded:
        raise ConfigError(
            f"The network of the family {model.family} has no form that runs a video clip by clip; "
            "clip_parallel.strategy=windows asks it for single windows."
        )
    return made(model.denoises.sharded)(model.network, exact, context)


class ClipParallel:
    """This process's clips of a video.

    Args:
        network: in its sharded form (`mindlong.networks.sharded`), in the style of `layout`.
        layout: all clips of the video.
        comm: the processes; each holds its share of the clips, in order.
        park: what keeps features between layers; by default host memory as soon as a process has
            more than one clip, so that the device holds one clip at a time.
        traffic: counts what is sent.

    Raises:
        ConfigError: more processes than clips, or a network of the other style.
    """

    def __init__(
        self,
        network: Any,
        layout: ClipLayout,
        comm: Comm | None = None,
        park: Callable[[Tensor], Any] | None = None,
        traffic: Traffic | None = None,
    ) -> None:
        if network.exact != layout.exact:
            raise ConfigError(
                "The network and the layout are of different styles; one is exact, the other as video_infinity."
            )
        self.comm = comm or SerialComm()
        self.meeting = Meeting(layout, halo.deal(len(layout.clips), self.comm.size))
        self.held = self.meeting.held[self.comm.rank]
        self.frames = range(layout.clips[self.held[0]].start, layout.clips[self.held[-1]].stop)
        park = park or (to_host if len(self.held) > 1 else _stay)
        self.clips = [(layout.clips[i], network.clip(layout, i, park)) for i in self.held]
        self.traffic = traffic

    def predict(
        self, x_BCFHW: np.ndarray, t_B: np.ndarray, context: np.ndarray, fps: Any = None
    ) -> np.ndarray:
        """The network's prediction for this process's frames, float32 shaped like the latents; all
        processes call it together.

        Args:
            x_BCFHW: noisy latents of `self.frames`.
            t_B: timesteps, the same in the whole batch.
            context: (B, S, D), or (B, F, S, D) with a prompt for each frame.
            fps: frames per second, one number or (B,), where the network wants to know.
        """
        rate_B = (
            None
            if fps is None
            else np.broadcast_to(np.asarray(fps, np.float32), (len(x_BCFHW),)).copy()
        )
        first, runs = self.frames.start, []
        for frames, clip in self.clips:
            mine = slice(frames.start - first, frames.stop - first)
            part = context if context.ndim == 3 else np.ascontiguousarray(context[:, mine])
            runs.append(clip.forward(np.ascontiguousarray(x_BCFHW[:, :, mine]), t_B, part, rate_B))
        program = sync.rank_program(self.meeting, self.comm.rank, runs, Answer)
        return np.concatenate(sync.drive(program, self.comm, self.traffic), 2)

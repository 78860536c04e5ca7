"""What every rank of the clip-parallel tests runs: `python clip_ranks.py CASE FOLDER`."""

import json
import os
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "unit"), str(Path(__file__).parents[2])]

from mindlong.parallel import launch, watch  # noqa: E402

launch.join()

import mindspore as ms  # noqa: E402

ms.set_device("CPU")
ms.set_context(mode=ms.PYNATIVE_MODE, pynative_synchronize=True)
COMM = launch.connect()

import cogvideox_clip_toys as joint_toys  # noqa: E402
import numpy as np  # noqa: E402
from clip_toys import FRAMES, inputs, layout, tiny_unet  # noqa: E402

from mindlong.diffusion.samplers import sampler  # noqa: E402
from mindlong.diffusion.schedules import scaled_linear  # noqa: E402
from mindlong.networks.cogvideox.sharded_cell import ShardedCogVideoX  # noqa: E402
from mindlong.networks.unet.sharded_cell import ShardedUNet  # noqa: E402
from mindlong.ops import device  # noqa: E402
from mindlong.parallel.sync import Traffic  # noqa: E402
from mindlong.pipelines.clip_parallel.make import ClipParallel  # noqa: E402
from mindlong.utils import rng  # noqa: E402

device.configure(native="off")
LENGTHS = [5, 3, 4]


def sampled(
    comm, swaps: str = "auto", lengths=LENGTHS, steps: int = 2
) -> tuple[np.ndarray, int, list]:
    """This rank's latents after a whole run, what it sent in bytes, and the frames it holds."""
    if comm.size > 1:
        comm.choose(swaps)
    _, _, context, fps = inputs()
    traffic = Traffic()
    parallel = ClipParallel(ShardedUNet(tiny_unet()), layout(lengths), comm, traffic=traffic)
    mine = parallel.frames

    def rows(*key):
        return rng.normal_rows(list(mine), (4, 4, 6), 3, *key).transpose(1, 0, 2, 3)[None]

    out = sampler("dpm_solver_sde")(
        lambda x, t: parallel.predict(x, t, context, fps),
        rows("x"),
        scaled_linear(),
        steps,
        noise=lambda step: rows("n", step),
    )
    return out, traffic.bytes, [mine.start, mine.stop]


def shared(folder: Path, swaps: str = "shared") -> None:
    """A sampling run by one way to swap."""
    out, sent, frames = sampled(COMM, swaps)
    np.savez(folder / f"{swaps}{COMM.rank}.npz", out=out, sent=sent, frames=frames)


def others(folder: Path) -> None:
    """The same by the other ways."""
    for swaps in ("gather", "pairs"):
        shared(folder, swaps)


def joint(folder: Path) -> None:
    """A prediction of a network of one sequence of text and video, by every way to swap."""
    network, clips = ShardedCogVideoX(joint_toys.tiny()), joint_toys.layout_of([2, 3, 2])
    x, t, context = joint_toys.inputs()
    for swaps in ("shared", "gather", "pairs"):
        COMM.choose(swaps)
        traffic = Traffic()
        parallel = ClipParallel(network, clips, COMM, traffic=traffic)
        mine = parallel.frames
        out = parallel.predict(x[:, :, mine.start : mine.stop], t, context)
        np.savez(folder / f"joint-{swaps}{COMM.rank}.npz", out=out, sent=traffic.bytes)


def endless(folder: Path) -> None:
    """Samples until it is killed; says who it is once it is under way."""
    sampled(COMM, steps=1)
    (folder / f"pid{COMM.rank}").write_text(f"{os.getpid()} {os.environ['MS_SCHED_PORT']}")
    while True:
        sampled(COMM, steps=3)


def messages(folder: Path) -> None:
    """Seconds of one swap of about 1 MB and 10 MB each way, by both ways."""
    from mindlong.parallel.halo import plan, split_by
    from mindlong.parallel.sync import Parcel

    owned, found = split_by([4] * COMM.size), {}
    halo = plan([{r.start - 1, r.stop} & set(range(4 * COMM.size)) for r in owned], owned)
    for million in (1, 10):
        frame = np.ones((1, million * 250_000), np.float32)
        left, right = (
            np.repeat(frame, len(side[COMM.rank]), 0) for side in (halo.left, halo.right)
        )
        parcel = Parcel(halo, None, frame[:0], left, right)
        for swaps in ("shared", "gather", "pairs"):
            COMM.choose(swaps)
            COMM.swap(parcel)
            clock = time.perf_counter()
            for _ in range(3):
                COMM.swap(parcel)
            found[f"{swaps} {million} MB"] = (time.perf_counter() - clock) / 3
    (folder / f"messages{COMM.rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    assert sum(LENGTHS) == FRAMES
    for case in sys.argv[1].split(","):
        globals()[case](Path(sys.argv[2]))
    watch.done(0)

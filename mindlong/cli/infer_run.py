"""The part of infer.py that needs MindSpore: set up the device, open the run's folder, start the
pipeline.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import mindspore

from mindlong import __version__
from mindlong.config.load import Loaded
from mindlong.config.pipelines import function, pipeline
from mindlong.ops import attention, device
from mindlong.ops.graph_cache import calls as graph_cache
from mindlong.parallel import launch
from mindlong.pipelines.session import open_session, shared_session


def run(loaded: Loaded, notes: Sequence[str] = ()) -> int:
    """Make what a configuration asks for; returns the exit code. `notes` are said first."""
    config, clock = loaded.values, time.monotonic()
    entry, env = pipeline(config.pipeline), config.env
    device.setup(
        env.device_target,
        env.mode,
        launch.local_rank() if launch.world_size() > 1 else None,
        env.jit_level,
        env.native,
        env.threads,
        env.hf32,
        env.bf16,
    )
    attention.use(config.attention.backend)
    comm = launch.connect()
    graph_cache.switch(env.graph_cache and comm.size == 1)
    work = function(entry.run)
    session = (
        open_session(loaded, resume=True) if comm.size == 1 else shared_session(loaded, True, comm)
    )
    session.log.info(
        "mindlong %s on MindSpore %s, %s, %s mode, pipeline %s, seed %d%s",
        __version__,
        mindspore.__version__,
        device.chip(),
        env.mode,
        config.pipeline,
        config.seed,
        f"; going on in {session.folder}" if session.resumed else "",
    )
    for note in notes:
        session.log.warning("%s", note)
    with session.watched():
        work(session)
    session.log.info(
        "everything is in %s, after %.1f s", session.folder.resolve(), time.monotonic() - clock
    )
    return 0

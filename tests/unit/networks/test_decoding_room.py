"""What decoding takes beside a denoiser that stays in memory is counted before a run starts."""

from mindlong.networks.cogvideox.cost import cost
from mindlong.networks.cogvideox.spec import CogVideoXSpec
from mindlong.networks.cogvideox_vae.cost import decode_cost
from mindlong.networks.cogvideox_vae.spec import VideoVaeSpec
from mindlong.networks.cost import Load

GIB = 2.0**30


def test_of_cogvideox_at_full_size_is_no_less_than_what_was_seen():
    denoiser = cost(CogVideoXSpec(), Load(1, 3, 30, 44, 226))
    decoding = decode_cost(VideoVaeSpec(), Load(1, 9, 240, 352))
    assert abs(denoiser.bytes / GIB - 7.38) < 0.1  # measured
    assert (decoding.bytes + 4.0 * denoiser.parameters) / GIB > 23.0  # ended at 23.2

"""The original's layers by golden numbers: attention and temporal convolution on 1 to 4 ranks, in
float64.
"""

import clip_parallel_reference as ref
import numpy as np
import pytest

from mindlong.plans import dual_scope
from mindlong.plans.dual_scope import Phase, Tuning

WEIGHTS = [ref.seeded(i, 4, 4) for i in (1, 2, 3, 4)] + [ref.seeded(5, 4)]
X = ref.seeded(0, 1, 12, 4)
SWITCH = Tuning(Phase(800, 0.0, 10.0), Phase(800, 10.0, 0.0))
K0 = (
    39.849564,
    [0.562668, -0.186145, 2.736606, 0.151365],
    [-3.186972, -3.685419, 1.607833, -3.940423],
)

CASES = [  # spread keys, tuning, t, ranks, (sum, frame 0, frame 6)
    (0, Tuning(), 0, (1, 2, 3, 4), K0),
    (
        4,
        Tuning(),
        0,
        (1, 2, 4),
        (
            63.413055,
            [2.999792, 1.806895, 2.561072, 1.709018],
            [-0.589767, -1.547065, 1.038818, -2.308465],
        ),
    ),
    (4, Tuning(), 0, (3,), (29.099706, [2.567308, 0.828321, 1.306962, 1.522682], None)),
    (
        4,
        Tuning(token_scale=True),
        0,
        (1, 2, 4),
        (63.183392, [2.958532, 1.887995, 2.622716, 1.678035], None),
    ),
    (4, Tuning(token_scale=True), 0, (3,), (30.073421, None, None)),
    (4, SWITCH, 799, (1, 2, 4), (40.235868, [0.732458, -0.042829, 2.707625, 0.247188], None)),
    (4, SWITCH, 799, (3,), (37.005239, None, None)),
    (4, SWITCH, 800, (1, 2, 4), (85.264619, [2.967772, 1.628511, 3.134386, 2.121275], None)),
    (4, SWITCH, 800, (3,), (26.077226, None, None)),
]


@pytest.mark.parametrize(("count", "tuning", "t", "ranks", "want"), CASES)
def test_the_originals_attention(count, tuning, t, ranks, want):
    for n in ranks:
        out = ref.attention(
            X, *WEIGHTS, 2, dual_scope.video_infinity(2, count, n, 12 // n), tuning, t
        )
        assert out.sum() == pytest.approx(want[0], abs=2e-5)
        for frame, numbers in ((0, want[1]), (6, want[2])):
            if numbers is not None:
                np.testing.assert_allclose(out[0, frame], numbers, atol=1e-6)


def test_vanilla_attention():
    for reads in (
        ref.every_frame(12),
        dual_scope.exact("all", "", 12),
        dual_scope.exact("window:25", "spread:4", 12),
    ):
        out = ref.attention(X, *WEIGHTS, 2, reads)
        assert out.sum() == pytest.approx(-5.111425, abs=2e-6)
        np.testing.assert_allclose(out[0, 0], [3.363163, 1.671561, 0.47786, 0.788002], atol=1e-6)


def conv_parameters():
    parts, seed = [], 100
    for _ in range(4):
        gamma, beta = ref.seeded(seed, 4), ref.seeded(seed + 1, 4)
        parts.append(
            (
                gamma,
                beta,
                ref.seeded(seed + 2, 4, 4, 3, 1, 1)[..., 0, 0] * 0.3,
                ref.seeded(seed + 3, 4),
            )
        )
        seed += 4
    return parts


FRAMES = ref.seeded(50, 12, 4, 1, 2)


def check(out, total, first, seventh=None):
    assert out.sum() == pytest.approx(total, abs=2e-6)
    assert out[0, 0, 0, 0] == pytest.approx(first, abs=1e-6)
    assert seventh is None or out[6, 0, 0, 0] == pytest.approx(seventh, abs=1e-6)


def test_temporal_convolution_with_synchronised_norms_is_the_whole_clips():
    check(FRAMES + ref.stack(FRAMES, conv_parameters(), 2), -3.403144, -0.347685, 1.454220)


@pytest.mark.parametrize(
    ("ranks", "numbers"),
    [
        (1, (-4.412419, -0.749007, 1.459065)),
        (2, (-4.495840, -0.728007, 1.463662)),
        (3, (-4.266024, -0.734060, 1.454220)),
    ],
)
def test_the_originals_shipped_convolution_depends_on_the_ranks(ranks, numbers):
    check(ref.conv_layer(FRAMES, conv_parameters(), 2, ranks), *numbers)

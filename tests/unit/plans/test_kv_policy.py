"""Which frames a frame reads: the tables, and that a gathered attention in numpy equals a dense one
with a bias.
"""

import numpy as np
import pytest

from mindlong.plans import dual_scope, kv_policy
from mindlong.utils.errors import ConfigError

POLICIES = [
    "frame",
    "all",
    "first",
    "mid",
    "last",
    "sparse_causal",
    "first,prev,next",
    "-2,+3",
    "prev,prev,frame",
    "at:0",
    "window:1",
    "window:5",
    "window:9,first",
    "window:2:causal",
    "window:0:causal",
    "global:4",
    "dual_scope:2:3",
    "all,frame",
    "window:3,all",
]
FRAMES = [1, 2, 3, 6, 16]


@pytest.mark.parametrize(
    ("policy", "frames", "want"),
    [
        ("frame", 3, [[0], [1], [2]]),
        ("all", 2, [[0, 1], [0, 1]]),
        ("sparse_causal", 4, [[0, 0], [0, 0], [0, 1], [0, 2]]),
        ("first,mid,last", 5, [[0, 2, 4]] * 5),
        ("next,-2", 4, [[1, 0], [2, 0], [3, 0], [3, 1]]),
        ("window:3", 4, [[0, 1], [0, 1, 2], [1, 2, 3], [2, 3]]),
        ("window:2:causal", 4, [[0], [0, 1], [0, 1, 2], [1, 2, 3]]),
        ("global:2", 6, [[0, 3]] * 6),
        ("global:9", 3, [[0, 1, 2]] * 3),
        ("dual_scope:1:2", 4, [[0, 1, 0, 2], [0, 1, 2, 0, 2], [1, 2, 3, 0, 2], [2, 3, 0, 2]]),
        ("at:2, prev", 3, [[2, 0], [2, 0], [2, 1]]),
    ],
)
def test_tables_are_what_the_words_say(policy, frames, want):
    assert [list(row) for row in kv_policy.table(policy, frames)] == want


def test_windows_are_those_of_local_attention():
    """xformers' LocalAttention: |i - j| <= w // 2 without causality; with it the frame and the w
    before.
    """
    for frames in range(1, 71):
        i, j = np.indices((frames, frames))
        for size in (1, 3, 5, 9, 129):
            table = kv_policy.table(f"window:{size}", frames)
            assert np.array_equal(_allowed(table), np.abs(i - j) <= size // 2)
        for size in (1, 2, 4, 5):
            table = kv_policy.table(f"window:{size}:causal", frames)
            assert np.array_equal(_allowed(table), (j <= i) & (i - j <= size))


def _allowed(table):
    return np.array([[g in row for g in range(len(table))] for row in table])


@pytest.mark.parametrize(
    ("policy", "sentence"),
    [
        ("windw:5", "Did you mean 'window'?"),
        ("window", "window:SIZE"),
        ("window:4", "must be odd"),
        ("window:4:back", "only 'causal' can be"),
        ("global:x", "where a number is needed"),
        ("first,,last", "Valid names"),
        ("frame:2", "It is written 'frame'"),
        ("dual_scope:3", "dual_scope:REACH:COUNT"),
    ],
)
def test_a_policy_that_cannot_be_read_is_one_sentence(policy, sentence):
    with pytest.raises(ConfigError, match="key/value policy") as caught:
        kv_policy.check(policy)
    assert sentence in str(caught.value)


def test_frames_that_do_not_exist_are_refused():
    with pytest.raises(ConfigError, match="reads frame 7; the clip has 4"):
        kv_policy.table("at:7", 4)
    with pytest.raises(ConfigError, match="at least 1 frame"):
        kv_policy.table("all", 0)
    with pytest.raises(ConfigError, match="nothing to read"):
        kv_policy.reading(kv_policy.table("global:0", 4), 1)


def _softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _dense(q, k, v, table):
    return _softmax(q @ k.T + kv_policy.log_counts(table)) @ v


def _blockwise(q, k, v, table, size):
    read = kv_policy.reading(table, size)
    bias = (
        np.zeros((*read.index.shape[:1], size, read.index.shape[1]))
        if read.bias is None
        else read.bias
    )
    blocks = q.reshape(-1, size, q.shape[-1])
    parts = [
        _softmax(b @ k[i].T + more) @ v[i]
        for b, i, more in zip(blocks, read.index, bias, strict=True)
    ]
    return np.concatenate(parts)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("frames", FRAMES)
def test_every_block_size_reads_what_the_table_says(policy, frames):
    table = kv_policy.table(policy, frames)
    q, k, v = np.random.default_rng(frames).standard_normal((3, frames, 4))
    gathered = np.stack(
        [_softmax(q[f] @ k[list(row)].T) @ v[list(row)] for f, row in enumerate(table)]
    )
    np.testing.assert_allclose(_dense(q, k, v, table), gathered, atol=1e-6)
    for size in range(1, frames + 1):
        if frames % size == 0:
            np.testing.assert_allclose(_blockwise(q, k, v, table, size), gathered, atol=1e-6)


def test_uniform_tables_need_no_bias():
    for policy in ("frame", "sparse_causal", "first,prev,next", "prev,prev,frame"):
        assert kv_policy.reading(kv_policy.table(policy, 16), 1).bias is None, policy
    assert kv_policy.reading(kv_policy.table("all", 16), 16).bias is None


def test_a_band_is_read_in_blocks_near_its_width():
    table = kv_policy.table("window:5", 65)
    read = kv_policy.reading(table, kv_policy.best_size(table))
    assert (
        read.index.size < 65 * 5
    )  # fewer keys than gathering for every frame, far fewer than 65 * 65


def test_what_ranks_must_be_sent_follows_from_the_table():
    owned = [range(0, 4), range(4, 8), range(8, 12), range(12, 16)]
    assert kv_policy.imports(kv_policy.table("frame", 16), owned) == [[], [], [], []]
    assert kv_policy.imports(kv_policy.table("sparse_causal", 16), owned) == [
        [],
        [0, 3],
        [0, 7],
        [0, 11],
    ]
    window = kv_policy.imports(kv_policy.table("window:5", 16), owned)
    assert window == [[4, 5], [2, 3, 8, 9], [6, 7, 12, 13], [10, 11]]
    assert kv_policy.count_pairs("window:5", 65) == 65 * 5 - 6


@pytest.mark.parametrize(
    "policy", ["window:17", "all", "first,prev", "window:9|first", "global:8", "window:4:causal"]
)
def test_pairs_of_long_videos_are_counted_without_a_table(policy):
    exact = sum(map(len, kv_policy.each_row(policy, 1500)))
    assert abs(kv_policy.count_pairs(policy, 1500) - exact) <= 0.005 * exact
    assert kv_policy.count_pairs(policy, 100) == sum(map(len, kv_policy.table(policy, 100)))


def test_a_table_that_no_memory_would_hold_is_refused():
    with pytest.raises(ConfigError, match="1e\\+10 pairs of frames in 100000 frames.*window:17"):
        dual_scope.exact("all", "", 100_000)

"""Arrays that a user names: whatever has happened to the file is one sentence with the key."""

import numpy as np
import pytest

from mindlong.pipelines.interpolate.plan import read_key_latents
from mindlong.pipelines.starts import read_start
from mindlong.utils.arrays import read_given
from mindlong.utils.errors import InputFileError

SHAPE = (4, 3, 6, 6)


def saved(path, array, name="x_T"):
    np.savez(path, **{name: array})
    return path


def test_a_whole_file_is_read(tmp_path):
    path = saved(tmp_path / "a.npz", np.ones((2, *SHAPE), np.float64))
    assert read_start(str(path), 1, SHAPE).shape == (1, *SHAPE)
    keys = saved(tmp_path / "b.npz", np.ones(SHAPE, np.float16), "latents")
    assert read_key_latents(str(keys)).dtype == np.float32


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda raw: raw[: len(raw) // 2], "is not an .npz of plain arrays: damaged"),
        (lambda raw: raw[:200] + bytes([raw[200] ^ 255]) + raw[201:], "plain arrays: damaged"),
        (lambda raw: raw.replace(b"(4, 3, 6, 6), ", b"(99999, 9999),"), "plain arrays: damaged"),
        (lambda raw: b"", "is not an .npz of plain arrays"),
        (lambda raw: raw[30 + len("x_T.npy") :], "is not an .npz of plain arrays|damaged"),
    ],
)
def test_a_damaged_file_is_a_sentence(tmp_path, damage, words):
    path = saved(tmp_path / "a.npz", np.ones(SHAPE, np.float32))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputFileError, match=f"text_to_video.start: .*{words}"):
        read_start(str(path), 1, SHAPE)


@pytest.mark.parametrize("value", [np.nan, -np.inf, 1e300])
def test_what_is_not_finite_is_counted(tmp_path, value):
    array = np.zeros(SHAPE)
    array[0, 0, 0, :2] = value
    for name, read in (
        ("x_T", lambda path: read_start(path, 1, SHAPE)),
        ("latents", read_key_latents),
    ):
        path = saved(tmp_path / f"{name}.npz", array, name)
        with pytest.raises(InputFileError, match=f"not finite: 2 of 432 numbers of {name}"):
            read(str(path))


def test_another_name_or_none_is_said(tmp_path):
    path = saved(tmp_path / "a.npz", np.zeros(3), "other")
    with pytest.raises(InputFileError, match="key: .* has no array x_T"):
        read_given(path, "x_T", "key")
    with pytest.raises(InputFileError, match="key: no file at"):
        read_given(tmp_path / "none.npz", "x_T", "key")
    np.save(tmp_path / "b.npy", np.zeros(3))
    with pytest.raises(InputFileError, match="key: .*b.npy is not an .npz"):
        read_given(tmp_path / "b.npy", "x_T", "key")

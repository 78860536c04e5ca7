"""Compiled graphs that are kept: found again, never another's, never of doubtful origin."""

import json
import os
import shutil

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from mindlong.ops import attention
from mindlong.ops.graph_cache import calls, store
from mindlong.ops.graph_cache.described import Untold, described

X = Tensor(np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4))


class Scaled(nn.Cell):
    """A cell whose graph has its attributes in it."""

    def __init__(self, scale=1.5, shift=0.25, more=None):
        super().__init__()
        self.layer = nn.Dense(4, 4)
        self.scale, self.shift, self.more = scale, Tensor([shift], ms.float32), more

    def construct(self, x):
        return self.layer(x) * self.scale + self.shift


def made(scale=1.5, shift=0.25, seed=0, more=None):
    cell = Scaled(scale, shift, more).set_train(False)
    numbers = np.random.default_rng(seed)
    for p in cell.get_parameters():
        p.set_data(Tensor(numbers.standard_normal(p.shape).astype(np.float32)))
    return cell


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.delenv(calls.OFF, raising=False)
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("MINDLONG_CACHE", str(folder))
    monkeypatch.setattr(store, "distrust", lambda path: None)  # pytest's folder is below /tmp
    calls.switch(True)
    yield folder / "graphs"
    calls.switch(False)


def bits(cell, x=X):
    return calls.call(cell, x).asnumpy().tobytes()


def entries(cache):
    return sorted(path.name for path in cache.iterdir()) if cache.exists() else []


def test_a_graph_is_kept_and_the_next_cell_of_its_kind_has_it(cache, monkeypatch):
    first = bits(made())
    kept = entries(cache)
    assert len(kept) == 1 and first == made()(X).asnumpy().tobytes()
    seen = []
    monkeypatch.setattr(calls, "_compiled", lambda *given: seen.append(given))
    assert bits(made()) == first and entries(cache) == kept and not seen


@pytest.mark.parametrize(
    "other",
    [
        {"scale": 2.5},
        pytest.param({"shift": 0.5}, marks=pytest.mark.slow),
        {"seed": 1},
        pytest.param({"more": (1, "a")}, marks=pytest.mark.slow),
    ],
)
def test_another_attribute_or_weight_is_another_graph(cache, other):
    one = bits(made())
    two = bits(made(**other))
    assert len(entries(cache)) == 2 and two == made(**other)(X).asnumpy().tobytes()
    assert (one == two) == ("more" in other)


def test_another_shape_and_another_setting_are_other_keys(monkeypatch):
    cell = made()
    keys = {calls._key(cell, [X]), calls._key(cell, [Tensor(np.zeros((3, 4), np.float32))])}
    keys.add(calls._key(cell, [X.astype(ms.float16)]))
    monkeypatch.setitem(attention._forced, "backend", "math")
    keys.add(calls._key(cell, [X]))
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    keys.add(calls._key(cell, [X]))
    assert len(keys) == 5 and None not in keys


def test_a_graph_under_anothers_key_is_found_out(cache, caplog):
    """As MindSpore's own cache gives it to a program that compiles in another order."""
    other = bits(made(scale=3.0))
    wrong = store.find(entries(cache)[0]).graph
    right = bits(made())
    key = calls._key(made(), [X])
    shutil.copyfile(wrong, store.root() / key / store.GRAPH)
    about = json.loads((store.root() / key / store.ABOUT).read_text())
    about["sha256"] = store.sha256(store.root() / key / store.GRAPH)
    (store.root() / key / store.ABOUT).write_text(json.dumps(about))
    assert bits(made()) == right != other
    assert "other numbers" in caplog.text and key not in entries(cache)


def test_a_damaged_file_is_not_read(cache):
    right = bits(made())
    path = store.root() / entries(cache)[0] / store.GRAPH
    path.write_bytes(path.read_bytes()[:-9])
    assert store.find(path.parent.name) is None and not path.exists()
    assert bits(made()) == right


def test_what_somebody_else_could_have_written_is_not_read(cache, monkeypatch):
    right = bits(made())
    monkeypatch.setattr(store, "distrust", lambda path: "it belongs to another")
    assert store.find(entries(cache)[0]) is None
    assert bits(made()) == right


def test_a_folder_that_cannot_be_written_keeps_nothing(cache, monkeypatch):
    def refuse(*given, **more):
        raise OSError(30, "read-only")

    monkeypatch.setattr(store.tempfile, "mkdtemp", refuse)
    assert bits(made()) == made()(X).asnumpy().tobytes() and entries(cache) == []


def test_without_room_for_mindspores_folder_a_cell_is_compiled_as_ever(cache, monkeypatch):
    monkeypatch.setattr(calls, "_ROOM", 1 << 62)
    assert bits(made()) == made()(X).asnumpy().tobytes() and entries(cache) == []


def test_folders_of_killed_processes_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(calls.tempfile, "gettempdir", lambda: str(tmp_path))
    mine = f"mindlong-graphs-{os.getpid()}-b"
    for name in ("mindlong-graphs-4194999-a", mine, "other-4194999-c"):
        (tmp_path / name).mkdir()
    calls._remove_left()
    assert {path.name for path in tmp_path.iterdir()} == {"cache", mine, "other-4194999-c"}


@pytest.mark.parametrize("more", [object(), iter(()), {object(): 1}])
def test_what_cannot_be_told_apart_is_compiled_as_ever(cache, more):
    cell = made()
    cell.more = more
    assert calls._key(cell, [X]) is None
    assert bits(cell) and entries(cache) == []


def test_functions_are_told_apart_by_what_they_hold():
    def holding(number):
        return lambda x: x + number

    texts = {described(made(more=holding(number)), [X]) for number in (1, 2, 2)}
    assert len(texts) == 2


def test_a_cell_with_a_hook_is_not_kept():
    hooked = made()
    hooked.register_forward_hook(lambda cell, inputs, out: out)
    with pytest.raises(Untold, match="hook"):
        described(hooked, [X])


def test_the_oldest_go_where_there_are_too_many(cache, monkeypatch):
    bits(made())
    (old,) = entries(cache)
    os.utime(cache / old, (1, 1))
    monkeypatch.setattr(store, "MOST_BYTES", 2 * (cache / old / store.GRAPH).stat().st_size)
    bits(made(scale=4.0))
    assert len(entries(cache)) == 1 and old not in entries(cache)


def test_an_environment_variable_turns_it_off(cache, monkeypatch):
    monkeypatch.setenv(calls.OFF, "1")
    calls.switch(True)
    assert not calls.is_on() and bits(made()) and entries(cache) == []

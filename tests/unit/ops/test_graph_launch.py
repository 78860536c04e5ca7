"""Graphs started without the lookups of a cell's call give what the call gives."""

import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from mindlong.ops.launch import launch, launches, values


class Scaled(nn.Cell):
    """(x, places or None, number) -> x times a weight plus the number, and the rows at places."""

    def __init__(self):
        super().__init__(auto_prefix=False)
        self.weight = Parameter(Tensor(np.float32(2)), name="weight")

    def construct(self, x, places, number):
        out = x * self.weight + number
        return (out,) if places is None else (out, ops.gather(out, places, 0))


class Times(nn.Cell):
    def construct(self, x, weight):
        return x * weight


def test_shapes_that_come_back_find_their_graph_again():
    cell, before = Scaled(), launches.looked_up
    places = Tensor(np.array([0, 2], np.int32))
    for _ in range(3):
        for rows, taken, number in ((3, places, 1), (4, None, 1), (3, places, 5), (4, places, 1)):
            x = np.arange(rows, dtype=np.float32)
            out = launch(cell, Tensor(x), taken, number)
            assert np.array_equal(out[0].asnumpy(), 2 * x + number)
            assert len(out) == (1 if taken is None else 2)
            if taken is not None:
                assert np.array_equal(out[1].asnumpy(), (2 * x + number)[[0, 2]])
    assert launches.looked_up == before + 4


def test_weights_that_change_are_seen():
    cell, x = Scaled(), Tensor(np.ones(2, np.float32))
    assert launch(cell, x, None, 0)[0].asnumpy().tolist() == [2, 2]
    cell.weight.set_data(Tensor(np.float32(3)))
    assert launch(cell, x, None, 0)[0].asnumpy().tolist() == [3, 3]
    ops.assign(cell.weight, Tensor(np.float32(4)))
    assert launch(cell, x, None, 0)[0].asnumpy().tolist() == [4, 4]


def test_parameters_given_as_values_are_those_of_now():
    times, weight = Times(), Parameter(Tensor(np.full(2, 5, np.float32)), name="w")
    x = Tensor(np.ones(2, np.float32))
    for number in (5, 6, 7):
        weight.set_data(Tensor(np.full(2, number, np.float32)))
        assert launch(times, x, *values([weight])).asnumpy().tolist() == [number, number]


def test_a_wrong_call_fails_as_the_cells_call_does():
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        launch(Scaled(), Tensor(np.ones(2, np.float32)))

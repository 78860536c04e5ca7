"""Calls of the Python API operator by operator, and MindSpore as it was behind each of them."""

import mindspore as ms
import pytest

from mindlong.ops import device

EAGER = {"env__mode": "pynative", "env__native": "off"}


@pytest.fixture(autouse=True)
def in_order():
    yield
    ms.set_context(mode=ms.GRAPH_MODE, pynative_synchronize=False)
    device.configure()

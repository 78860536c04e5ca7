"""Whole networks against video-diffusion-pytorch 0.7.0: output, gradients of the input and of every parameter."""

import pytest
import vdm_cases as cases
import vdm_measure as measure

TOLERANCE = 1e-4
slow = pytest.mark.slow
IN_GRAPH = ("conditional", "focus_mixed", "frames_17")  # graphs of whole networks take seconds to compile


def check(case, mode, native):
    with measure.running(mode, native):
        found = measure.net_differences(case)
    worst = max(found, key=found.get)
    assert found[worst] < TOLERANCE, (worst, found[worst])


@pytest.mark.parametrize("case", [cases.NET[name] for name in IN_GRAPH], ids=lambda case: case.name)
def test_compiled_network_equals_the_original(case):
    check(case, "graph", "on")


@pytest.mark.parametrize("case", [c for c in cases.NETS if c.name not in IN_GRAPH], ids=lambda case: case.name)
def test_network_equals_the_original(case):
    check(case, "pynative", "on")


@slow
@pytest.mark.parametrize(("mode", "native"), [("graph", "on"), ("graph", "off"), ("pynative", "off")])
@pytest.mark.parametrize("case", cases.NETS, ids=lambda case: case.name)
def test_network_equals_the_original_in_every_way_of_running(case, mode, native):
    check(case, mode, native)

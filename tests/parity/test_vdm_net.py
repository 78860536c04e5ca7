"""Whole networks against video-diffusion-pytorch 0.7.0: output, gradients of the input and of every
parameter.
"""

import pytest
import vdm_cases as cases
import vdm_measure as measure

TOLERANCE = 1e-4
slow = pytest.mark.slow
IN_GRAPH = ("conditional",)  # graphs of whole networks take seconds to compile
LATER = ("focus_none", "guided_0", "guided_2", "kernel_1")  # only among the slow ones


def check(case, mode, native):
    with measure.running(mode, native):
        found = measure.net_differences(case)
    worst = max(found, key=found.get)
    assert found[worst] < TOLERANCE, (worst, found[worst])


@pytest.mark.parametrize("case", [cases.NET[name] for name in IN_GRAPH], ids=lambda case: case.name)
def test_compiled_network_equals_the_original(case):
    check(case, "graph", "on")


@pytest.mark.parametrize(
    "case", [c for c in cases.NETS if c.name not in IN_GRAPH + LATER], ids=lambda case: case.name
)
def test_network_equals_the_original(case):
    check(case, "pynative", "on")


@slow
@pytest.mark.parametrize(
    "case", [c for c in cases.NETS if c.name not in IN_GRAPH], ids=lambda case: case.name
)
def test_every_other_network_compiled_equals_the_original(case):
    check(case, "graph", "on")


@slow
@pytest.mark.parametrize("mode", ["graph", "pynative"])
@pytest.mark.parametrize(
    "name", ["focus_mixed", "frames_33", "four_levels", "grey_to_six", "guided_7.5", "older_norm"]
)
def test_network_without_native_operators_equals_the_original(name, mode):
    check(cases.NET[name], mode, "off")

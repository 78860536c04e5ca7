"""The tests of the 910A kernels notice changes of the kernels: a mutation test."""

import ascendc_mutants
import pytest


@pytest.mark.slow
def test_nearly_every_mutant_is_killed(tmp_path):
    """Every synchronisation left out once, and the changes of ascendc_changes.txt; what survives is
    printed, and what it orders is in docs/ascend.md.
    """
    ends = ascendc_mutants.main(tmp_path)
    left = [name for name, how in ends.items() if how == ascendc_mutants.ENDS[0]]
    print(*left, sep="\n")
    assert len(ends) > 200
    assert len(left) <= 0.05 * len(ends), left

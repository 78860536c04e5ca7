"""Mutants of every kind of file end in our own errors, run nothing and take little."""

import pytest
import reader_mutants as mutants


@pytest.mark.parametrize("kind", mutants.KINDS)
def test_mutants_are_read_or_refused(tmp_path, kind):
    figures = mutants.Figures()
    mutants.hammer(kind, 12, 1, figures, tmp_path / "here")
    assert not figures.faults
    assert figures.read[kind] + figures.refused[kind] == 12 and figures.refused[kind]


@pytest.mark.slow
@pytest.mark.parametrize("kind", mutants.KINDS)
def test_twenty_thousand_mutants(tmp_path, kind):
    figures = mutants.Figures()
    mutants.hammer(kind, -(-20_000 // len(mutants.KINDS)), 2, figures, tmp_path / "here")
    assert not figures.faults and figures.slowest < mutants.LIMIT

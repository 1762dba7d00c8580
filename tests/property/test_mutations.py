"""Changed specs are refused with a message or are networks that run; never a traceback, and never long."""

from __future__ import annotations

import random
import time

import pytest
from mutations import SMALL, mutated, proved_and_run, specs

SPECS = specs()
EACH = 20
SLOWEST = 5.0
"""Seconds of processor time for one spec, on a slow machine too; the usual is a tenth of a second."""


@pytest.mark.parametrize("name", SPECS)
def test_specs_are_valid_before_they_are_changed(name: str) -> None:
    assert proved_and_run(SPECS[name]).checked is not None


@pytest.mark.parametrize("name", SPECS)
def test_one_change(name: str) -> None:
    rng = random.Random(f"one change of {name}")
    for _ in range(EACH):
        text = mutated(SPECS[name], rng)
        start = time.process_time()
        try:
            proved_and_run(text)
        except Exception as error:
            raise AssertionError(f"{type(error).__name__} for this spec:\n{text}") from error
        assert time.process_time() - start < SLOWEST, text


@pytest.mark.parametrize("name", SMALL)
def test_two_changes(name: str) -> None:
    rng = random.Random(f"two changes of {name}")
    for _ in range(EACH):
        text = mutated(mutated(SMALL[name], rng), rng)
        try:
            proved_and_run(text)
        except Exception as error:
            raise AssertionError(f"{type(error).__name__} for this spec:\n{text}") from error

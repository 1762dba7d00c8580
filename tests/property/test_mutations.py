"""Changed specs are refused with a message or are networks that run; never a traceback, and never long.

    python tests/property/test_mutations.py 10000 [SEED]

runs that many by hand; the test suite runs a few of each spec.
"""

from __future__ import annotations

import random
import sys
import time
import traceback

import pytest
from bases import oddities, zoo
from mutations import SMALL, mutated, specs
from running import proved_and_run

KINDS = ((specs(), 8), (zoo(), 4), (oddities(), 2))
"""The specs by name, and how often each is changed here."""
SPECS = {name: text for texts, _ in KINDS for name, text in texts.items()}
EACH = {name: count for texts, count in KINDS for name in texts}
SLOWEST = 8.0
"""Seconds of processor time for one spec, on a slow machine too; the usual is a tenth of a second."""


def survives(text: str) -> None:
    start = time.process_time()
    try:
        proved_and_run(text)
    except Exception as error:
        raise AssertionError(f"{type(error).__name__} for this spec:\n{text}") from error
    assert time.process_time() - start < SLOWEST, text


@pytest.mark.parametrize("name", SPECS)
def test_specs_are_valid_before_they_are_changed(name: str) -> None:
    result = proved_and_run(SPECS[name])
    assert [d.message for d in result.diagnostics if d.severity == "error"] == []


@pytest.mark.parametrize("name", SPECS)
def test_one_change(name: str) -> None:
    rng = random.Random(f"one change of {name}")
    for _ in range(EACH[name]):
        survives(mutated(SPECS[name], rng))


@pytest.mark.parametrize("name", SMALL)
def test_two_changes(name: str) -> None:
    rng = random.Random(f"two changes of {name}")
    for _ in range(20):
        survives(mutated(mutated(SMALL[name], rng), rng))


MIXES = """
model Net:
    input X : (3, m)
    output q = X - mean(X, over = m)
"""
SEES_PADDING = """
model Net:
    dim T
    input x : (3, m, T)
    output q = sum(x, over = T)
"""


def test_what_mixes_examples_is_found_by_running_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests above can fail: without its proof, and without its masks, a network does not pass."""
    monkeypatch.setattr("dlc.compiler.elaborate.proofs._example_independent", lambda *given: None)
    with pytest.raises(AssertionError, match="depends on another"):
        proved_and_run(MIXES)
    monkeypatch.setattr("dlc.compiler.elaborate.context.seen", lambda *given: None)
    with pytest.raises(AssertionError, match="alone"):
        proved_and_run(SEES_PADDING)


def main(count: int, seed: int) -> int:
    rng, failures, accepted = random.Random(seed), 0, 0
    for number in range(count):
        text = mutated(SPECS[rng.choice(list(SPECS))], rng)
        try:
            accepted += proved_and_run(text).checked is not None
        except Exception:
            failures += 1
            print(f"--- {number}: {traceback.format_exc()}\n{text}\n", flush=True)
    print(f"{count} changed specs, {accepted} of them networks, {failures} failures")
    return failures


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1) > 0)

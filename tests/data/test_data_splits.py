"""The permutation behind a split, and its sizes."""

from __future__ import annotations

import numpy as np
import pytest

from dlc.runtime.data.splits import permutation, sizes


def pcg64(seed_state: tuple[int, int], count: int) -> list[int]:
    """PCG XSL RR 128/64 (O'Neill 2014), written out: what the permutation's keys must be."""
    state, increment = seed_state
    out = []
    for _ in range(count):
        state = (state * 0x2360ED051FC65DA44385DF649FCCF645 + increment) % 2**128
        folded, turn = (state >> 64) ^ (state % 2**64), state >> 122
        out.append((folded >> turn | folded << (64 - turn)) % 2**64)
    return out


@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_the_permutation_sorts_the_stream_of_pcg64(seed):
    start = np.random.PCG64(seed).state["state"]
    keys = pcg64((start["state"], start["inc"]), 1000)
    assert permutation(1000, seed).tolist() == sorted(range(1000), key=keys.__getitem__)


def test_it_is_a_permutation():
    assert sorted(permutation(97, 5).tolist()) == list(range(97))


@pytest.mark.parametrize(
    ("count", "shares", "expected"),
    [
        (1797, [0.8, 0.1, 0.1], [1437, 180, 180]),
        (10, [0.8, 0.1, 0.1], [8, 1, 1]),
        (11, [0.8, 0.1, 0.1], [9, 1, 1]),
        (3, [1 / 3, 1 / 3, 1 / 3], [1, 1, 1]),
        (5, [0.5, 0.5], [3, 2]),
        (4, [0.9, 0.05, 0.05], [4, 0, 0]),
    ],
)
def test_sizes_by_largest_remainder(count, shares, expected):
    assert sizes(count, shares) == expected

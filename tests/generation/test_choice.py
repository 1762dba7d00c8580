"""The host's ways of choosing words against their meaning, on chains with random probabilities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dlc.compiler.codegen.host.choice import (
    choice_beam,
    choice_begin,
    choice_finish,
    choice_follow,
    choice_greedy,
    choice_sample,
)
from dlc.compiler.codegen.host.random_reference import uniform01_reference
from dlc.compiler.ops.generate import Beam, Choice, Greedy, Sampling, Words

M, V, LONGEST, WIDTH, UNTIL = 5, 9, 8, 10, 4
NOBODY = -1


class Chain:
    """The next word depends on the sum of all words before, weighted by their places, and on the example. Many
    probabilities are equal, and some 0."""

    def __init__(self, seed: int) -> None:
        levels = np.random.default_rng(seed).integers(0, 4, (M, 23, V)).astype(float)
        levels[:, :, 0] += 0.5
        self.table = levels / levels.sum(axis=2, keepdims=True)

    def probabilities(self, example: int, words: Any) -> Any:
        state = sum((place + 1) * int(word) for place, word in enumerate(words)) % 23
        return self.table[example, state]

    def predict(self, words: Any) -> Any:
        return np.stack([self.probabilities(i, row) for i, row in enumerate(words)], axis=1)


def meaning(chain: Chain, by: Choice, until: int, uniform: Callable[[int], Any]) -> Words:
    with np.errstate(all="ignore"):
        return by.choose(chain.predict, uniform, M, None if until == NOBODY else until, LONGEST)


class State:
    """What a choice reads and writes; `wide` candidates for each example."""

    def __init__(self, wide: int = 1) -> None:
        self.status, self.lengths = np.zeros(2, np.int64), np.zeros(M, np.int64)
        self.word, self.words = np.zeros(wide * M, np.int64), np.zeros(wide * M * WIDTH, np.int64)
        choice_begin(M, WIDTH, self.status, self.lengths, self.word, self.words)

    @property
    def arrays(self) -> tuple[Any, ...]:
        return WIDTH, self.status, self.lengths, self.word, self.words

    def result(self, until: int, words: Any, start: int, step: int) -> Words:
        found, counts = np.zeros((M, LONGEST), np.int64), np.zeros(M)
        for what in (0, 1):
            choice_finish(
                M, until, LONGEST, WIDTH, self.lengths, words, step, start, found.ravel(), LONGEST, counts, what
            )
        return Words(found, counts)


def one_by_one(chain: Chain, by: Choice, until: int) -> Words:
    state = State()
    for t in range(LONGEST):
        rows = np.ascontiguousarray(chain.predict(state.words.reshape(M, WIDTH)[:, :t]).T).ravel()
        given = (rows, M, V, 1, V, t, LONGEST, until, *state.arrays)
        if isinstance(by, Sampling):
            choice_sample(*given, by.temperature, by.top_k, 3, 17, 0, 0, np.zeros(V), np.zeros(V, np.int64))
        else:
            choice_greedy(*given)
        if not state.status[0]:
            break
    return state.result(until, state.words, 0, WIDTH)


def assert_same(found: Words, expected: Words) -> None:
    assert found.words.tolist() == expected.words.tolist()
    assert found.lengths.tolist() == expected.lengths.tolist()


@pytest.mark.parametrize("until", [UNTIL, NOBODY])
@pytest.mark.parametrize(
    "by", [Greedy(), Sampling(1.0), Sampling(0.6), Sampling(2.0, 3), Sampling(1.0, 1), Sampling(1, V)]
)
def test_word_by_word(by: Choice, until: int) -> None:
    draws = uniform01_reference(3, 17, 0, np.arange(M * LONGEST).reshape(M, LONGEST))
    for seed in range(6):
        chain = Chain(seed)
        assert_same(one_by_one(chain, by, until), meaning(chain, by, until, lambda t: draws[:, t - 1]))


def beam(chain: Chain, by: Beam, until: int) -> Words:
    """Each candidate carries the words that it was computed from, as a network would carry its states."""
    wide = by.width
    state = State(wide)
    parents, kept = np.zeros(M * wide, np.int64), np.zeros(4 * M * wide, np.int64)
    logs, scores, candidates = np.zeros(2 * M * wide), np.zeros(wide), np.zeros(2 * M * wide * WIDTH, np.int64)
    before, after = np.zeros((2, wide * M * WIDTH), np.int64)
    for t in range(LONGEST):
        slots = state.status[0]
        after[:] = before
        if t:
            after.reshape(wide, M, WIDTH)[:slots, :, t - 1] = state.word.reshape(wide, M)[:slots]
        carried = after.reshape(wide, M, WIDTH)
        shown = state.words.reshape(wide, M, WIDTH)
        going = state.lengths == 0 if t == 0 else np.full(M, True)
        assert going.any()
        rows = np.concatenate([chain.predict(carried[slot, :, :t]).T.ravel() for slot in range(slots)])
        rows = np.concatenate([rows, np.zeros((wide - slots) * M * V)])
        choice_beam(
            rows, M, V, 1, V, t, LONGEST, until, *state.arrays, M * V, wide, by.alpha, parents, kept, logs, scores,
            candidates, 1,
        )  # fmt: skip
        if not state.status[0]:
            break
        choice_follow(M, state.status[0], parents, WIDTH, 1, M * WIDTH, after, before)
        for i in range(M):
            unfinished = int((kept[state.status[1] * M * wide + i * wide :][:wide] > 0).sum())
            for slot in range(unfinished):
                own = [*before.reshape(wide, M, WIDTH)[slot, i, :t], state.word.reshape(wide, M)[slot, i]]
                assert shown[slot, i, : t + 1].tolist() == own
    return state.result(until, candidates, int(state.status[1]) * M * wide * WIDTH, wide * WIDTH)


@pytest.mark.parametrize("until", [UNTIL, NOBODY])
@pytest.mark.parametrize("by", [Beam(1, 0.7), Beam(3, 0.7), Beam(4, 0.0), Beam(20, 1.5)])
def test_beam_search(by: Beam, until: int) -> None:
    for seed in range(6):
        chain = Chain(seed)
        assert_same(beam(chain, by, until), meaning(chain, by, until, lambda t: np.zeros(M)))

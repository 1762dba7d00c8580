"""`generate` against brute force over all sequences of small models."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
import pytest

from dlc.compiler.dims import Axis, Dim, Symbol, tensor
from dlc.compiler.elaborate.evaluation import folds_examples
from dlc.compiler.ir import Builder, Graph, Node
from dlc.compiler.ir.formula import formula
from dlc.compiler.ir.verify import verify
from dlc.compiler.ops.generate import Beam, Choice, Greedy, Prefix, Sampling
from dlc.compiler.ops.loop import Step
from dlc.compiler.passes import AFTER_GRADIENTS, BEFORE_CODE, BEFORE_GRADIENTS, run
from dlc.runtime.reference import evaluate

M, T = Symbol("m", "batch"), Symbol("T", "runtime")
V, END, LONGEST = 3, 2, 4


class Chain:
    """A Markov chain for each example: y<t> is drawn from column y<t-1> of P, y<1> from p. P is (V, V), p is (V, m)."""

    def __init__(self, rng: np.random.Generator, m: int) -> None:
        self.p = rng.dirichlet(np.ones(V), m).T
        self.next = rng.dirichlet(np.ones(V), V).T
        self.m = m

    def graph(self, by: Choice, until: int | None = END, longest: int = LONGEST) -> Graph:
        b = Builder()
        p = b.typed("input", (), (("name", "p"),), tensor(V, M))
        transition = b.typed("parameter", (), (("name", "P"),), tensor(V, V))
        inner = Builder()
        words = inner.typed("held", (), (("name", "words"),), tensor(M, T, kind="index", classes=V))
        held = [
            inner.typed("held", (), (("name", f"constant.{i}"),), value.type) for i, value in enumerate((p, transition))
        ]
        columns = inner.add("one_hot", words, axis=0, classes=Dim.of(V))
        values = {
            "before": inner.add("shift", columns, axis=2),
            "P": held[1],
            "p": inner.add("broadcast", inner.add("expand", held[0], axes=(2,)), axes=columns.type.axes),
            "t": inner.add("broadcast", inner.add("position", columns, axis=2), axes=columns.type.axes),
        }
        prediction = formula("select(t == 1, p, P @ before)").build(inner, values)
        step = Prefix(Graph.of({"prediction": prediction}), Dim.symbol(T))
        attrs = {"by": by, "until": until, "longest": longest, "examples": Axis(Dim.symbol(M)), "name": "s"}
        nodes = {take: b.add("generate", p, transition, step=step, take=take, **attrs) for take in ("words", "lengths")}
        graph = Graph.of(nodes)
        verify(graph)
        return graph

    def run(self, graph: Graph, draw: object = None) -> tuple[np.ndarray, np.ndarray]:
        given = {("input", "p"): self.p, ("parameter", "P"): self.next}
        found = evaluate(graph, given, {M: self.m}, draw)  # type: ignore[arg-type]
        return found["words"], found["lengths"]

    def probabilities(self, example: int, words: tuple[int, ...]) -> np.ndarray:
        return self.next[:, words[-1]] if words else self.p[:, example]

    def log(self, example: int, words: tuple[int, ...]) -> float:
        return sum(math.log(self.probabilities(example, words[:t])[word]) for t, word in enumerate(words))


def complete(until: int | None, longest: int) -> Iterator[tuple[int, ...]]:
    """All sequences that end with `until`, or are as long as possible without it."""
    for length in range(1, longest + 1):
        for words in itertools.product(range(V), repeat=length):
            ended = words[-1] == until
            if until not in words[:-1] and (ended or length == longest):
                yield words


def padded(words: tuple[int, ...], until: int | None = END, longest: int = LONGEST) -> list[int]:
    return [*words, *[until or 0] * (longest - len(words))]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("until", [END, None])
def test_greedy_takes_the_most_probable_class_at_each_step(seed: int, until: int | None) -> None:
    chain = Chain(np.random.default_rng(seed), 4)
    words, lengths = chain.run(chain.graph(Greedy(), until))
    for i in range(4):
        expected: tuple[int, ...] = ()
        while len(expected) < LONGEST and (not expected or expected[-1] != until):
            expected = (*expected, int(np.argmax(chain.probabilities(i, expected))))
        assert words[i].tolist() == padded(expected, until)
        assert lengths[i] == len(expected)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("alpha", [0.0, 0.7, 1.0])
def test_a_wide_beam_finds_the_best_of_all_sequences(seed: int, alpha: float) -> None:
    chain = Chain(np.random.default_rng(seed), 4)
    for until in (END, None):
        words, lengths = chain.run(chain.graph(Beam(V**LONGEST, alpha), until))
        for i in range(4):
            best = max(complete(until, LONGEST), key=lambda found: chain.log(i, found) / len(found) ** alpha)
            assert words[i].tolist() == padded(best, until)
            assert lengths[i] == len(best)


def test_a_beam_of_one_is_greedy() -> None:
    chain = Chain(np.random.default_rng(7), 6)
    for one, other in zip(chain.run(chain.graph(Beam(1, 0.7))), chain.run(chain.graph(Greedy())), strict=True):
        assert np.array_equal(one, other)


def test_a_narrow_beam_keeps_the_best_continuations_of_each_step() -> None:
    """Beam search by its definition: the best `width` of all sequences one word longer that begin with a kept one."""
    chain = Chain(np.random.default_rng(11), 5)
    for width, alpha in ((2, 0.7), (3, 1.0)):
        words, _ = chain.run(chain.graph(Beam(width, alpha)))
        for i in range(5):
            kept: list[tuple[int, ...]] = [()]
            for _ in range(LONGEST):
                ended = [found for found in kept if found[-1:] == (END,)]
                going = [found for found in kept if found[-1:] != (END,)]
                longer = [(*found, word) for found in going for word in range(V)]
                scores = {found: chain.log(i, found) / len(found) ** alpha for found in ended + longer}
                kept = sorted(scores, key=lambda found: -scores[found])[:width]
            assert words[i].tolist() == padded(kept[0])


def test_beam_search_finds_what_greedy_search_misses() -> None:
    """The course's example: the most probable first word begins a sentence that is less probable as a whole."""
    chain = Chain(np.random.default_rng(0), 1)
    chain.p = np.array([[0.5], [0.4], [0.1]])
    chain.next = np.array([[0.4, 0.05, 1 / 3], [0.3, 0.05, 1 / 3], [0.3, 0.9, 1 / 3]])
    assert chain.run(chain.graph(Greedy()))[0].tolist() == [[0, 0, 0, 0]]
    words, lengths = chain.run(chain.graph(Beam(2, 0.7)))
    assert words.tolist() == [[1, END, END, END]]
    assert lengths.tolist() == [2]


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_samples_are_the_inverse_of_the_cumulative_distribution(temperature: float) -> None:
    chain = Chain(np.random.default_rng(3), 5)
    asked = []

    def draw(op: str, name: str, shape: tuple[int, ...]) -> np.ndarray:
        asked.append((op, name, shape))
        return np.random.default_rng(3).uniform(size=shape)

    words, _ = chain.run(chain.graph(Sampling(temperature)), draw)
    assert asked == [("draw_uniform", "s", (5, LONGEST))]
    draws = np.random.default_rng(3).uniform(size=(5, LONGEST))
    for i in range(5):
        expected: tuple[int, ...] = ()
        while len(expected) < LONGEST and expected[-1:] != (END,):
            weights = chain.probabilities(i, expected) ** (1 / temperature)
            u = draws[i, len(expected)]
            expected = (*expected, int(np.searchsorted(np.cumsum(weights) / weights.sum(), u, side="right")))
        assert words[i].tolist() == padded(expected)


def test_the_most_probable_class_alone_is_greedy() -> None:
    chain = Chain(np.random.default_rng(9), 6)
    rng = np.random.default_rng(1)
    drawn, _ = chain.run(chain.graph(Sampling(2.0, top_k=1)), lambda op, name, shape: rng.uniform(size=shape))
    assert np.array_equal(drawn, chain.run(chain.graph(Greedy()))[0])


def test_of_the_most_probable_classes_the_first_of_equals_are_drawn() -> None:
    chain = Chain(np.random.default_rng(9), 3000)
    chain.p = np.repeat([[0.2], [0.6], [0.2]], 3000, axis=1)
    rng = np.random.default_rng(2)
    words, _ = chain.run(
        chain.graph(Sampling(1.0, top_k=2), longest=1), lambda op, name, shape: rng.uniform(size=shape)
    )
    assert set(words.ravel().tolist()) == {0, 1}
    assert abs(np.mean(words == 1) - 0.75) < 4 * math.sqrt(0.75 * 0.25 / 3000)


def test_samples_come_with_their_probabilities() -> None:
    """20000 first words: each class within four standard errors of its probability."""
    chain = Chain(np.random.default_rng(5), 20000)
    chain.p = np.repeat([[0.2], [0.5], [0.3]], 20000, axis=1)
    rng = np.random.default_rng(6)
    words, _ = chain.run(chain.graph(Sampling(), longest=1), lambda op, name, shape: rng.uniform(size=shape))
    for k, probability in enumerate((0.2, 0.5, 0.3)):
        share = np.mean(words == k)
        assert abs(share - probability) < 4 * math.sqrt(probability * (1 - probability) / 20000)


def test_a_batch_is_its_examples_one_by_one() -> None:
    chain = Chain(np.random.default_rng(13), 6)
    for by in (Greedy(), Beam(3, 0.7)):
        graph = chain.graph(by)
        words, _ = chain.run(graph)
        for i in range(6):
            alone = Chain(np.random.default_rng(13), 1)
            alone.p, alone.next = chain.p[:, i : i + 1], chain.next
            assert np.array_equal(alone.run(graph)[0][0], words[i])
        assert not any(folds_examples(node) for node in graph.nodes)


def test_passes_leave_the_meaning() -> None:
    chain = Chain(np.random.default_rng(17), 3)
    graph = chain.graph(Beam(2, 0.7))
    passed = run(graph, (*BEFORE_GRADIENTS, *AFTER_GRADIENTS, *BEFORE_CODE))
    assert np.array_equal(chain.run(passed)[0], chain.run(graph)[0])


def test_a_word_of_the_vocabulary_must_be_looked_up_first() -> None:
    chain = Chain(np.random.default_rng(0), 1)
    with pytest.raises(ValueError, match="write the class number"):
        chain.run(chain.graph(Greedy(), "<EOS>"))  # type: ignore[arg-type]


def test_a_recurrent_generator_is_the_plain_loop() -> None:
    """h<t> = tanh(W @ h<t-1> + E[y<t-1>]), y_hat<t> = softmax(U @ h<t>): a scan in what is generated."""
    n, classes, longest = 3, 5, 6
    cell = Builder()
    leaf: dict[str, Node] = {
        name: cell.typed("held", (), (("name", name),), type)
        for name, type in {
            "sequence.0": tensor(classes, M), "carry.0": tensor(n, M),
            "constant.0": tensor(n, n), "constant.1": tensor(n, classes),
        }.items()
    }  # fmt: skip
    values = {"x": leaf["sequence.0"], "h": leaf["carry.0"], "W": leaf["constant.0"], "E": leaf["constant.1"]}
    step = Step(Graph.of({"carry.0": formula("tanh(W @ h + E @ x)").build(cell, values)}), 1, 1)
    inner = Builder()
    words = inner.typed("held", (), (("name", "words"),), tensor(M, T, kind="index", classes=classes))
    types = [tensor(n, n), tensor(n, classes), tensor(classes, n), tensor(n, M)]
    w, e, u, start = (inner.typed("held", (), (("name", f"constant.{i}"),), type) for i, type in enumerate(types))
    before = inner.add("shift", inner.add("one_hot", words, axis=0, classes=Dim.of(classes)), axis=2)
    time = Axis(Dim.symbol(T))
    h = inner.add("scan", before, start, w, e, step=step, take="carry.0", axes=(2,), axis=time, reverse=False)
    prefix = Prefix(Graph.of({"prediction": inner.add("softmax", inner.add("matmul", u, h), axes=(0,))}), Dim.symbol(T))
    b = Builder()
    inputs = [b.typed("input", (), (("name", f"x{i}"),), type) for i, type in enumerate(types)]
    attrs = {"by": Greedy(), "until": 0, "longest": longest, "examples": Axis(Dim.symbol(M)), "name": "s"}
    graph = Graph.of({"words": b.add("generate", *inputs, step=prefix, take="words", **attrs)})
    verify(graph)
    rng = np.random.default_rng(23)
    arrays = [2 * rng.normal(size=shape) for shape in ((n, n), (n, classes), (classes, n), (n, 4))]
    found = evaluate(graph, {("input", f"x{i}"): array for i, array in enumerate(arrays)}, {M: 4})["words"]
    for i in range(4):
        state, word, expected = arrays[3][:, i], None, []
        while len(expected) < longest and word != 0:
            column = np.zeros(classes) if word is None else np.eye(classes)[word]
            state = np.tanh(arrays[0] @ state + arrays[1] @ column)
            word = int(np.argmax(arrays[2] @ state))
            expected.append(word)
        assert found[i].tolist() == expected + [0] * (longest - len(expected))

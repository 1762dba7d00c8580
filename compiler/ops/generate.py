"""`generate`: a prediction that is fed back, step by step, until a class is met.

The body is the graph from the words so far to the prediction at each step. It is evaluated anew for every step, with
its run-time dimension as long as the words are: a plain meaning, of quadratic work. `codegen/by_step.py` makes a `Turn`
of it, which computes one step from what the steps before have left.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeAlias

from dlc.compiler.dims import ZERO, Axis, Dim, Facts, Symbol, TensorType, same_sizes, tensor
from dlc.compiler.ir import Body, Builder, Graph, Node, topological
from dlc.compiler.ops.base import OPS, Bad, Loop, Sample, ShapeError, op
from dlc.compiler.ops.loop import Step, crossed_inside, without
from dlc.compiler.ops.numeric import np


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Prefix(Body):
    """What is predicted from the words so far.

    Leaves with the op `held`: `words` (m, T) of class indices, where T is `steps`, and `constant.<i>`. Root:
    `prediction` (V, m, T), probabilities; its step t reads no word t or later. Where T is known only at run time, it is
    the number of words so far, and no constant depends on it.
    """

    steps: Dim

    @property
    def time(self) -> Symbol | None:
        """The run-time dimension that T is."""
        return next(iter(self.steps.symbols), None)

    def behind(self, values: Iterable[Node]) -> Sequence[Node]:
        """The nodes that some values depend on: what reads the words depends on all that predicts them."""
        found = topological(values)
        reads_words = any(node.op == "held" and node.attr("name") == "words" for node in found)
        return self.graph.nodes if reads_words else found


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Turn(Step):
    """One step of a generator: what is predicted next, and what the next step has to know of this one.

    Leaves with the op `held`: `word` (m), the word before, which the first step does not read; or `words` (m, S), all
    words so far, with zeros in the places behind; `number`, that of the step, from 1; and those of a scan's step.
    Roots: `prediction` (V, m, 1), or (V, m, S) where the step's place counts; `carry.<i>`. Operands: those of a scan's
    step; `axes` are the axes of the sequences that time goes along.

    `written` is the dimension of what grows by a place with each step, leaf and root `grown.<i>`: the root is the leaf
    with its last place `put`.
    """

    axes: tuple[int, ...]
    written: Symbol | None = None


GENERATED = "<generated>"
"""Stands behind the name of the input or target that is written, in the name of a generator's draws."""

Predict: TypeAlias = Callable[[Any], Any]
"""From the words so far (m, t) to the probabilities (V, m) of the next."""
Uniform: TypeAlias = Callable[[int], Any]
"""A step's uniform draws in [0, 1), one for each example; steps count from 1."""


def _constants(given: Sequence[Any]) -> dict[str, Any]:
    """The operands of a `Prefix` by the names of its leaves."""
    return {f"constant.{i}": value for i, value in enumerate(given)}


def _by_prefixes(step: Any, arrays: Sequence[Any], words: Any) -> Any:
    """The place of the next word, and those behind it where T is known, hold zeros: nothing reads them."""
    t, time = words.shape[1], step.body.time
    sizes = {time: t + 1} if time is not None else {}
    so_far = np.zeros((len(words), int(step.body.steps.evaluate(sizes))), int)
    so_far[:, :t] = words
    return step({**_constants(arrays), "words": so_far}, t + 1, sizes)["prediction"][:, :, t]


def _by_turns(step: Any, arrays: Sequence[Any], words: Any) -> Any:
    """All turns up to the next word, from the first one on."""
    turn: Turn = step.body
    held = turn.operands(arrays)
    leaves = {str(node.attr("name")): node for node in turn.graph.nodes if node.op == "held"}
    for t in range(words.shape[1] + 1):
        if "words" in leaves:
            held["words"] = np.zeros((len(words), int(leaves["words"].type.sizes[1].constant or 0)), int)
            held["words"][:, :t] = words[:, :t]
        slices = {f"sequence.{i}": np.take(arrays[i], t, axis) for i, axis in enumerate(turn.axes)}
        before = words[:, t - 1] if t else np.zeros(len(words), int)
        sizes = {turn.written: t + 1} if turn.written is not None else {}
        grown = {name: _longer(leaf, held.get(name), {**step.sizes, **sizes}) for name, leaf in leaves.items()
                 if name.startswith("grown.")}  # fmt: skip
        roots = step({**held, **slices, **grown, "word": before, "number": t + 1}, t + 1, sizes)
        held |= {name: value for name, value in roots.items() if name.startswith(("carry.", "grown."))}
    prediction = roots["prediction"]
    return prediction[:, :, min(words.shape[1], prediction.shape[2] - 1)]


def _longer(leaf: Node, before: Any, sizes: Mapping[Symbol, int]) -> Any:
    """What has grown so far, and zeros in the new place."""
    longer = np.zeros([int(size.evaluate(sizes)) for size in leaf.type.sizes])
    if before is not None:
        longer[tuple(map(slice, before.shape))] = before
    return longer


class Words(NamedTuple):
    """What was generated: `words` (m, S) and how many of each example's count."""

    words: Any
    lengths: Any


class Choice(Hashable, Protocol):
    """How words are chosen. `until` is the class that ends an example (None: nothing does); it counts as its last
    word, and fills the places behind."""

    def choose(self, predict: Predict, uniform: Uniform, examples: int, until: int | None, longest: int) -> Words: ...


class _OneByOne:
    """Each step decides for one word."""

    def pick(self, probabilities: Any, uniform: Callable[[], Any]) -> Any:
        """The classes (m) from the probabilities (V, m)."""
        raise NotImplementedError

    def choose(self, predict: Predict, uniform: Uniform, examples: int, until: int | None, longest: int) -> Words:
        words = np.full((examples, longest), 0 if until is None else until)
        lengths = np.full(examples, longest)
        going = np.full(examples, True)
        for t in range(longest):
            picked = self.pick(predict(words[:, :t]), partial(uniform, t + 1))
            words[:, t] = np.where(going, picked, words[:, t])
            ends = going & (picked == until)
            lengths[ends] = t + 1
            going &= ~ends
            if not going.any():
                break
        return Words(words, lengths)


@dataclass(frozen=True, slots=True)
class Greedy(_OneByOne):
    """The most probable class, the first of equals."""

    def pick(self, probabilities: Any, uniform: Callable[[], Any]) -> Any:
        return np.argmax(probabilities, axis=0)


@dataclass(frozen=True, slots=True)
class Sampling(_OneByOne):
    """A class with its probability; below the temperature 1 probable ones come more often, above it less. Only the
    `top_k` most probable ones count, the first of equals; 0: all."""

    temperature: float = 1.0
    top_k: int = 0

    def pick(self, probabilities: Any, uniform: Callable[[], Any]) -> Any:
        logs = np.log(probabilities)
        weights = np.exp((logs - np.max(logs, axis=0)) / self.temperature)
        if self.top_k:
            ranks = np.argsort(np.argsort(-probabilities, axis=0, kind="stable"), axis=0)
            weights = np.where(ranks < self.top_k, weights, 0.0)
        up_to = np.cumsum(weights, axis=0)
        place = uniform() * up_to[-1]
        return np.argmax(up_to > place, axis=0)


class _Candidate(NamedTuple):
    """The words of one example so far, the logarithm of their probability, and whether they have come to an end."""

    words: tuple[int, ...]
    log: float
    ended: bool

    def score(self, alpha: float) -> float:
        return float(self.log / len(self.words) ** alpha)


@dataclass(frozen=True, slots=True)
class Beam:
    """The course's beam search: of all continuations the `width` best stay, by the sum of the logarithms divided by the
    length^alpha. A candidate that has come to an end keeps its place as long as it is among them."""

    width: int = 3
    alpha: float = 0.7

    def choose(self, predict: Predict, uniform: Uniform, examples: int, until: int | None, longest: int) -> Words:
        beams = [[_Candidate((), 0.0, False)] for _ in range(examples)]
        for t in range(longest):
            slots = max(sum(not candidate.ended for candidate in beam) for beam in beams)
            if not slots:
                break
            logs = [np.log(predict(_slot(beams, slot, t))) for slot in range(slots)]
            beams = [self._next(beam, [log[:, i] for log in logs], until) for i, beam in enumerate(beams)]
        words = np.full((examples, longest), 0 if until is None else until)
        lengths = np.zeros(examples, int)
        for i, (best, *_) in enumerate(beams):
            lengths[i] = len(best.words)
            words[i, : lengths[i]] = best.words
        return Words(words, lengths)

    def _next(self, beam: Sequence[_Candidate], logs: Sequence[Any], until: int | None) -> list[_Candidate]:
        """One example's best candidates after one more step, the best first; the earlier of equals."""
        found = [candidate for candidate in beam if candidate.ended]
        for candidate, log in zip((c for c in beam if not c.ended), logs, strict=False):
            for word, more in enumerate(log.tolist()):
                found.append(_Candidate((*candidate.words, word), candidate.log + more, word == until))
        found.sort(key=lambda candidate: -candidate.score(self.alpha))
        return found[: self.width]


def _slot(beams: Sequence[Sequence[_Candidate]], slot: int, t: int) -> Any:
    """The words (m, t) of each example's unfinished candidate number `slot`; where there are fewer, any words."""
    rows = []
    for beam in beams:
        going = [candidate.words for candidate in beam if not candidate.ended]
        rows.append(going[slot] if slot < len(going) else (0,) * t)
    return np.array(rows, int).reshape(len(beams), t)


def chain() -> Prefix:
    """For samples: two examples of words that depend on the word before, softmax(A @ one_hot(y<t-1>))."""
    b, time = Builder(), Symbol("T", "runtime")
    words = b.typed("held", (), (("name", "words"),), tensor(2, time, kind="index", classes=4))
    a = b.typed("held", (), (("name", "constant.0"),), tensor(4, 4))
    before = b.add("shift", b.add("one_hot", words, axis=0, classes=Dim.of(4)), axis=2)
    prediction = b.add("softmax", b.add("matmul", a, before), axes=(0,))
    return Prefix(Graph.of({"prediction": prediction}), Dim.symbol(time))


def _attrs(by: Hashable, take: str, *, until: int | None, longest: int) -> tuple[tuple[str, Hashable], ...]:
    examples = Axis(Dim.of(2))
    return (("by", by), ("examples", examples), ("longest", longest), ("name", "s"), ("take", take), ("until", until))


@op("generate")
class Generate(Loop):
    """Words that a model predicts from its own words: `take` is `words` (m, longest), class indices, or `lengths` (m).

    Operands: the constants of `step`, a `Prefix`, or those of a `Turn`. `by` is a `Choice`; `until` the class that ends
    an example, None, or a word of the vocabulary that is still to be looked up; `examples` is m; `name` names what is
    written and the draws: two generators of one target draw numbers of their own.
    """

    differentiable = False
    samples = (
        Sample(((4, 4),), _attrs(Greedy(), "words", until=3, longest=5), body=chain),
        Sample(((4, 4),), _attrs(Beam(2, 0.7), "words", until=0, longest=4), body=chain),
        Sample(((4, 4),), _attrs(Beam(3, 1.0), "lengths", until=None, longest=3), body=chain),
    )
    bad = (Bad(((4, 3),), "D102", _attrs(Greedy(), "words", until=3, longest=5), chain),)

    def type(
        self,
        facts: Facts,
        *types: TensorType,
        step: Prefix | Turn,
        take: str,
        by: Choice,
        until: int | str | None,
        longest: int,
        examples: Axis,
        name: str,
    ) -> TensorType:
        held = {str(node.attr("name")): node.type for node in step.graph.nodes if node.op == "held"}
        turn = step if isinstance(step, Turn) else Turn(step.graph, 0, 0, ())
        for number, (leaf, given) in enumerate(turn.operands(types).items()):
            type = without(given, turn.axes[number]) if number < turn.sequences else given
            inner = held.get(leaf, type)
            if same_sizes(type, inner, facts) is not None:
                raise ShapeError("D102", f"{{{number}}} is {type}, and {inner} in what is generated", [(number, None)])
        classes = step.graph.roots["prediction"].type.axes[0].size
        if take == "lengths":
            return TensorType((examples,))
        return TensorType((examples, Axis(Dim.of(longest))), "index", classes)

    def run(
        self,
        *arrays: Any,
        step: Any,
        by: Choice,
        until: int | str | None,
        longest: int,
        examples: int,
        name: str,
    ) -> Words:
        if isinstance(until, str):
            raise ValueError(f"{until!r} is a word, and no vocabulary says which class it is: write the class number")
        predict = _by_turns if isinstance(step.body, Turn) else _by_prefixes
        draws: list[Any] = []

        def uniform(t: int) -> Any:
            if step.draw is None:
                raise KeyError(f"{name} is drawn, and no source of draws was given")
            if not draws:
                draws.append(step.draw("draw_uniform", name, (examples, longest)))
            return draws[0][:, t - 1]

        return by.choose(partial(predict, step, arrays), uniform, examples, until, longest)

    def taken(self, results: Words, take: str) -> Any:
        return getattr(results, take)

    def crosses(self, node: Node) -> Sequence[tuple[int, ...]]:
        step: Prefix | Turn = node.attr("step")
        crossed = crossed_inside(step.graph.nodes, step.behind)
        leaves = step.operands(node.inputs) if isinstance(step, Turn) else _constants(node.inputs)
        return [tuple(sorted(crossed.get(leaf, ()))) for leaf in leaves]

    def work(self, node: Node) -> Dim:
        """At most: every step of a `Prefix` computes the longest one."""
        step: Prefix | Turn = node.attr("step")
        longest: int = node.attr("longest")
        each = sum((OPS[inner.op].work(inner) for inner in step.graph.nodes), start=ZERO)
        time = step.time if isinstance(step, Prefix) else None
        return each.substitute({} if time is None else {time: longest}) * longest

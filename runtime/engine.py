"""What computes: one protocol, so that training, evaluation, gradient checks and commands ask for nothing else.

Arrays of inputs are *physical* everywhere below (see `dlc.runtime.data`): examples first, class numbers for `one_hot`.
Parameters, gradients and outputs have their declared shapes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.dims import Symbol
from dlc.compiler.driver import Programs, programs
from dlc.compiler.ir import Graph, bodies
from dlc.compiler.ops.generate import Choice
from dlc.compiler.program import CheckedModel, InputDeclaration, M
from dlc.compiler.settings import TrainSettings
from dlc.runtime.data.columns import Columns, as_array
from dlc.runtime.data.dataset import to_declared
from dlc.runtime.data.dimensions import dimension_sizes
from dlc.runtime.data.layout import LENGTHS, Layout, has_examples
from dlc.runtime.endings import Words, chosen_by, with_classes
from dlc.runtime.initial import draws, first_value
from dlc.runtime.reference import evaluate

Array = NDArray[Any]
Arrays = Mapping[str, Array]
Target = Literal["native", "reference", "plain"]


FIRST = {"t": 1.0, "step": 1.0, "epoch": 1.0}
"""What a program that is run beside the training reads as its counters: a regularizer may read the epoch."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the examples of some training batches: loss without and cost with regularization."""

    loss: float = 0.0
    cost: float = 0.0
    examples: int = 0

    def __add__(self, other: Totals) -> Totals:
        return Totals(self.loss + other.loss, self.cost + other.cost, self.examples + other.examples)


class Engine(Protocol):
    """A compiled model with its memory. `parameters`, `states` and `slots` (the optimizer's states) are writable.

    `words` are the classes of the words that end its generators, as far as they are known; `forward` needs them. `by`
    is how generators choose their words, None: as the spec says. `seed` is that of all draws.
    """

    words: Words
    by: Choice | None
    seed: int

    @property
    def parameters(self) -> Arrays: ...

    @property
    def states(self) -> Arrays: ...

    @property
    def slots(self) -> Arrays: ...

    def forward(self, inputs: Arrays) -> dict[str, Array]:
        """The outputs, in their declared shapes."""
        ...

    def loss(self, inputs: Arrays) -> tuple[float, float]:
        """Loss and cost of the deterministic training program."""
        ...

    def gradients(self, inputs: Arrays, regularized: bool) -> tuple[float, dict[str, Array]]:
        """The loss (`regularized`: the cost) and its gradient for each learned parameter."""
        ...

    def train(
        self, data: Arrays, order: NDArray[np.int64], batch: int, first: int, count: int, step: int, epoch: int
    ) -> Totals:
        """`count` steps on the batches from number `first` on, of the examples in `order`, `batch` at a time; the
        last batch may be smaller. `step` updates were made before; the scalars of the first one are t = step + 1."""
        ...

    def totals(self, level: int, inputs: Arrays, known: Arrays) -> dict[str, Array]:
        """A batch's part of the sums of one pass of the evaluation; `known` are the sums of earlier passes."""
        ...


def programs_of(checked: CheckedModel, train: TrainSettings) -> Programs:
    """The programs of a model that is trained so. Raises DiagnosticError where the `train:` block is at fault."""
    clip = None if train.clip is None else (train.clip.by, train.clip.limit)
    return programs(checked, train.optimizer, train.regularize, clip)


def reads(graph: Graph) -> frozenset[str]:
    """The names of the inputs that a program reads."""
    return frozenset(str(node.attr("name")) for node in graph.nodes if node.op == "input")


def example_count(inputs: Columns, declarations: Mapping[str, InputDeclaration]) -> int | None:
    """`m` of a batch, None where no input has examples."""
    for name, array in inputs.items():
        if has_examples(name, declarations):
            return len(array)
    return None


def rows_of(inputs: Columns, declarations: Mapping[str, InputDeclaration], rows: Any) -> dict[str, Array]:
    """Some examples of all inputs; an input without examples stays as it is."""
    return {
        name: column[rows] if has_examples(name, declarations) else as_array(column) for name, column in inputs.items()
    }


Bindings = dict[tuple[str, str], Any]


def bind_inputs(
    wanted: Iterable[str], inputs: Columns, declarations: Mapping[str, InputDeclaration]
) -> tuple[Bindings, dict[Symbol, int]]:
    """What the reference executor reads of a batch, in the declared orientation, and the sizes of its run-time
    dimensions. Lengths that are not given are those of the arrays."""
    bindings: Bindings = {}
    for name in wanted:
        layout, array = Layout.of(declarations[name]), as_array(inputs[name])
        bindings["input", name] = array if layout.batch is None else to_declared(array, layout)
    count = example_count(inputs, declarations)
    sizes = {M: count or 1}
    for symbol, (size, _) in dimension_sizes(inputs, declarations).items():
        sizes[symbol] = size
        bindings["length", symbol.name] = inputs.get(LENGTHS + symbol.name, np.full(count or 1, size))
    return bindings, sizes


def build(
    checked: CheckedModel, programs: Programs, *, target: Target, dtype: str, seed: int, threads: int | None
) -> Engine:
    """An engine with first values. `threads` counts for generated code only."""
    if target == "reference":
        return ReferenceEngine(checked, programs, dtype, seed)
    from dlc.runtime.native_engine import NativeEngine

    return NativeEngine(checked, programs, dtype, seed, threads, plain=target == "plain")


class ReferenceEngine:
    """Every op by its NumPy meaning, in float64; `dtype` is what is kept between steps."""

    def __init__(self, checked: CheckedModel, programs: Programs, dtype: str, seed: int) -> None:
        self.checked, self.programs, self.dtype, self.seed = checked, programs, dtype, seed
        self.words = Words()
        self.by: Choice | None = None
        self.parameters: dict[str, Array] = {n: first_value(p, seed, dtype) for n, p in checked.parameters.items()}
        self.states: dict[str, Array] = {n: first_value(s, seed, dtype) for n, s in checked.states.items()}
        self.slots: dict[str, Array] = {n: first_value(s, seed, dtype) for n, s in programs.slots.items()}

    def forward(self, inputs: Arrays) -> dict[str, Array]:
        graph = chosen_by(with_classes(self.programs.graphs["forward"], self.words), self.by)
        roots = self._run(graph, inputs)
        return {name.removeprefix("output."): value.astype(self.dtype) for name, value in roots.items()}

    def loss(self, inputs: Arrays) -> tuple[float, float]:
        roots = self._run(self.programs.graphs["loss"], inputs)
        return float(roots["loss"]), float(roots["cost"])

    def gradients(self, inputs: Arrays, regularized: bool) -> tuple[float, dict[str, Array]]:
        roots = self._run(self.programs.graphs["backward"], inputs)
        names = [name.removeprefix("gradient.") for name in roots if name.startswith("gradient.")]
        found = {name: roots[f"gradient.{name}"] for name in names}
        if regularized:
            found = {name: roots.get(f"regularized.{name}", value) for name, value in found.items()}
        grads = {name: value.astype(self.dtype) for name, value in found.items()}
        return float(roots["cost" if regularized else "loss"]), grads

    def train(
        self, data: Arrays, order: NDArray[np.int64], batch: int, first: int, count: int, step: int, epoch: int
    ) -> Totals:
        graph = self.programs.graphs["train"]
        total = Totals()
        for number in range(first, first + count):
            rows = order[number * batch : (number + 1) * batch]
            step += 1
            scalars = {"t": step, "step": step, "epoch": epoch}
            roots = self._run(graph, rows_of(data, self.checked.inputs, rows), scalars)
            total += Totals(float(roots["loss"]) * len(rows), float(roots["cost"]) * len(rows), len(rows))
            for name, value in roots.items():
                if name.startswith("update."):
                    self._memory(name.removeprefix("update."))[...] = value
        return total

    def totals(self, level: int, inputs: Arrays, known: Arrays) -> dict[str, Array]:
        return self._run(with_classes(self.programs.evaluation.levels[level], self.words), inputs, known)

    def _memory(self, name: str) -> Array:
        for group in (self.parameters, self.states, self.slots):
            if name in group:
                return group[name]
        raise KeyError(name)

    def _run(self, graph: Graph, inputs: Arrays, scalars: Mapping[str, Any] | None = None) -> dict[str, Array]:
        bindings, sizes = bind_inputs(reads(graph), inputs, self.checked.inputs)
        bindings |= {("scalar", name): value for name, value in {**FIRST, **(scalars or {})}.items()}
        bindings |= {("parameter", name): value for name, value in self.parameters.items()}
        bindings |= {("state", name): value for name, value in (self.states | self.slots).items()}
        step = int((scalars or {}).get("step", 0))
        values = evaluate(graph, bindings, sizes, draws(self.seed, step, self.dtype, _batch_axes(graph)))
        return {name: np.asarray(value) for name, value in values.items()}


def _batch_axes(graph: Graph) -> dict[str, int]:
    """Where each draw of a program has its examples, in the bodies of its loops too."""
    nodes = graph.nodes
    inner = [_batch_axes(body.graph) for body in dict.fromkeys(body for node in nodes for body in bodies(node))]
    return {name: axis for axes in inner for name, axis in axes.items()} | {
        str(node.attr("name")): axis
        for node in nodes
        if node.op in ("draw_uniform", "draw_normal")
        for axis, size in enumerate(node.type.sizes)
        if M in size.symbols
    }

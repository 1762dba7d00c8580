"""The engine over generated code: the protocol of `engine.py` in terms of `Native`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.codegen import NotSupported, generate
from dlc.compiler.codegen.arena import SEED_NUMBER, ProgramTable
from dlc.compiler.codegen.by_step import by_step
from dlc.compiler.codegen.host.machine import Dtype, item_bytes
from dlc.compiler.codegen.memory import Persistent, persistent_part
from dlc.compiler.codegen.module import Module, tables_of
from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.compiler.driver import Programs
from dlc.compiler.ir import Graph
from dlc.compiler.ops.generate import Choice
from dlc.compiler.passes import BEFORE_CODE, run
from dlc.compiler.program import CheckedModel
from dlc.runtime.data.dimensions import dimension_sizes
from dlc.runtime.data.layout import LENGTHS
from dlc.runtime.endings import Words, chosen_by, with_classes
from dlc.runtime.engine import FIRST, Arrays, Totals, example_count
from dlc.runtime.initial import first_value
from dlc.runtime.loader import require_own_folder
from dlc.runtime.native import Native
from dlc.runtime.threads import usable_threads

Array = NDArray[Any]
NO_WORDS = Words()


def generated(
    checked: CheckedModel,
    programs: Programs,
    dtype: str,
    *,
    plain: bool = False,
    only: str | None = None,
    words: Words = NO_WORDS,
    by: Choice | None = None,
) -> Module:
    """The module of all programs of a model, or of one of them; `words` end its generators, which choose as the spec
    says or `by` another way. Raises DiagnosticError U901 for what has no generated form yet, V513 for words that are
    not known."""
    levels = {f"sums_{i + 1}": level for i, level in enumerate(programs.evaluation.levels)}

    def graph_of(title: str) -> Graph:
        graph = levels[title] if title in levels else programs.graphs[title]
        graph = with_classes(graph, words)
        if title == "forward":
            graph = chosen_by(graph, by)
        stepped = by_step(graph)
        return graph if stepped is graph else run(stepped, BEFORE_CODE)

    with supported():
        return generate(
            {title: graph_of(title) for title in (*programs.graphs, *levels) if only in (None, title)},
            name=checked.name,
            dtype=_dtype(dtype),
            path="plain" if plain else "tile",
            source_name=os.path.basename(checked.file),
            notes=[f'{name} ends with "{word}", class {number}.' for (name, word), number in words.ends.items()],
            shared=_persistent(checked, programs, dtype),
        )


def _persistent(checked: CheckedModel, programs: Programs, dtype: str) -> Persistent:
    """What all programs of a model share, the same whichever of them are generated."""
    parameters = {("parameter", name): parameter.type for name, parameter in checked.parameters.items()}
    states = {("state", s.name): s.type for s in (*checked.states.values(), *programs.slots.values())}
    return persistent_part(programs.sources, programs.results, parameters | states, item_bytes(_dtype(dtype)))


@contextmanager
def supported() -> Iterator[None]:
    """Tells what has no generated form yet as DiagnosticError U901."""
    try:
        yield
    except NotSupported as problem:
        span = problem.node.span if problem.node is not None else None
        help = '`--target reference`, in Python target="reference", runs it all the same, in NumPy'
        raise DiagnosticError(
            Diagnostic("U901", f"not yet supported in compiled code: {problem.message}", span, help=help)
        ) from None


def _dtype(dtype: str) -> Dtype:
    return "float32" if dtype == "float32" else "float64"


class Generated:
    """The programs of a model, each generated when it is first asked for: most runs need one or two."""

    def __init__(self, checked: CheckedModel, programs: Programs, dtype: str, *, plain: bool) -> None:
        with supported():
            shared = _persistent(checked, programs, dtype)
        self.made: dict[str, Module] = {}
        self.words = NO_WORDS
        self.by: Choice | None = None
        self.generate = partial(generated, checked, programs, dtype, plain=plain)
        self.tables = tables_of(shared, _dtype(dtype), _Tables(self))

    def of(self, title: str) -> Module:
        """The module that has a program."""
        if title not in self.made:
            self.made[title] = self.generate(only=title, words=self.words, by=self.by)
        return self.made[title]


class _Tables(dict[str, ProgramTable]):
    """The tables of programs, by title."""

    def __init__(self, generated: Generated) -> None:
        super().__init__()
        self.generated = generated

    def __missing__(self, title: str) -> ProgramTable:
        self[title] = self.generated.of(title).tables.programs[title]
        return self[title]


class NativeEngine:
    """Generated code. Programs are compiled, or loaded from the disk cache, when they first run."""

    def __init__(
        self,
        checked: CheckedModel,
        programs: Programs,
        dtype: str,
        seed: int,
        threads: int | None,
        *,
        plain: bool = False,
    ) -> None:
        self.checked, self.programs, self.dtype = checked, programs, dtype
        require_own_folder()
        self.generated = Generated(checked, programs, dtype, plain=plain)
        self.native = Native(self.generated, threads=threads or usable_threads(), seed=seed)
        self.parameters = {name: self.native.parameters[name] for name in checked.parameters}
        self.states = {name: self.native.states[name] for name in checked.states}
        self.slots = {name: self.native.states[name] for name in programs.slots}
        for group, memory in (
            (checked.parameters, self.parameters),
            (checked.states, self.states),
            (programs.slots, self.slots),
        ):
            for name, declaration in group.items():
                memory[name][...] = first_value(declaration, seed, dtype)

    @property
    def words(self) -> Words:
        return self.generated.words

    @words.setter
    def words(self, words: Words) -> None:
        if words != self.generated.words:
            self.generated.words = words
            self._forget_generators()

    @property
    def seed(self) -> int:
        return int(self.native.words[SEED_NUMBER])

    @seed.setter
    def seed(self, seed: int) -> None:
        self.native.words[SEED_NUMBER] = seed

    @property
    def by(self) -> Choice | None:
        return self.generated.by

    @by.setter
    def by(self, by: Choice | None) -> None:
        if by != self.generated.by:
            self.generated.by = by
            self._forget_generators()

    def _forget_generators(self) -> None:
        """The prediction and the measures are generated anew when they are next asked for."""
        for known in (self.generated.made, self.native.tables.programs, self.native.code, self.native.calls):
            for title in [title for title in known if title == "forward" or title.startswith("sums_")]:
                del known[title]

    def forward(self, inputs: Arrays) -> dict[str, Array]:
        roots = self._run("forward", inputs)
        graph = self.programs.graphs["forward"]
        return {
            root.removeprefix("output."): value if value.ndim else value.astype(self.dtype).reshape(_shape(graph, root))
            for root, value in roots.items()
        }

    def loss(self, inputs: Arrays) -> tuple[float, float]:
        roots = self._run("loss", inputs)
        return float(roots["loss"]), float(roots["cost"])

    def gradients(self, inputs: Arrays, regularized: bool) -> tuple[float, dict[str, Array]]:
        roots = self._run("backward", inputs)
        names = [root.removeprefix("gradient.") for root in roots if root.startswith("gradient.")]
        found = {name: roots[f"gradient.{name}"] for name in names}
        if regularized:
            found = {name: roots.get(f"regularized.{name}", value) for name, value in found.items()}
        return float(roots["cost" if regularized else "loss"]), found

    def train(
        self, data: Arrays, order: NDArray[np.int64], batch: int, first: int, count: int, step: int, epoch: int
    ) -> Totals:
        used, dims = self.given("train", data)
        return Totals(*self.native.train_batches(used, order, batch, first, count, step=step, epoch=epoch, dims=dims))

    def totals(self, level: int, inputs: Arrays, known: Arrays) -> dict[str, Array]:
        single = {name: float(value.reshape(())) for name, value in known.items() if value.size == 1}
        roots = self._run(f"sums_{level + 1}", {**inputs, **known}, single)
        graph = self.programs.evaluation.levels[level]
        return {n: roots[n] if roots[n].ndim else roots[n].reshape(_shape(graph, n)) for n in graph.roots}

    def _run(
        self, title: str, inputs: Arrays, scalars: Mapping[str, float] | None = None, step: int = 0
    ) -> dict[str, Array]:
        given, dims = self.given(title, inputs)
        m = example_count({n: a for n, a in inputs.items() if n in self.checked.inputs}, self.checked.inputs) or 1
        return self.native.run(title, given, m, {**FIRST, **(scalars or {})}, step, dims)

    def given(self, title: str, inputs: Arrays) -> tuple[dict[str, Array], dict[str, int]]:
        """What a program reads of a batch, with the lengths of its examples, and the run-time dimensions' sizes.
        Lengths that are not given are those of the arrays."""
        declared = {name: array for name, array in inputs.items() if name in self.checked.inputs}
        found = dimension_sizes(declared, self.checked.inputs) if declared else {}
        dims = {symbol.name: int(size) for symbol, (size, _) in found.items()}
        arrays = dict(inputs)
        for name in self.native.tables.programs[title].inputs:
            if name.startswith("length "):
                dim = name.removeprefix("length ")
                m = example_count(declared, self.checked.inputs) or 1
                arrays[name] = inputs.get(LENGTHS + dim, np.full(m, dims[dim]))
        wanted = self.native.tables.programs[title].inputs
        return {name: array for name, array in arrays.items() if name in wanted}, dims


def _shape(graph: Graph, root: str) -> tuple[int, ...]:
    return tuple(int(size.constant or 0) for size in graph.roots[root].type.sizes)

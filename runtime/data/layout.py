"""How an input's declared axes lie in memory: examples first, then the other axes in their order.

`X : (64, m)` is (examples, 64), `(m, 8, 8, 1)` is as written. A `one_hot` declaration knows two forms of data: class
numbers, without the class axis, and *dense* columns, with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from dlc.compiler.dims import Dim, Symbol
from dlc.compiler.program import InputDeclaration, M

LENGTHS = "lengths of "
"""Among the physical arrays of a batch, `lengths of T` holds each example's own T."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where `m` and the class axis stand among the declared axes, and the sizes of all others.

    `batch` is the position of `m`, None where the declaration has none. A size that is not a number is None.
    """

    declaration: InputDeclaration
    batch: int | None
    class_axis: int | None
    sizes: tuple[int | None, ...]

    @staticmethod
    @lru_cache(maxsize=256)
    def of(declaration: InputDeclaration) -> Layout:
        """The layout that a declaration asks for."""
        sizes = declaration.type.sizes
        batch = next((i for i, size in enumerate(sizes) if size == Dim.symbol(M)), None)
        constants = tuple(None if size.constant is None else int(size.constant) for size in sizes)
        return Layout(declaration, batch, declaration.class_axis if declaration.one_hot else None, constants)

    @property
    def name(self) -> str:
        return self.declaration.name

    @property
    def dimensions(self) -> frozenset[Symbol]:
        """The run-time dimensions of its shape, other than m."""
        return frozenset(symbol for symbol in self.declaration.type.symbols if symbol.kind == "runtime")

    @property
    def text(self) -> str:
        """`X : (64, m)`, `Y : (10, m) one_hot`"""
        kind = f" index({self.declaration.classes})" if self.declaration.index else ""
        return f"{self.name} : {self.declaration.type}{' one_hot' if self.declaration.one_hot else kind}"

    @property
    def unsupported(self) -> str | None:
        """Why a `data:` block cannot fill this input yet, where it cannot."""
        if any(size is None for i, size in enumerate(self.sizes) if i != self.batch):
            return f"{self.text} has a size known only at run time: reading such data is not yet supported"
        return f"{self.text} has no m: reading such data is not yet supported" if self.batch is None else None

    @property
    def label_axes(self) -> tuple[int, ...]:
        """The declared axes that class numbers have: all but the class axis."""
        return tuple(i for i in range(len(self.sizes)) if i != self.class_axis)

    @property
    def dense(self) -> tuple[int, ...]:
        """The sizes of one example, the class axis among them."""
        return tuple(size or 0 for i, size in enumerate(self.sizes) if i != self.batch)

    @property
    def features(self) -> tuple[int, ...]:
        """The sizes of one example as class numbers; the same as `dense` where there is no class axis."""
        return tuple(self.sizes[i] or 0 for i in self.label_axes if i != self.batch)

    @property
    def width(self) -> int:
        """The columns of a table that hold one example."""
        return math.prod(self.features)

    @property
    def dense_width(self) -> int:
        """The same with the class axis."""
        return math.prod(self.dense)

    def shape_text(self, dense: bool) -> str:
        """`(64, m)`, and of class numbers `(m)`."""
        axes = range(len(self.sizes)) if dense else self.label_axes
        return f"({', '.join(str(self.declaration.type.sizes[i]) for i in axes)})"

    def batch_axis(self, dense: bool) -> int:
        """Where `m` stands in data with or without the class axis."""
        axes = tuple(range(len(self.sizes))) if dense else self.label_axes
        return axes.index(self.batch) if self.batch is not None else 0


def has_examples(name: str, declarations: Mapping[str, InputDeclaration]) -> bool:
    """Whether a physical array has one row for each example; lengths do."""
    return name.startswith(LENGTHS) or Layout.of(declarations[name]).batch is not None

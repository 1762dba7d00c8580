"""Padding cannot be observed: one home for each example's own lengths.

The examples of a batch are padded to the longest. A run-time dimension that stands beside `m` in an input is each
example's own: its size in a type is the padded one, and its *length* per example is given when the program runs. A
dimension computed from it has a length by the same formula. What folds such an axis (or the examples of a tensor that
has one) reads a filler where an example has ended, so that no value there reaches a place that counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

from dlc.compiler.dims import ONE, Axis, Dim, Symbol, TensorType
from dlc.compiler.dims.poly import Atom
from dlc.compiler.ir import Builder, Node
from dlc.compiler.ops import ShapeError
from dlc.compiler.program import M

Padded = frozenset[Symbol]
"""The run-time dimensions that are each example's own."""
_ROUNDED = {"floor": "floor", "ceil": "ceil"}
_BINARY = {"%": "mod", "min": "min", "max": "max", "/": "div"}


def padded_symbols(types: Iterable[TensorType]) -> Padded:
    """The dimensions that are each example's own, from the types of the inputs: those that stand beside `m`."""
    beside = (type.symbols for type in types if type.depends_on(M))
    return frozenset(symbol for symbols in beside for symbol in symbols if symbol.kind == "runtime")


def is_padded(padded: Padded, size: Dim) -> bool:
    """Whether a size has its own value for each example."""
    return bool(padded) and not padded.isdisjoint(size.symbols)


def padded_axes(padded: Padded, type: TensorType) -> tuple[int, ...]:
    """The positions of the axes that are padded."""
    return tuple(i for i, axis in enumerate(type.axes) if is_padded(padded, axis.size)) if padded else ()


# --- lengths ---------------------------------------------------------------------------------------------------


def lengths_of(b: Builder, padded: Padded, dim: Dim) -> Node:
    """The value of a dimension for each example, `(m)`, by the dimension's own formula; a scalar where all agree."""
    total: Node | None = None
    for monomial, coefficient in dim.terms.items():
        exact = Fraction(coefficient)
        term = b.constant(float(exact.numerator))
        for atom, exponent in monomial:
            for _ in range(abs(exponent)):
                term = b.add("mul" if exponent > 0 else "div", term, _value(b, padded, atom))
        if exact.denominator != 1:
            term = b.add("div", term, b.constant(float(exact.denominator)))
        total = term if total is None else b.add("add", total, term)
    return b.constant(0.0) if total is None else total


def _value(b: Builder, padded: Padded, atom: Atom) -> Node:
    if isinstance(atom, Symbol):
        if atom in padded:
            return b.typed("length", (), (("name", atom.name),), TensorType((Axis(Dim.symbol(M), "m"),)))
        return b.size(Dim.symbol(atom))
    p, q = lengths_of(b, padded, atom.p), lengths_of(b, padded, atom.q)
    if atom.op in _ROUNDED:
        return b.add(_ROUNDED[atom.op], b.add("div", p, q))
    return b.add(_BINARY[atom.op], p, q)


def lengths_along(b: Builder, padded: Padded, type: TensorType, size: Dim) -> Node:
    """The lengths in the place of the examples of a type, written 1 on all other axes. Raises `ShapeError`."""
    lengths = lengths_of(b, padded, size)
    if not lengths.type.rank:
        return lengths
    examples = examples_of(type, size)
    others = tuple(i for i in range(type.rank) if i != examples)
    return b.add("expand", lengths, axes=others) if others else lengths


def examples_of(type: TensorType, size: Dim) -> int:
    """The axis of the examples whose own length `size` is. Raises `ShapeError` where there is none."""
    found = [i for i, axis in enumerate(type.axes) if axis.size == Dim.symbol(M)]
    named = [i for i in found if type.axes[i].name == "m"]
    if found:
        return (named or found)[0]
    if any(M in axis.size.symbols for axis in type.axes):
        message = f"each example's own length is not supported yet where the examples are {type}"
        raise ShapeError("U901", message, [(0, None)])
    raise ShapeError(
        "D119",
        f"{size} is each example's own length, and {{0}} is {type}: without m it cannot be told where an example ends",
        [(0, None)],
        rule="padding cannot be observed: what folds steps knows whose steps they are",
        help="fold the steps first, and the examples after them",
    )


# --- which places count ----------------------------------------------------------------------------------------


def valid(b: Builder, padded: Padded, type: TensorType, axes: Iterable[int] | None = None) -> Node | None:
    """Which places of a tensor are within each example, along some of its padded axes (by default along all): truth
    values of its rank, with its own sizes on `m` and on those axes and 1 on all others. None where nothing is padded.
    Raises `ShapeError` where there is no `m`."""
    result: Node | None = None
    for axis in padded_axes(padded, type) if axes is None else axes:
        size = type.axes[axis].size
        if M in size.symbols:
            message = f"{{0}} is {type}: padding inside an axis of examples, {size}, is not supported yet"
            raise ShapeError("U901", message, [(0, axis)])
        lengths = _beside(b, lengths_along(b, padded, type, size), axis, size)
        within = b.add("le", numbers_along(b, type.rank, axis, size), lengths)
        result = within if result is None else both(b, result, within)
    return result


def seen(b: Builder, padded: Padded, type: TensorType, axes: tuple[int, ...]) -> Node | None:
    """Which places a fold over `axes` may see: none past an example's end, along the axes that it folds; where it folds
    the examples, along all. None where it may see everything."""
    there = padded_axes(padded, type)
    folded = there if folds_examples(type, axes) else tuple(axis for axis in axes if axis in there)
    return valid(b, padded, type, folded) if folded else None


def folds_examples(type: TensorType, axes: Iterable[int]) -> bool:
    """Whether one of the axes has the examples."""
    return any(M in type.axes[axis].size.symbols for axis in axes)


def _beside(b: Builder, lengths: Node, axis: int, size: Dim) -> Node:
    """The lengths repeated along an axis, as only one side of a comparison may broadcast."""
    if not lengths.type.rank:
        return lengths
    axes = tuple(Axis(size) if i == axis else own for i, own in enumerate(lengths.type.axes))
    return b.add("broadcast", lengths, axes=axes)


def numbers_along(b: Builder, rank: int, axis: int, size: Dim) -> Node:
    """1, 2, 3, … along one axis of that size, written 1 on all others."""
    axes = tuple(Axis(size) if i == axis else Axis(ONE, one=True) for i in range(rank))
    return b.add("position", b.add("broadcast", b.constant(0.0), axes=axes), axis=axis)


def both(b: Builder, x: Node, y: Node) -> Node:
    """Both conditions; each has axes on which the other is 1."""
    axes = tuple(p if p.size != ONE else q for p, q in zip(x.type.axes, y.type.axes, strict=True))
    return b.add("and", b.add("broadcast", x, axes=axes), y)


def hidden(b: Builder, x: Node, places: Node | None, filler: float) -> Node:
    """The tensor with `filler` in all other places."""
    if places is None:
        return x
    return b.add("select", places, x if x.type.kind == "real" else b.add("real", x), b.constant(filler))


# --- operations ------------------------------------------------------------------------------------------------


def mean(b: Builder, x: Node, axes: tuple[int, ...], places: Node | None) -> Node:
    """The mean over the places that count."""
    if places is None:
        return b.add("mean", x, axes=axes)
    counted = tuple(axis for axis in axes if places.type.axes[axis].size != ONE)
    count = b.add("sum", b.add("real", places), axes=counted)
    if folds_examples(x.type, axes):  # all of them may have ended
        count = b.add("max", count, b.constant(1.0))
    rest = math.prod((x.type.axes[axis].size for axis in axes if axis not in counted), start=ONE)
    count = count if rest == ONE else b.add("mul", count, b.size(rest))
    return b.add("div", b.add("sum", hidden(b, x, places, 0.0), axes=axes), count)


def last_step(b: Builder, padded: Padded, x: Node, axis: int, at: Dim) -> Node:
    """The step number `at` of each example, without the axis."""
    size = x.type.axes[axis].size
    lengths = _beside(b, lengths_along(b, padded, x.type, at), axis, size)
    hit = b.add("eq", numbers_along(b, x.type.rank, axis, size), lengths)
    return chosen(b, x, hit, axis)


def chosen(b: Builder, x: Node, hit: Node, axis: int) -> Node:
    """The one step that is hit, without the axis; a class index stays one."""
    step = b.add("drop", b.add("sum", hidden(b, x, hit, 0.0), axes=(axis,)), axes=(axis,))
    return b.add("index", step, classes=x.type.classes) if x.type.kind == "index" else step

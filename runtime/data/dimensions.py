"""Run-time dimensions of arrays: their sizes, and each example's own lengths where a batch is padded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError, Related
from dlc.compiler.diagnostics.suggest import did_you_mean
from dlc.compiler.dims import Dim, Symbol, solve
from dlc.compiler.program import InputDeclaration, Requirement
from dlc.runtime.data.columns import Column, Columns
from dlc.runtime.data.layout import LENGTHS, Layout
from dlc.runtime.data.origins import declared

Array = NDArray[Any]
_FAR = 5000
"""How far above a size that does not fit one that does is looked for."""
Lengths = Mapping[str, NDArray[np.int64]]


def dimension_sizes(arrays: Columns, declarations: Mapping[str, InputDeclaration]) -> dict[Symbol, tuple[int, str]]:
    """The size of every run-time dimension, and the array that says so. Raises V509 where two arrays disagree.

    An axis of size T says what T is; one of size 2 * T does where no other axis is T itself.
    """
    found: dict[Symbol, tuple[int, str]] = {}
    axes = [axis for name, array in arrays.items() if name in declarations for axis in _axes(name, array, declarations)]
    for name, dim, size in sorted(axes, key=lambda axis: len(axis[1].terms) + len(axis[1].symbols)):
        for symbol in dim.symbols - found.keys():
            known = dim.substitute({s: value for s, (value, _) in found.items()})
            if known.symbols == {symbol}:
                found[symbol] = (_solved(known, symbol, size, name, declarations), name)
        if dim.symbols <= found.keys():
            _agrees(name, dim, size, found, declarations)
    return found


def _axes(name: str, array: Column, declarations: Mapping[str, InputDeclaration]) -> list[tuple[str, Dim, int]]:
    """The axes of a physical array that depend on run-time dimensions, with their sizes."""
    layout = Layout.of(declarations[name])
    if not layout.dimensions:
        return []
    order = list(range(len(layout.sizes))) if array.ndim == len(layout.sizes) else list(layout.label_axes)
    if layout.batch is not None:
        order.insert(0, order.pop(order.index(layout.batch)))
    sizes = layout.declaration.type.sizes
    return [
        (name, sizes[axis], size)
        for axis, size in zip(order, array.shape, strict=True)
        if axis != layout.batch and sizes[axis].constant is None
    ]


def _solved(dim: Dim, symbol: Symbol, size: int, name: str, declarations: Mapping[str, InputDeclaration]) -> int:
    """The value of the one unknown of an axis, within its bound."""
    value = Dim.of(size) if dim == Dim.symbol(symbol) else solve(dim, symbol, Dim.of(size))
    layout = Layout.of(declarations[name])
    if value is None or not isinstance(value.constant, int) or value.constant < 1:
        raise _unfit(f"{name} has an axis of size {size}, {layout.text} needs {dim} there", layout)
    if symbol.upper is not None and value.constant > symbol.upper:
        message = f"{name} has {symbol} = {value.constant}, and the model says `dim {symbol} <= {symbol.upper}`"
        raise _unfit(message, layout, f"cut the sequences at {symbol.upper}, or write a larger bound")
    return value.constant


def _agrees(
    name: str,
    dim: Dim,
    size: int,
    found: Mapping[Symbol, tuple[int, str]],
    declarations: Mapping[str, InputDeclaration],
) -> None:
    wanted = dim.evaluate({symbol: value for symbol, (value, _) in found.items()})
    if wanted == size:
        return
    (symbol, (value, first)), *_ = ((s, found[s]) for s in sorted(dim.symbols, key=str))
    message = f"{first} and {name} must have the same {symbol}: {first} has {symbol} = {value}"
    message += (
        f", {name} has {size}" if dim == Dim.symbol(symbol) else f", so {name} needs {dim} = {wanted}, not {size}"
    )
    layout = Layout.of(declarations[name])
    related = (*declared(Layout.of(declarations[first])), *declared(layout))
    raise DiagnosticError(Diagnostic("V509", message, None, related=related))


def _unfit(message: str, layout: Layout, help: str | None = None) -> DiagnosticError:
    return DiagnosticError(Diagnostic("V509", message, None, related=declared(layout), help=help))


def check_requirements(
    requirements: Iterable[Requirement], arrays: Columns, declarations: Mapping[str, InputDeclaration]
) -> None:
    """What the model needs of its run-time dimensions, for the arrays and for each example's own lengths. Raises V511.

    A requirement on a dimension that no given array has is not asked.
    """
    found = dimension_sizes(arrays, declarations)
    sizes = {symbol: size for symbol, (size, _) in found.items()}
    for requirement in requirements:
        asked = requirement.condition.symbols
        if not asked <= sizes.keys():
            continue
        own = {s: arrays[LENGTHS + s.name] for s in asked if LENGTHS + s.name in arrays}
        if not requirement.condition.holds(sizes):
            raise _unkept(requirement, {symbol: sizes[symbol] for symbol in asked}, "")
        for example in range(min(map(len, own.values()), default=0)):
            lengths = {s: int(own[s][example]) if s in own else sizes[s] for s in asked}
            if not requirement.condition.holds(lengths):
                raise _unkept(requirement, lengths, f" in example {example}")


def _unkept(requirement: Requirement, sizes: Mapping[Symbol, int], where: str) -> DiagnosticError:
    given = ", ".join(f"{symbol} = {size}" for symbol, size in sorted(sizes.items(), key=lambda item: item[0].name))
    text = f"{requirement.message}: " if requirement.message else ""
    related = (Related(f"this needs {requirement.condition}", requirement.span),) if requirement.span else ()
    return DiagnosticError(
        Diagnostic(
            "V511",
            f"{text}the model needs {requirement.condition}, and the data has {given}{where}",
            None,
            related=related,
            rule=_nearest(requirement, sizes),
        )
    )


def _nearest(requirement: Requirement, sizes: Mapping[Symbol, int]) -> str | None:
    """The sizes next to a single one that fit."""
    if len(sizes) != 1:
        return None
    ((symbol, size),) = sizes.items()
    fits = [n for n in range(symbol.lower, size + _FAR) if requirement.condition.holds({symbol: n})]
    below, above = [n for n in fits if n < size][-1:], [n for n in fits if n > size][:1]
    near = " and ".join(f"{symbol} = {n}" for n in below + above)
    return f"{near} {'fit' if below and above else 'fits'}" if near else None


# --- lengths ---------------------------------------------------------------------------------------------------


def read_lengths(
    given: Mapping[str, Sequence[int]] | None, declarations: Mapping[str, InputDeclaration]
) -> dict[str, NDArray[np.int64]]:
    """`lengths={"T": [3, 5]}` as arrays. Raises V510 for names and values that cannot be lengths."""
    own = sorted(
        {s.name for d in declarations.values() if Layout.of(d).batch is not None for s in Layout.of(d).dimensions}
    )
    found: dict[str, NDArray[np.int64]] = {}
    if given is not None and not isinstance(given, Mapping):
        raise _bad_lengths("lengths are given by dimension", 'lengths={"T": [3, 5]}')
    for name, values in (given or {}).items():
        if name not in own:
            meant = did_you_mean(name, own)
            help = f"did you mean {meant}?" if meant else f"lengths are given for: {', '.join(own) or 'nothing here'}"
            raise _bad_lengths(f"no input has its own {name} for each example", help)
        numbers = np.asarray(values)
        if numbers.ndim != 1 or numbers.dtype.kind not in "iuf" or np.any(numbers % 1 != 0):
            raise _bad_lengths(
                f"the lengths of {name} are one whole number for each example", f'lengths={{"{name}": [3, 5]}}'
            )
        found[name] = numbers.astype(np.int64)
    return found


def check_lengths(
    lengths: Lengths, arrays: Mapping[str, Array], declarations: Mapping[str, InputDeclaration], count: int
) -> None:
    """As many lengths as examples, each from 1 to the size of the padded axis. Raises V510."""
    sizes = {symbol.name: found for symbol, found in dimension_sizes(arrays, declarations).items()}
    for name, values in lengths.items():
        if len(values) != count:
            raise _bad_lengths(f"there are {count} examples, and {len(values)} lengths of {name}")
        if name not in sizes:
            continue
        size, array = sizes[name]
        wrong = np.flatnonzero((values < 1) | (values > size))
        if wrong.size:
            at = int(wrong[0])
            message = f"the length of example {at} is {values[at]}, and {array} has {name} = {size}"
            raise _bad_lengths(message, f"lengths are whole numbers from 1 to {size}")


def _bad_lengths(message: str, help: str | None = None) -> DiagnosticError:
    return DiagnosticError(Diagnostic("V510", message, None, help=help))


def fill_padding(physical: Array, dense: bool, layout: Layout, lengths: Lengths) -> Array:
    """A physical array where each example's last step stands in its padding, whatever stood there: data like the other
    steps, so that its logarithm, say, is a number too."""
    sizes = layout.declaration.type.sizes
    axes = [i for i in (range(len(sizes)) if dense else layout.label_axes) if i != layout.batch]
    for place, axis in enumerate(axes, 1):
        own = {s for s in sizes[axis].symbols if s.kind == "runtime"}
        if layout.batch is None or not own or not all(s.name in lengths for s in own):
            continue
        columns = zip(*(lengths[s.name].tolist() for s in own), strict=True)
        ends = np.array([int(sizes[axis].evaluate(dict(zip(own, values, strict=True)))) for values in columns])
        if len(ends) != len(physical):
            continue
        steps = np.minimum(np.arange(physical.shape[place]), np.maximum(ends - 1, 0)[:, None])
        shape = [len(physical), *(physical.shape[i] if i == place else 1 for i in range(1, physical.ndim))]
        physical = np.take_along_axis(physical, steps.reshape(shape), place)
    return physical

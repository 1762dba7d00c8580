"""The Python API's own arrays, held against the declarations: declared orientation in, physical arrays out.

Reals must be finite: an infinity is an error too, and so is a value that the `dtype` cannot hold.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.compiler.diagnostics.suggest import did_you_mean
from dlc.compiler.program import InputDeclaration, Requirement
from dlc.runtime.data.dimensions import Lengths, check_lengths, check_requirements, fill_padding, read_lengths
from dlc.runtime.data.labels import class_numbers, encode
from dlc.runtime.data.layout import LENGTHS, Layout
from dlc.runtime.data.origins import declared, fits, shape_text
from dlc.runtime.data.problems import MISSING_HELP, Problems

Array = NDArray[Any]


def check_arrays(
    inputs: Mapping[str, InputDeclaration],
    given: Mapping[str, Any],
    need_targets: bool,
    lengths: Mapping[str, Sequence[int]] | None = None,
    dtype: str = "float32",
    required: Collection[str] | None = None,
    requirements: Collection[Requirement] = (),
) -> dict[str, Array]:
    """The given arrays as physical ones: examples first, C-contiguous.

    `X : (64, m)` takes (64, m) and gives reals (m, 64) of the `dtype`. A `one_hot` name takes class numbers in the
    declared shape without the class axis, or reals in the declared shape: the result is int64 class numbers (exact
    one-hot columns too) or, for soft labels, reals with the class axis. An `index` name gives int64. A missing value of
    an `optional` name is NaN, or -1 where the result holds class numbers. An input without `m` keeps its shape.

    `required` names what must be there: by default all inputs, and the targets where `need_targets`; what else is given
    is checked and returned too. `lengths` come back as `lengths of T`, and what stands in the padding is not read.
    Raises DiagnosticError with all mistakes: V506 (shape), V507 (type), V502 (NaN, infinity), V503 (labels),
    V508 (missing or unknown names), V509 (run-time dimensions), V510 (lengths), V511 (`requirements` of the model on
    its run-time dimensions).
    """
    found = _names(inputs, given, need_targets, required)
    own = read_lengths(lengths, inputs)
    arrays: dict[str, Array] = {}
    counts: dict[str, int] = {}
    for name, declaration in inputs.items():
        if name not in given:
            continue
        layout = Layout.of(declaration)
        try:
            arrays[name] = _checked(layout, _numeric(layout, given[name]), dtype, own)
        except DiagnosticError as error:
            found += error.diagnostics
            continue
        if layout.batch is not None:
            counts[name] = len(arrays[name])
    if not found:
        found += _sizes(inputs, counts, given)
    if found:
        raise DiagnosticError(*found)
    check_lengths(own, arrays, inputs, next(iter(counts.values()), 0))
    result = {**arrays, **{LENGTHS + name: values for name, values in own.items()}}
    check_requirements(requirements, result, inputs)
    return result


def _names(
    inputs: Mapping[str, InputDeclaration],
    given: Mapping[str, Any],
    need_targets: bool,
    required: Collection[str] | None,
) -> list[Diagnostic]:
    found = []
    for name in given:
        if name not in inputs:
            meant = did_you_mean(name, inputs)
            help = f"did you mean {meant}?" if meant else f"the inputs and targets are: {', '.join(inputs)}"
            found.append(Diagnostic("V508", f"the model has no input or target {name}", None, help=help))
    if required is None:
        required = [name for name, declaration in inputs.items() if need_targets or declaration.role == "input"]
    for name in inputs:
        if name in required and name not in given:
            layout = Layout.of(inputs[name])
            message = f"the {inputs[name].role} {name} is missing: {layout.text}"
            found.append(Diagnostic("V508", message, None, related=declared(layout), help=f"pass {name}=…"))
    return found


def _numeric(layout: Layout, value: Any) -> Array:
    """The value as an array of numbers. Raises V507."""
    try:
        array = np.asarray(value)
    except ValueError:
        raise _unfit("V507", layout, f"{layout.name} is not an array: its rows differ in length") from None
    if array.dtype.kind in "fiub":
        return array
    help = "pass class numbers 0, 1, 2, …" if layout.class_axis is not None or layout.declaration.index else None
    kinds = {"U": "texts", "S": "texts", "O": "Python objects", "c": "complex numbers"}
    what = kinds.get(array.dtype.kind, str(array.dtype))
    raise _unfit("V507", layout, f"{layout.name} holds {what}, {layout.text} needs numbers", help)


def _unfit(code: str, layout: Layout, message: str, help: str | None = None) -> DiagnosticError:
    return DiagnosticError(Diagnostic(code, message, None, related=declared(layout), help=help))


def _checked(layout: Layout, array: Array, dtype: str, lengths: Lengths) -> Array:
    """One physical array. Raises V506, V502, V503."""
    labels = layout.class_axis is not None or layout.declaration.index
    forms = (False, True) if layout.class_axis is not None else (False,)
    dense = next((dense for dense in forms if fits(array.shape, layout, dense)), None)
    if dense is None:
        needs = " or ".join(layout.shape_text(dense) for dense in forms)
        turned = any(fits(array.shape[::-1], layout, dense) for dense in forms)
        help = f"pass {layout.name}.T" if turned and array.ndim == 2 else None
        message = f"{layout.name} has shape {shape_text(array.shape)}, {layout.text} needs {needs}"
        raise _unfit("V506", layout, message, help)
    if array.size == 0:
        examples = layout.batch is None or array.shape[layout.batch_axis(dense)] == 0
        there = "there are no examples" if examples else "an example has at least one step"
        raise _unfit("V506", layout, f"{layout.name} has shape {shape_text(array.shape)}: {there}")
    physical = array if layout.batch is None else np.moveaxis(array, layout.batch_axis(dense), 0)
    physical = fill_padding(physical, dense, layout, lengths)
    if labels and not dense:
        return _class_numbers(layout, physical)
    with np.errstate(over="ignore"):
        reals = np.ascontiguousarray(physical, dtype=dtype).reshape(physical.shape)
    _require_finite(layout, physical, reals)
    classes = class_numbers(reals, layout)
    return reals if classes is None else classes


def _class_numbers(layout: Layout, physical: Array) -> Array:
    problems = Problems()
    cells = physical.reshape(len(physical), -1) if physical.ndim else physical.reshape(1, 1)
    if physical.dtype.kind in "iub" and _all_in_range(cells, layout):
        return np.ascontiguousarray(physical, dtype=np.int64).reshape(physical.shape)
    parts = np.flatnonzero(np.isfinite(cells) & (cells % 1 != 0)) if physical.dtype.kind == "f" else np.empty(0, int)
    if parts.size:
        where = _element(layout, physical.shape, int(parts[0]))
        message = f"{where} is {cells.reshape(-1)[parts[0]]:g}, {layout.text} takes whole numbers"
        raise _unfit("V507", layout, message)

    def place(row: int, column: int) -> str:
        return _element(layout, physical.shape, row * cells.shape[1] + column)

    codes = encode(cells.astype(np.float64), None, layout, place, layout.declaration.span, problems)
    problems.raise_if_any()
    return codes.reshape(physical.shape)


def _all_in_range(cells: Array, layout: Layout) -> bool:
    return bool(cells.min() >= 0 and cells.max() < (layout.declaration.classes or 0))


def _require_finite(layout: Layout, physical: Array, reals: Array) -> None:
    bad = ~np.isfinite(reals)
    if layout.declaration.optional:
        bad &= ~np.isnan(reals)
    if not bad.any():
        return
    together = len(layout.dense) > 1
    cells = bad.reshape(len(bad), -1) if bad.ndim else bad.reshape(1, 1)

    def message(row: int, column: int) -> Diagnostic:
        position = row * cells.shape[1] + column
        number = physical.reshape(-1)[position]
        limit = f", beyond the range of {reals.dtype}" if np.isfinite(number) else ""
        text = f"{_element(layout, physical.shape, position)} is {number:g}{limit}"
        help = MISSING_HELP if np.isnan(number) else None
        return Diagnostic("V502", text + ", not a finite number" * together, layout.declaration.span, help=help)

    problems = Problems()
    problems.add_values(layout.name, cells, message, together)
    problems.raise_if_any()


def _element(layout: Layout, shape: tuple[int, ...], position: int) -> str:
    """`X[3, 17]`, in the declared orientation, from the position in the physical array."""
    index = [int(i) for i in np.unravel_index(position, shape)]
    if layout.batch is not None and index:
        index.insert(layout.batch_axis(len(shape) == len(layout.sizes)), index.pop(0))
    return f"{layout.name}[{', '.join(map(str, index))}]"


def _sizes(
    inputs: Mapping[str, InputDeclaration], counts: Mapping[str, int], given: Mapping[str, Any]
) -> list[Diagnostic]:
    """`m` is the same in all arrays."""
    if len(set(counts.values())) < 2:
        return []
    (first, m), *others = counts.items()
    name, count = next((name, count) for name, count in others if count != m)
    shapes = [f"{n} has shape {shape_text(np.shape(given[n]))}" for n in (first, name)]
    message = f"{first} and {name} must have the same m: {first} has {m} examples, {name} has {count}"
    related = (*declared(Layout.of(inputs[first])), *declared(Layout.of(inputs[name])))
    return [Diagnostic("V506", message, None, related=related, help=", ".join(shapes))]

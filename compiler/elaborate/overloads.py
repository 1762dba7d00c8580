"""One name, several definitions: a layer or function for columns `(n, m, ...)` and for feature maps `(m, ..., n_C)`.

They take the same arguments, so that an instance exists before it is known what it is applied to, and their first
inputs (a function's first shaped arguments) differ in the place of m. Where a value has m decides which text runs.
"""

from __future__ import annotations

from typing import Any

from dlc.compiler.elaborate.report import stop
from dlc.compiler.elaborate.values import Function, Layer, Tensor
from dlc.grammar import ast
from dlc.grammar.format import unparse
from dlc.grammar.span import Span


def overloads(one: ast.Definition, other: ast.Definition) -> bool:
    """Whether two definitions of a name may stand side by side."""
    if one.kind != other.kind or one.kind not in ("layer", "function") or place_of_m(one) == place_of_m(other):
        return False
    return [_argument(p) for p in one.parameters] == [_argument(p) for p in other.parameters]


def _argument(parameter: ast.Parameter) -> tuple[str, str]:
    return parameter.name.id, unparse(parameter.default) if parameter.default is not None else ""


def place_of_m(definition: ast.Definition) -> int | None:
    """Where the first input has the axis m: counted from the front, after a `...` from the back (negative). None where
    it does not name m."""
    if definition.kind == "function":
        shapes = (parameter.shape for parameter in definition.parameters)
    else:
        shapes = (s.shape for s in definition.body or () if isinstance(s, ast.Declaration) and s.kind == "input")
    shape = next((shape for shape in shapes if shape is not None), None)
    items = shape.items if shape is not None else ()
    at = next((i for i, item in enumerate(items) if _is_m(item)), None)
    if at is None:
        return None
    return at - len(items) if any(isinstance(item, ast.Rest) for item in items[:at]) else at


def _is_m(item: ast.Expr) -> bool:
    name = item.name if isinstance(item, ast.NamedAxis) else item
    return isinstance(name, ast.Name) and name.id == "m"


def chosen(layer: Layer | Function, value: Any, span: Span) -> ast.Definition:
    """The definition whose first input has m where the value has it; else the one that does not name m."""
    if not layer.others or not isinstance(value, Tensor):
        return layer.definition
    definitions = (layer.definition, *layer.others)
    axis = value.type.axis_named("m")
    places = {None} if axis is None else {axis, axis - value.type.rank}
    for wanted in (places, {None}):
        for definition in definitions:
            if place_of_m(definition) in wanted:
                return definition
    name = layer.definition.name.id
    raise stop(
        "D108",
        f"{name} has {len(definitions)} definitions, and none takes m where {value.type} has it",
        span,
        related=[("this one has m elsewhere", definition.name.span) for definition in definitions],
        rule="where an input has the axis m decides which definition of a name is meant",
    )

"""Dimension polynomials, the solver (yes, no, unknown) and tensor types.

Read `poly` (what a dimension is), `terms` (floor, `%`, min, division), `facts` and `solver` (what is known, what
follows), then `types`.
"""

from dlc.compiler.dims.conditions import Condition, divisibility, strongest
from dlc.compiler.dims.facts import Facts, Ledger, Relation
from dlc.compiler.dims.poly import ONE, ZERO, Dim, DimLike, Number
from dlc.compiler.dims.solver import (
    Truth,
    counterexample,
    decide,
    demand,
    demand_integer,
    demand_size,
    demand_that,
    divides,
    equal,
    example,
    is_integer,
    less,
    less_equal,
    positive,
    solve,
    solve_exactly,
)
from dlc.compiler.dims.symbol import DimTooLarge, Symbol
from dlc.compiler.dims.terms import ceildiv, dim_max, dim_min, floordiv, mod, quotient
from dlc.compiler.dims.types import Axis, Mismatch, TensorType, broadcast, same_sizes, scalar, tensor

__all__ = [
    "ONE",
    "ZERO",
    "Axis",
    "Condition",
    "Dim",
    "DimLike",
    "DimTooLarge",
    "Facts",
    "Ledger",
    "Mismatch",
    "Number",
    "Relation",
    "Symbol",
    "TensorType",
    "Truth",
    "broadcast",
    "ceildiv",
    "counterexample",
    "decide",
    "demand",
    "demand_integer",
    "demand_size",
    "demand_that",
    "dim_max",
    "dim_min",
    "divides",
    "divisibility",
    "equal",
    "example",
    "floordiv",
    "is_integer",
    "less",
    "less_equal",
    "mod",
    "positive",
    "quotient",
    "same_sizes",
    "scalar",
    "solve",
    "solve_exactly",
    "strongest",
    "tensor",
]

"""What a thing is called by where it stands: `W[2]`, however its index is computed.

Parameters, states, draws and steps are known by their places: checkpoints, `freeze` and `spec.parameters` use them.
Messages speak by the text of the file (`text.written`), which may be cut and is no name.
"""

from __future__ import annotations

from dlc.compiler.elaborate.arithmetic import to_int
from dlc.compiler.elaborate.scope import Scope
from dlc.compiler.elaborate.shapes import Evaluate
from dlc.grammar import ast
from dlc.grammar.format import unparse


def place_name(target: ast.Expr, scope: Scope, evaluate: Evaluate) -> str:
    """`W`, `W[2]`, `A[1, 0]`, `backbone.W`; the indices are evaluated."""
    match target:
        case ast.Name(id=name):
            return name
        case ast.Index(base=base, indices=indices):
            values = (to_int(evaluate(index, scope), index.span, "an index") for index in indices)
            return f"{place_name(base, scope, evaluate)}[{', '.join(map(str, values))}]"
        case ast.Attribute(base=base, name=ast.Name(id=name)):
            return f"{place_name(base, scope, evaluate)}.{name}"
        case ast.TimeIndex(base=base, time=time):
            return f"{place_name(base, scope, evaluate)}<{unparse(time)}>"
    return unparse(target)

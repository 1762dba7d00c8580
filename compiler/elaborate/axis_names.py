"""Names of axes across a call: those of a pattern count inside, and what comes back has the names of where it is used.

`input x : (n_x, m, T)` calls the last axis T in a layer's text, whatever the sequence's own dimension is called. A
result whose axis is that one is called as the argument's axis was, so that `over = T_x` finds it behind the call.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from dlc.compiler.elaborate.context import Context
from dlc.compiler.elaborate.values import Tensor


def renamed_back(e: Context, outputs: list[Any], arguments: Iterable[tuple[Any, Any]]) -> list[Any]:
    """The results of a definition; `arguments` are what it was given, each with what a pattern made of it."""
    names: dict[str, str] = {}
    for given, bound in arguments:
        if isinstance(given, Tensor) and isinstance(bound, Tensor) and given.type.rank == bound.type.rank:
            for outer, inner in zip(given.type.axes, bound.type.axes, strict=True):
                if inner.name is not None and outer.name is not None and inner.name != "m":
                    names.setdefault(inner.name, outer.name)
    return [_renamed(e, value, names) if isinstance(value, Tensor) else value for value in outputs]


def _renamed(e: Context, value: Tensor, names: dict[str, str]) -> Tensor:
    axes = (replace(axis, name=names.get(axis.name or "", axis.name)) for axis in value.type.axes)
    type = value.type.with_axes(tuple(axes))
    if type == value.type:
        return value
    return Tensor(e.b.typed("rename", (value.node,), (), type, value.node.span), value.declared)

"""Forgets what only the checker needs.

Needs: a checked program. Leaves: the same values, where axes have no names, every axis of size 1 may broadcast (that
it was written 1 where the language asks for it is proved), and no `rename` stands between equal values. Does not
change kinds or sizes.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from dlc.compiler.dims import Axis, TensorType
from dlc.compiler.ir import Builder, Graph, Node, rebuild, through_bodies


@through_bodies
def erase(graph: Graph) -> Graph:
    """The program without names of axes and marks of written 1s."""
    return rebuild(graph, _plain)


def _plain(b: Builder, node: Node, inputs: tuple[Node, ...]) -> Node:
    if node.op == "rename":
        return inputs[0]
    attrs = tuple((name, _plain_attribute(value)) for name, value in node.attrs)
    return b.typed(node.op, inputs, attrs, plain_type(node.type), node.span)


def plain_type(type: TensorType) -> TensorType:
    """The type without names; an axis of size 1 counts as written 1."""
    return replace(type, axes=tuple(map(_plain_axis, type.axes)))


def _plain_axis(axis: Axis) -> Axis:
    return Axis(axis.size, None, axis.size.constant == 1)


def _plain_attribute(value: Hashable) -> Hashable:
    if isinstance(value, Axis):
        return _plain_axis(value)
    if isinstance(value, tuple):
        return tuple(map(_plain_attribute, value))
    return value

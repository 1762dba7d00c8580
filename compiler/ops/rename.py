"""`rename`: the same values under other axis names. The elaborator makes it; the first pass removes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlc.compiler.dims import Facts, TensorType
from dlc.compiler.ir import Builder, Node
from dlc.compiler.ops.base import Movement, Sample, op


@op("rename")
class Rename(Movement):
    """Made with `Builder.typed`, which gives the type; sizes never change."""

    samples = (Sample(((3, 4),)),)

    def type(self, facts: Facts, *types: TensorType, **attrs: Any) -> TensorType:
        return types[0]

    def vjp(self, b: Builder, node: Node, ct: Node) -> Sequence[Node | None]:
        return (b.typed("rename", (ct,), (), node.inputs[0].type),)

    def reference(self, *arrays: Any, **attrs: Any) -> Any:
        return arrays[0]

"""`put`: a tensor that one place of an axis is written into, as a loop fills it step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dlc.compiler.dims import ONE, Axis, Facts, TensorType, same_sizes
from dlc.compiler.ops.base import Bad, Movement, Sample, ShapeError, axes_in_place, op
from dlc.compiler.ops.numeric import np

if TYPE_CHECKING:
    from dlc.compiler.ir import Node


@op("put")
class Put(Movement):
    """x with y, of size 1 along `axis`, in the place whose number z is, counted from 1."""

    differentiable = False
    samples = (Sample(((2, 3), (2, 1), ()), (("axis", 1),), 1, 4, ("real", "real", "index")),)
    bad = (Bad(((2, 3), (3, 1), ()), "D102", (("axis", 1),)), Bad(((2, 3), (2, 2), ()), "D102", (("axis", 1),)))

    def type(self, facts: Facts, x: TensorType, y: TensorType, z: TensorType, *, axis: int) -> TensorType:
        wanted = x.with_axes(tuple(Axis(ONE, one=True) if i == axis else a for i, a in enumerate(x.axes)))
        if same_sizes(y, wanted, facts) is not None:
            raise ShapeError("D102", f"{{1}} is {y}, and one place of {{0}} along that axis is {wanted}", [(1, None)])
        return x

    def crosses(self, node: Node) -> Sequence[tuple[int, ...]]:
        return [(node.attr("axis"),), (), ()]

    def follows(self, node: Node) -> Sequence[Mapping[int, tuple[int, int]]]:
        axis = node.attr("axis")
        return [axes_in_place(node.inputs[0]), axes_in_place(node.inputs[1], but=(axis,)), {}]

    def reference(self, x: Any, y: Any, z: Any, *, axis: int) -> Any:
        result = np.array(x)
        result[(slice(None),) * axis + (int(z) - 1,)] = np.take(y, 0, axis)
        return result

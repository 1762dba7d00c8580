"""Convolutions along axes whose size is known only at run time, as products over patches.

The host's convolutions are made for one geometry. Where a spatial size is a run-time dimension, the three products of a
convolution are written with `im2col` in their place: y is the filters times the patches of x, the gradient of the
filters is dy times those patches, and the gradient of x is what the filters times dy add up to where patches overlap
(`col2im`). Each product sums over labelled axes, and becomes a matrix product over all places of all examples
(`forms.py`). A filter that sees a single place is multiplied with the image itself.

Patches are larger than their image, nine times with filters of 3 x 3: then they are copied again for the gradient of
the filters, which costs less than the memory that keeps them for all layers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from dlc.compiler.codegen.sliding import FORWARD, TO_FILTERS, TO_INPUT, parts
from dlc.compiler.dims import ONE, Axis, TensorType, Truth, less_equal, quotient
from dlc.compiler.ir import Builder, Graph, Node, rebuild

Labels = tuple[str, ...]

MOST_KEPT = 4
"""How much larger than the image its patches may be where they are kept until its filters' gradient reads them."""


def over_patches(graph: Graph) -> Graph:
    """The graph with products over patches in place of convolutions along run-time dimensions."""

    def rule(b: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
        return Unrolled(b, node, inputs).written() if _at_run_time(node) else None

    return rebuild(graph, rule) if any(map(_at_run_time, graph.nodes)) else graph


def _at_run_time(node: Node) -> bool:
    """Whether a node is a convolution along a dimension that is known only at run time, and not along m."""
    if node.op not in (FORWARD, TO_INPUT, TO_FILTERS):
        return False
    image, _, result = parts(node)
    kinds = {symbol.kind for size in image.sizes[1:-1] + result.sizes[1:-1] for symbol in size.symbols}
    return "runtime" in kinds and "batch" not in kinds


@dataclass(frozen=True)
class Unrolled:
    """One of the three products, with a label for every axis: `f0`, … of the window, `g` of the groups, `c` and `o` the
    channels of a group before and after, `m`, and `t0`, … of the places."""

    b: Builder
    node: Node
    inputs: tuple[Node, ...]

    def written(self) -> Node:
        first, second = self.inputs
        if self.node.op == FORWARD:
            return self.product(self.filters(second), self.patches(first), self.result)
        if self.node.op == TO_FILTERS:
            return self.product(self.patches(first), self.arranged(second, self.result), self.of_filters)
        given = self.filters(second), self.arranged(first, self.result)
        if self.sees_one_place:
            return self.product(*given, self.of_patches)
        axes = self.patch_axes
        made = self.product(*given, self.of_patches, TensorType(axes))
        return self.b.typed("col2im", (made,), self.attrs(self.node.type.axes), self.node.type, self.node.span)

    # --- the axes ----------------------------------------------------------------------------------------------

    @cached_property
    def axes(self) -> dict[str, Axis]:
        """The axis of each label."""
        image, filters, result = parts(self.node)
        groups = self.node.attr("groups")
        window = {f"f{i}": axis for i, axis in enumerate(filters.axes[:-2])}
        places = {f"t{i}": axis for i, axis in enumerate(result.axes[1:-1])}
        channels = {"c": filters.axes[-2], "o": Axis(quotient(filters.axes[-1].size, groups))}
        return {**window, **channels, "m": image.axes[0], **places} | ({"g": Axis(groups)} if groups != ONE else {})

    @cached_property
    def sees_one_place(self) -> bool:
        """Whether each place of the result sees the same place of the image alone."""
        image, filters, result = parts(self.node)
        still = {*filters.sizes[:-2], *self.node.attr("stride")} == {ONE}
        return still and image.sizes[1:-1] == result.sizes[1:-1]

    def labels(self, letter: str) -> Labels:
        return tuple(label for label in self.axes if label[0] == letter)

    @property
    def window(self) -> Labels:
        return () if self.sees_one_place else self.labels("f")

    @property
    def of_filters(self) -> Labels:
        return (*self.window, "c", *self.labels("g"), "o")

    @property
    def of_patches(self) -> Labels:
        if self.sees_one_place:
            return ("m", *self.labels("t"), *self.labels("g"), "c")
        return (*self.window, *self.labels("g"), "c", "m", *self.labels("t"))

    @property
    def result(self) -> Labels:
        return ("m", *self.labels("t"), *self.labels("g"), "o")

    # --- the operands ------------------------------------------------------------------------------------------

    @property
    def patch_axes(self) -> tuple[Axis, ...]:
        """The axes of the patches, with all channels in one."""
        window, places = (tuple(map(self.axes.__getitem__, self.labels(letter))) for letter in "ft")
        return (*window, parts(self.node)[0].axes[-1], self.axes["m"], *places)

    def attrs(self, axes: tuple[Axis, ...]) -> tuple[tuple[str, object], ...]:
        """How patches lie, and what axes the result has."""
        return (("axes", axes), *((name, self.node.attr(name)) for name in ("pads", "stride")))

    def patches(self, x: Node) -> tuple[Node, Labels]:
        if not self.sees_one_place:
            axes = self.patch_axes
            again = (("use", "filters"),) if self.node.op == TO_FILTERS and not self.kept else ()
            attrs = (*self.attrs(axes), *again)
            x = self.b.typed("im2col", (x,), attrs, TensorType(axes), self.node.span)
        return self.arranged(x, self.of_patches)

    @property
    def kept(self) -> bool:
        """Whether the patches are kept for the gradient of the filters, and not copied once more."""
        window = math.prod(parts(self.node)[1].sizes[:-2], start=ONE)
        return less_equal(window, MOST_KEPT * math.prod(self.node.attr("stride"), start=ONE)) is Truth.YES

    def filters(self, filters: Node) -> tuple[Node, Labels]:
        return self.arranged(filters, self.of_filters)

    def arranged(self, value: Node, labels: Labels) -> tuple[Node, Labels]:
        """A value with its channels divided among the groups, and without a window of one place."""
        return self.reshaped(value, self.type_of(labels)), labels

    def product(
        self, left: tuple[Node, Labels], right: tuple[Node, Labels], result: Labels, type: TensorType | None = None
    ) -> Node:
        """The sum of products, as a value of `type` (the convolution's own, if none is given)."""
        attrs = (("left", left[1]), ("result", result), ("right", right[1]))
        made = self.b.typed("einsum", (left[0], right[0]), attrs, self.type_of(result), self.node.span)
        return self.reshaped(made, type or self.node.type)

    def type_of(self, labels: Labels) -> TensorType:
        return TensorType(tuple(map(self.axes.__getitem__, labels)))

    def reshaped(self, value: Node, type: TensorType) -> Node:
        """The same elements as a value of `type`."""
        attrs = (("axes", type.axes),) if value.type.sizes != type.sizes else ()
        op = "reshape" if attrs else "rename"
        return value if value.type == type else self.b.typed(op, (value,), attrs, type, self.node.span)

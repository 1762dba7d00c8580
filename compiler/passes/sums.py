"""Sums over the steps of a scan, outside of the scan: `dW = sum of dz<t> @ a<t-1>.T` as one product over examples and
steps, and the sums that biases have for gradients over both at once.

What is linear is summed before it is computed: sum of W.T @ dz<t> is W.T @ sum of dz<t>.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from dlc.compiler.dims import Dim, TensorType
from dlc.compiler.ir import Builder, Node
from dlc.compiler.ops.contraction import Labels, labels_of
from dlc.compiler.passes.all_steps import summed_product
from dlc.compiler.passes.apart import parts
from dlc.compiler.passes.opened import in_order
from dlc.compiler.passes.outside import Outside, Part

MOVEMENTS = ("transpose", "permute", "reshape", "broadcast", "drop", "expand", "slice", "reverse", "rename", "concat")
"""Those whose sum over the steps is that of the sum."""


@dataclass(frozen=True, slots=True)
class _Product:
    """A product of two values of the step; `labels` are those of both and of the result, `type` is the result's."""

    operands: tuple[Node, Node]
    labels: tuple[Labels, Labels, Labels]
    type: TensorType

    @staticmethod
    def of(node: Node) -> _Product:
        left, right, result = labels_of(node)
        (first, left), (second, right) = _plain(node.inputs[0], left), _plain(node.inputs[1], right)
        return _Product((first, second), (left, right, result), node.type)

    def place(self, side: int, axis: int) -> int | None:
        """Which axis of the result an operand's axis is, where the other operand has none of it."""
        label = self.labels[side][axis]
        free = label in self.labels[2] and label not in self.labels[1 - side]
        return self.labels[2].index(label) if free else None

    def having(self, side: int, value: Node, axis: int) -> _Product:
        """The same with another operand on one side, which differs along an axis that is free."""
        place = self.place(side, axis)
        size = value.type.axes[axis]
        operands = (value, self.operands[1]) if side == 0 else (self.operands[0], value)
        axes = tuple(size if i == place else own for i, own in enumerate(self.type.axes))
        return replace(self, operands=operands, type=self.type.with_axes(axes))

    def plain(self, b: Builder, values: tuple[Node, Node]) -> Node:
        """For operands without steps."""
        left, right, result = self.labels
        return b.typed("einsum", values, (("left", left), ("result", result), ("right", right)), self.type)


@dataclass
class Sums:
    """Sums of values of a scan's step. `carried` are the sums that the scan goes on to add up, by what is added."""

    outside: Outside
    carried: Mapping[Node, str] = field(default_factory=dict)
    _found: dict[bool, dict[Node, Node | None]] = field(default_factory=dict)

    def total(self, node: Node, collect: bool = False) -> Node | None:
        """The sum of a value over all steps; None where it would need large collected values, or more of them without
        `collect`: what nothing else outside reads is better added up in the loop."""
        found = self._found.setdefault(collect, {})
        for value in in_order(node, found, self._terms):
            found[value] = self._total(value, collect)
        return found[node]

    def _terms(self, node: Node) -> Sequence[Node]:
        """The values whose sums a sum is made of."""
        outside = self.outside
        if node in self.carried or node in outside.inside or outside.is_there(node) or not outside.varies(node):
            return ()
        fixed = [not outside.varies(value) for value in node.inputs]
        scaled = (node.op == "mul" and any(fixed)) or (node.op == "div" and fixed[1])
        if scaled:
            return [value for value, same in zip(node.inputs, fixed, strict=True) if not same]
        return node.inputs if node.op in ("add", "sub", "neg", *MOVEMENTS) else ()

    def _total(self, node: Node, collect: bool) -> Node | None:
        outside, b = self.outside, self.outside.b
        if not outside.varies(node):
            return b.add("mul", b.size(outside.loop.axis.size), outside.constant(node))
        if node in self.carried:
            return outside.take(self.carried[node])
        if node.op in ("matmul", "einsum"):
            return self._product(_Product.of(node))
        if node.op == "sum":
            return self._reduced(node)
        if node.op == "scatter_add":
            return self._scattered(node)
        terms = self._terms(node)
        return (self._linear(node, terms, collect) if terms else None) or self._added(node, collect)

    def _linear(self, node: Node, terms: Sequence[Node], collect: bool) -> Node | None:
        """The op of the sums of its operands; of a factor itself."""
        values: list[Node] = []
        for value in node.inputs:
            found = self._found[collect][value] if value in terms else self.outside.constant(value)
            if found is None:
                return None
            values.append(found)
        return self.outside.b.typed(node.op, tuple(values), node.attrs, node.type, node.span)

    def _added(self, node: Node, collect: bool) -> Node | None:
        """The values of all steps, added up."""
        outside = self.outside
        wide = [size for size in node.type.sizes if size.constant != 1]
        weights = len(wide) > 1 and all(size.constant is not None for size in wide)
        there = outside.is_there(node) or outside.goes(node) or (collect and not weights)
        return self._over_time((), outside.timed(node)) if there and outside.reachable(node) else None

    def _over_time(self, axes: tuple[int, ...], value: Node) -> Node:
        """A sum over some axes and the last one, which goes."""
        b, last = self.outside.b, value.type.rank - 1
        return b.add("drop", b.add("sum", value, axes=(*axes, last)), axes=(last,))

    def _reduced(self, node: Node) -> Node | None:
        """A sum over axes and steps; of what is added up anyway, over the axes."""
        (x,), axes = node.inputs, node.attr("axes")
        outside = self.outside
        if x in self.carried:
            return outside.b.typed("sum", (outside.take(self.carried[x]),), node.attrs, node.type, node.span)
        if not outside.reachable(x):
            return None
        part = outside.part(x)
        if part is None or part.axis in axes:
            return self._over_time(axes, outside.timed(x))
        return self._of_whole(part, ("sum", axes), part.axis, partial(self._over_time, axes))

    def _scattered(self, node: Node) -> Node | None:
        """Columns added up by class: those of all steps at once."""
        outside = self.outside
        if not all(outside.varies(value) and outside.reachable(value) for value in node.inputs):
            return None
        return outside.b.typed(node.op, tuple(map(outside.timed, node.inputs)), node.attrs, node.type, node.span)

    # --- products ----------------------------------------------------------------------------------------------

    def _product(self, product: _Product) -> Node | None:
        """A sum of products."""
        outside = self.outside
        for side, value in enumerate(product.operands):
            joined = value.op == "concat" and value not in outside.inside and outside.varies(value)
            if joined and product.place(side, value.attr("axis")) is not None:
                return self._by_parts(product, side, value)
        if not all(map(outside.varies, product.operands)):
            return self._of_sum(product)
        if not all(map(outside.reachable, product.operands)):
            return None
        for side, value in enumerate(product.operands):
            part = outside.part(value)
            if part is not None and product.place(side, part.axis) is not None:
                return self._with_whole(product, side, part)
        return self._at_all_steps(product, [outside.timed(value) for value in product.operands])

    def _at_all_steps(self, product: _Product, values: list[Node]) -> Node:
        return summed_product(self.outside.b, product.labels, values, product.type)

    def _by_parts(self, product: _Product, side: int, whole: Node) -> Node | None:
        """The product of a concatenation, as a concatenation of products: the whole is nowhere."""
        axis = whole.attr("axis")
        found: list[Node] = []
        for _, value in parts(whole):
            one = self._product(product.having(side, value, axis))
            if one is None:
                return None
            found.append(one)
        return self.outside.b.add("concat", *found, axis=product.place(side, axis))

    def _of_sum(self, product: _Product) -> Node | None:
        """A product with what is the same at every step: of the sum of the other operand."""
        first, second = product.operands
        side = 0 if self.outside.varies(first) else 1
        total = self.total(product.operands[side], collect=True)
        if total is None:
            return None
        values = (total, self.outside.constant(second)) if side == 0 else (self.outside.constant(first), total)
        return product.plain(self.outside.b, values)

    def _with_whole(self, product: _Product, side: int, part: Part) -> Node:
        """The product of a part, as a part of that with all parts that are multiplied by the same."""
        other = self.outside.timed(product.operands[1 - side])
        axis = product.place(side, part.axis)
        assert axis is not None

        def write(value: Node) -> Node:
            size = value.type.axes[part.axis]
            axes = tuple(size if i == axis else own for i, own in enumerate(product.type.axes))
            values = [value, other] if side == 0 else [other, value]
            return self._at_all_steps(replace(product, type=product.type.with_axes(axes)), values)

        return self._of_whole(part, (side, product.labels, product.operands[1 - side]), axis, write)

    def _of_whole(self, part: Part, what: Hashable, axis: int, write: Callable[[Node], Node]) -> Node:
        """What is written of a part, as a part of what is written of all neighbours for which the same is asked."""
        outside = self.outside
        asked = outside.decided.asked.setdefault((part.whole, part.axis, what), {})
        asked[part.start] = part.size
        start, size = next((start, size) for start, size, of in _runs(part.whole, asked) if part.start in of)
        found = write(outside.slice(outside.timed(part.whole), part.axis, start, size))
        return outside.slice(found, axis, part.start - start, part.size)


def _plain(value: Node, labels: Labels) -> tuple[Node, Labels]:
    """An operand of a product without transpositions, which are an order of its labels."""
    while value.op in ("transpose", "permute"):
        order = value.attr("order", (1, 0))
        labels = tuple(labels[order.index(axis)] for axis in range(len(order)))
        value = value.inputs[0]
    return value, labels


def _runs(whole: Node, asked: Mapping[Dim, Dim]) -> Iterator[tuple[Dim, Dim, set[Dim]]]:
    """The neighbours among the parts of a concatenation that are asked for: where they start, how long they are
    together, and where each starts."""
    run: tuple[Dim, Dim, set[Dim]] | None = None
    for start, _ in parts(whole):
        if start in asked:
            run = (start, asked[start], {start}) if run is None else (run[0], run[1] + asked[start], {*run[2], start})
        elif run is not None:
            yield run
            run = None
    if run is not None:
        yield run

"""Values of a scan's step outside of the scan: at all steps at once, and summed over the steps.

What a value is made of comes from the sequences and constants that the scan is given, from what it carries, and from
values of the step that it collects. Which those are is decided in a first run, with leaves in their place; the second
run, when the scan stands, writes the program.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dlc.compiler.dims import Dim, TensorType
from dlc.compiler.ir import Builder, Node, topological
from dlc.compiler.ops import OPS, Elementwise, Movement
from dlc.compiler.ops.contraction import Labels, labels_of
from dlc.compiler.passes.all_steps import Operand, at_all_steps, summed_product
from dlc.compiler.passes.merge import parts
from dlc.compiler.passes.opened import Opened, Reads, Take, costly, grows_by, nominal

LINEAR = ("transpose", "permute", "reshape", "broadcast", "drop", "expand", "slice", "reverse", "rename")
"""Movements whose sum over the steps is that of the sum."""


@dataclass(frozen=True, slots=True)
class Part:
    """A value of the step that is a part of a concatenation there."""

    whole: Node
    axis: int
    start: Dim
    size: Dim


@dataclass
class Decisions:
    """What the first run leaves for the second: the collected values by name, and which parts of a concatenation were
    asked for, in which sums."""

    names: dict[Node, str] = field(default_factory=dict)
    asked: dict[Hashable, dict[Dim, Dim]] = field(default_factory=dict)


class Outside:
    """`inside` are the nodes that the next step needs: they stay in the loop, and are collected where something outside
    reads them. `carried` are the new values of the carries that stay, by what they are called. `used` are the results
    of the scan that were asked for."""

    def __init__(
        self,
        loop: Opened,
        inside: Collection[Node],
        carried: Mapping[Node, str],
        b: Builder,
        decided: Decisions | None = None,
    ) -> None:
        self.loop, self.inside, self.carried, self.b = loop, inside, carried, b
        self.first = decided is None
        self.decided = decided or Decisions()
        self.take: Take = self._leaf
        self.used: dict[str, None] = {}
        self.largest = max((0.0, *(nominal(leaf.type) for leaf in loop.scanned)))
        self.parts = _parts(loop)
        self._values: dict[Node, Node] = {}
        self._goes: dict[Node, bool] = {}

    def _leaf(self, take: str) -> Node:
        """In the first run: what stands for a result of the scan."""
        self.used[take] = None
        kind, _, number = take.partition(".")
        if kind == "out":
            (node,) = (node for node, name in self.decided.names.items() if name == take)
        else:
            node = self.loop.roots[f"carry.{number}"]
        type = node.type.with_axes((*node.type.axes, self.loop.axis))
        return self.b.typed("held", (), (("name", take),), type)

    # --- at all steps ------------------------------------------------------------------------------------------

    def operand(self, node: Node) -> Operand:
        """A value that is the same at every step, or has time as its last axis."""
        timed = self.loop.reads(node) is not Reads.CONSTANTS
        return Operand(self.timed(node) if timed else self.constant(node), timed)

    def constant(self, node: Node) -> Node:
        """A value that is the same at every step."""
        found = self._values.get(node)
        if found is None:
            found = self.loop.given.get(node) or self.b.typed(
                node.op, tuple(map(self.constant, node.inputs)), node.attrs, node.type, node.span
            )
            self._values[node] = found
        return found

    def timed(self, node: Node) -> Node:
        """A value at all steps; time is the last axis."""
        found = self._values.get(node)
        if found is None:
            found = self._values[node] = self._timed(node)
        return found

    def _timed(self, node: Node) -> Node:
        if node in self.loop.given:
            return self._given(node)
        if node in self.carried:
            return self.take(self.carried[node])
        if node in self.parts:
            part = self.parts[node]
            return self._slice(self.timed(part.whole), part.axis, part.start, part.size)
        if node not in self.decided.names and (self.goes(node) or not self.first):
            found = at_all_steps(self.b, node, [self.operand(value) for value in node.inputs], self.loop.axis)
            if found is not None:
                return found
        return self.take(self.collected(node))

    def _given(self, leaf: Node) -> Node:
        """A sequence with its scanned axis last; what is carried, before each step."""
        if leaf not in self.loop.scanned:
            return self.take(self.loop.root(leaf).replace("carry", "before"))
        value, axis = self.loop.given[leaf], self.loop.scanned[leaf]
        others = tuple(i for i in range(value.type.rank) if i != axis)
        return value if axis == len(others) else self.b.add("permute", value, order=(*others, axis))

    def collected(self, node: Node) -> str:
        """The name of a collected value."""
        names = self.decided.names
        if node not in names:
            known = (name for name, root in self.loop.roots.items() if root is node and name.startswith("out."))
            numbers = [int(name[4:]) for name in (*self.loop.roots, *names.values()) if name.startswith("out.")]
            names[node] = next(known, f"out.{1 + max(numbers, default=-1)}")
        return names[node]

    def before(self, node: Node) -> Node | None:
        """A value of sequences and constants at all steps, without the loop; None for what has no such form, or would
        be larger there than what it is made of by more than a factor."""
        if self.loop.reads(node) is Reads.CONSTANTS or node in self.loop.given:
            return self.operand(node).value
        leaves = [leaf.type for leaf in topological([node]) if leaf in self.loop.scanned]
        if grows_by(node.type) > max(1, *map(grows_by, leaves)):
            return None
        operands = [self.before(value) for value in node.inputs]
        timed = [self.loop.reads(value) is not Reads.CONSTANTS for value in node.inputs]
        found = [Operand(value, when) for value, when in zip(operands, timed, strict=True) if value is not None]
        return at_all_steps(self.b, node, found, self.loop.axis) if len(found) == len(operands) else None

    # --- what goes outside -------------------------------------------------------------------------------------

    def goes(self, node: Node) -> bool:
        """Whether a value is computed outside, of what is there and of what may be collected: it is costly, or made of
        something that is computed outside, or of what is there anyway."""
        if node not in self._goes:
            self._goes[node] = self._is_worth(node) and self._is_possible(node)
        return self._goes[node]

    def _is_worth(self, node: Node) -> bool:
        if node in self.inside or node in self.loop.given or self.loop.reads(node) is Reads.CONSTANTS:
            return False
        if costly(node):
            return True
        timed = [value for value in node.inputs if self.loop.reads(value) is not Reads.CONSTANTS]
        simple = isinstance(OPS[node.op], Elementwise | Movement)
        return any(map(self.goes, timed)) or (simple and bool(timed) and all(map(self._is_there, timed)))

    def _is_possible(self, node: Node) -> bool:
        timed = [value for value in node.inputs if self.loop.reads(value) is not Reads.CONSTANTS]
        if not self._is_small(node) or not timed or not all(map(self.reachable, timed)):
            return False
        operands = [
            Operand(
                self.b.typed("held", (), (("name", "any"),), value.type.with_axes((*value.type.axes, self.loop.axis))),
                True,
            )
            if value in timed
            else Operand(self.constant(value), False)
            for value in node.inputs
        ]
        return at_all_steps(self.b, node, operands, self.loop.axis) is not None

    def _is_there(self, node: Node) -> bool:
        return node in self.loop.given or node in self.carried or node in self.decided.names

    def reachable(self, node: Node) -> bool:
        """Whether a value can be had outside, and is not large."""
        return node in self.loop.given or node in self.carried or self._is_small(node)

    def _is_small(self, node: Node) -> bool:
        """Whether the values of all steps are at most some columns for each example and step, or no more than what the
        scan is given."""
        return grows_by(node.type) <= 1 or nominal(node.type) <= self.largest

    # --- sums over the steps -----------------------------------------------------------------------------------

    def total(self, node: Node) -> Node | None:
        """The sum of a value over all steps; None where it would need large collected values."""
        b = self.b
        if self.loop.reads(node) is Reads.CONSTANTS:
            return b.add("mul", b.size(self.loop.axis.size), self.constant(node))
        if node.op in ("matmul", "einsum"):
            return self._product(node)
        if node.op == "sum":
            return self._reduced(node)
        if node.op == "scatter_add":
            return self._scattered(node)
        constant = [self.loop.reads(value) is Reads.CONSTANTS for value in node.inputs]
        if node.op in ("add", "sub", "neg", "concat") or (node.op in LINEAR and node.inputs[0] not in self.inside):
            return self._linear(node, [self.total(value) for value in node.inputs])
        if (node.op == "mul" and any(constant)) or (node.op == "div" and constant[1]):
            values = [self.constant(x) if is_ else self.total(x) for x, is_ in zip(node.inputs, constant, strict=True)]
            return self._linear(node, values)
        return self._added(node)

    def _linear(self, node: Node, totals: Sequence[Node | None]) -> Node | None:
        values = tuple(value for value in totals if value is not None)
        whole = len(values) == len(totals)
        return self.b.typed(node.op, values, node.attrs, node.type, node.span) if whole else None

    def _added(self, node: Node) -> Node | None:
        """The collected values, added up: of a matrix that has no examples they would be large."""
        wide = [size for size in node.type.sizes if size.constant != 1]
        if not self.reachable(node) or (grows_by(node.type) == 0 and len(wide) > 1):
            return None
        return self._over_time(self.timed(node), (), node)

    def _over_time(self, value: Node, axes: tuple[int, ...], node: Node) -> Node:
        """A sum over some axes and the last one, which goes."""
        last = value.type.rank - 1
        return self.b.add("drop", self.b.add("sum", value, axes=(*axes, last)), axes=(last,))

    def _reduced(self, node: Node) -> Node | None:
        """A sum over axes and steps."""
        (x,), axes = node.inputs, node.attr("axes")
        if not self.reachable(x):
            return None
        part = self.parts.get(x)
        if part is None or part.axis in axes:
            return self._over_time(self.timed(x), axes, node)
        return self._of_whole(part, ("sum", axes), part.axis, lambda value: self._over_time(value, axes, node))

    def _scattered(self, node: Node) -> Node | None:
        """Columns added up by class: those of all steps at once."""
        timed = [self.loop.reads(value) is not Reads.CONSTANTS for value in node.inputs]
        if not all(timed) or not all(map(self.reachable, node.inputs)):
            return None
        return self.b.typed(node.op, tuple(map(self.timed, node.inputs)), node.attrs, node.type, node.span)

    def _product(self, node: Node) -> Node | None:
        """A sum of products over all steps."""
        left, right, result = labels_of(node)
        (first, left), (second, right) = _plain(node.inputs[0], left), _plain(node.inputs[1], right)
        return self._summed(_Product(first, second, (left, right, result), node.type))

    def _summed(self, product: _Product) -> Node | None:
        for side in (0, 1):
            value, label = product.operands[side], None
            if value.op == "concat" and value not in self.inside and self.loop.reads(value) is not Reads.CONSTANTS:
                label = product.labels[side][value.attr("axis")]
            if label is not None and label in product.labels[2] and label not in product.labels[1 - side]:
                return self._by_parts(product, side, product.labels[2].index(label))
        if not all(map(self.reachable, product.operands)):
            return None
        timed = [self.loop.reads(value) is not Reads.CONSTANTS for value in product.operands]
        if not all(timed):
            return self._added_up(product)
        for side in (0, 1):
            part = self.parts.get(product.operands[side])
            label = product.labels[side][part.axis] if part is not None else None
            if part is not None and label in product.labels[2] and label not in product.labels[1 - side]:
                return self._with_whole(product, side, part, product.labels[2].index(label))
        return product.written(self.b, [self.operand(value) for value in product.operands])

    def _by_parts(self, product: _Product, side: int, axis: int) -> Node | None:
        """The product of a concatenation, as a concatenation of products."""
        whole, found = product.operands[side], []
        for _, part in parts(whole):
            size = part.type.axes[whole.attr("axis")]
            axes = tuple(size if i == axis else own for i, own in enumerate(product.type.axes))
            found.append(self._summed(product.having(side, part, product.type.with_axes(axes))))
        kept = [value for value in found if value is not None]
        return self.b.add("concat", *kept, axis=axis) if len(kept) == len(found) else None

    def _added_up(self, product: _Product) -> Node | None:
        """A product with what is the same at every step: of the sum of the other operand."""
        side = next(i for i, value in enumerate(product.operands) if self.loop.reads(value) is not Reads.CONSTANTS)
        total = self.total(product.operands[side])
        if total is None:
            return None
        other = self.constant(product.operands[1 - side])
        return product.plain(self.b, (total, other) if side == 0 else (other, total))

    def _with_whole(self, product: _Product, side: int, part: Part, axis: int) -> Node:
        """The product of a part, as a part of that with all parts that are multiplied by the same."""
        other = self.operand(product.operands[1 - side])

        def write(value: Node) -> Node:
            size = value.type.axes[part.axis]
            type = product.type.with_axes(tuple(size if i == axis else a for i, a in enumerate(product.type.axes)))
            operands = [other, other]
            operands[side] = Operand(value, True)
            return replace(product, type=type).written(self.b, operands)

        return self._of_whole(part, (side, product.labels, product.operands[1 - side]), axis, write)

    def _of_whole(self, part: Part, what: Hashable, axis: int, write: Callable[[Node], Node]) -> Node:
        """What is written of a part, as a part of what is written of all neighbours for which the same is asked."""
        asked = self.decided.asked.setdefault((part.whole, part.axis, what), {})
        asked[part.start] = part.size
        start, size = next(run for run in _runs(part.whole, asked) if part.start in run[2])[:2]
        whole = write(self._slice(self.timed(part.whole), part.axis, start, size))
        return self._slice(whole, axis, part.start - start, part.size)

    def _slice(self, x: Node, axis: int, start: Dim, size: Dim) -> Node:
        return x if x.type.axes[axis].size == size else self.b.add("slice", x, axis=axis, start=start, size=size)


@dataclass(frozen=True, slots=True)
class _Product:
    """A product of two values of the step; `labels` are those of both and of the result, `type` is the result's."""

    first: Node
    second: Node
    labels: tuple[Labels, Labels, Labels]
    type: TensorType

    @property
    def operands(self) -> tuple[Node, Node]:
        return self.first, self.second

    def having(self, side: int, value: Node, type: TensorType) -> _Product:
        """The same with another operand on one side."""
        return replace(self, first=value, type=type) if side == 0 else replace(self, second=value, type=type)

    def written(self, b: Builder, operands: Sequence[Operand]) -> Node:
        """Summed over the steps."""
        return summed_product(b, self.labels, operands, self.type)

    def plain(self, b: Builder, values: tuple[Node, Node]) -> Node:
        """For operands without steps."""
        left, right, result = self.labels
        return b.typed("einsum", values, (("left", left), ("result", result), ("right", right)), self.type)


def _plain(value: Node, labels: Labels) -> tuple[Node, Labels]:
    """An operand of a product without transpositions, which are an order of its labels."""
    while value.op in ("transpose", "permute"):
        order = value.attr("order", (1, 0))
        labels = tuple(labels[order.index(axis)] for axis in range(len(order)))
        value = value.inputs[0]
    return value, labels


def _parts(loop: Opened) -> dict[Node, Part]:
    """The values that a step puts into a concatenation, each with the largest that it is in: collected, that serves for
    all of them."""
    found: dict[Node, Part] = {}
    for node in loop.graph.nodes:
        if node.op != "concat" or any(loop.reads(x) is not Reads.CARRIES or x in loop.given for x in node.inputs):
            continue
        axis = node.attr("axis")
        for start, value in parts(node):
            if value not in found or len(found[value].whole.inputs) < len(node.inputs):
                found[value] = Part(node, axis, start, value.type.axes[axis].size)
    return found


def _runs(whole: Node, asked: dict[Dim, Dim]) -> Iterator[tuple[Dim, Dim, set[Dim]]]:
    """The neighbours among the parts of a concatenation that are asked for: where they start, how long they are
    together, and where each starts."""
    run: tuple[Dim, Dim, set[Dim]] | None = None
    for start, value in parts(whole):
        size = value.type.axes[whole.attr("axis")].size
        if start not in asked:
            if run is not None:
                yield run
            run = None
        else:
            run = (run[0], run[1] + size, {*run[2], start}) if run is not None else (start, size, {start})
    if run is not None:
        yield run

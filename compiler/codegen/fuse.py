"""Which values are computed together: one group becomes one kernel.

A group runs over the rows of its values and computes its members one after the other while they are in registers or in
the first cache. There are these kinds:

- `contraction`  a matrix product, and what follows it element by element: bias, activation, mask, the update of W
- `slid`         a convolution, pooling, or the gradient of their image, and what follows it in the same way
- `filters`      the gradient of a convolution's filters, a part for each unit of work
- `stack`        a stack of matrix products, and what follows it in the same way
- `rows`         elementwise work, windows, and reductions within a row: softmax, losses, dropout, pooling, updates
- `columns`      reductions over the rows, for each column: the gradient of a bias, and its update
- `gather`       the parts of a sum that other kernels left, added up, and what follows: batch statistics, updates
- `transpose`    a copy of a matrix in the other orientation, or of the matrices of a convolution's filters
- `scatter`      sums of columns with the same class index: the gradient of a look-up
- `scan`         a loop over steps: no kernel, but a program of kernels inside the program
- `grown`        what a loop writes one place of with each step: no kernel, the place's own one writes there
- `joined`       a `concat` whose parts other kernels write in their places: no kernel

Every kind may add up *totals* over all its elements, and `slid` and `rows` also *sums* over the examples and other
axes, one for each channel: every unit leaves its part, and a `gather` adds them up. A value joins the group of one of
its operands wherever that is possible; what depends on bound values alone waits for its first reader. Cheap values are
computed again rather than stored and read. Single numbers belong to no group: the program's body computes them between
the kernels.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

from dlc.compiler.codegen.layout import Count, Layout, NotSupported, Stride, is_scalar, layout_of
from dlc.compiler.codegen.products import laid, operands, product_of, wants_copy, wants_transposed
from dlc.compiler.codegen.sliding import on_stack
from dlc.compiler.codegen.text import KernelEmitter
from dlc.compiler.codegen.values import Point, Role, operand_points, role
from dlc.compiler.codegen.views import offset_of, reached
from dlc.compiler.ir import Graph, Node
from dlc.compiler.ops import OPS, Elementwise, Loop, MatrixProduct, Reduction
from dlc.compiler.ops.loop import Step

INNER = "jklpqsuv"
"""Names of the indices inside a row, outermost first; `i` is the row."""

REMEMBERED = 1 << 14
"""Answers about nodes that are kept: the same few are asked for again and again."""

SHARING = frozenset({"contraction", "slid", "stack", "rows"})
"""Groups that a total may join because they read the same bound values."""

FOLLOWED = frozenset({"contraction", "slid", "stack", "columns", "gather"})
"""Groups that take up what follows element by element, over the same elements."""

Domain = tuple[Count, tuple[Stride, ...]]
"""Rows, and the sizes inside a row that are not 1."""


@dataclass(eq=False)
class Group:
    """`members` are computed here, in this order; `anchor` is the product, the convolution or the transposed value, and
    `bases` are what it reads from memory. A product, or a stack of them, is `whole` when a unit of its kernel has
    entire rows, so that what works on rows may follow it. A `gather` adds up the parts that its `source` left of the
    sum `gathers`, its first member."""

    kind: str
    domain: Domain
    anchor: Node | None = None
    bases: list[Node] = field(default_factory=list)
    whole: bool = False
    members: dict[Node, None] = field(default_factory=dict)
    totals: list[Node] = field(default_factory=list)
    sums: list[Node] = field(default_factory=list)
    gathers: Node | None = None
    source: Group | None = None
    before: set[Group] = field(default_factory=set)

    @property
    def computed(self) -> list[Node]:
        """Everything that the group's loops compute, in order."""
        return [*self.members, *self.totals, *self.sums]

    def given(self, node: Node) -> bool:
        """Whether a value of the group is there when its loops begin."""
        return node is self.anchor or node is self.gathers or self.kind == "scan"

    @property
    def reduction(self) -> Node:
        """The reduction over rows of a `columns` group."""
        return next(node for node in self.members if isinstance(OPS[node.op], Reduction))

    def __repr__(self) -> str:
        return f"{self.kind}{self.domain} {[f'%{node.number}' for node in self.members]} totals {len(self.totals)}"


def domain_of(layout: Layout) -> Domain:
    return layout.rows, tuple(size for size in layout.inner_sizes if size != 1)


@functools.lru_cache(maxsize=REMEMBERED)
def canonical(node: Node) -> Point:
    """The point of a member in the loops of its group: `i` for the row, `j`, `k`, `l` inside it."""
    layout = layout_of(node.type, node)
    point = ["0"] * len(layout.sizes)
    if layout.row_axis is not None and layout.rows != 1:
        point[layout.row_axis] = "i"
    names = iter(INNER)
    for axis in layout.inner:
        if layout.sizes[axis] != 1:
            point[axis] = next(names)
    return tuple(point)


@functools.lru_cache(maxsize=REMEMBERED)
def reads(node: Node, point: Point | None = None) -> tuple[tuple[Node, Point], ...]:
    """The values that an elementwise, inline or reduced value reads, seen through inline values, and where."""
    found: list[tuple[Node, Point]] = []
    operands = node.inputs
    if isinstance(OPS[node.op], Reduction):
        places = [canonical(operands[0])]
    elif role(node) is Role.WINDOWED:
        places = [("?",) * operand.type.rank for operand in operands]
    else:
        places = operand_points(node, point or canonical(node))
    if node.op == "gather":
        found.append((operands[0], ("?",)))
        operands = operands[1:]
    elif node.op == "reverse_each":
        places[0] = (*places[0][:-1], "?")  # wherever the example's length says
    for operand, place in zip(operands, places, strict=False):
        found += reads(operand, place) if role(operand) is Role.INLINE else [(operand, place)]
    return tuple(found)


@functools.lru_cache(maxsize=REMEMBERED)
def costly(node: Node) -> bool:
    """Whether storing the value and reading it is cheaper than computing it again."""
    op = OPS[node.op]
    if not isinstance(op, Elementwise):
        return True
    emitter = KernelEmitter()
    op.emit(emitter, *("x" for _ in node.inputs), **node.keywords)
    return emitter.costly


class Fusion:
    """The groups of a graph. `home` is the group that computes a value (and stores it, if it is in `stored`);
    a cheap value may be a member of other groups too, which compute it again."""

    def __init__(self, graph: Graph, panel: int) -> None:
        """`panel` is how many columns of a product the tile computes side by side."""
        self.graph, self.panel = graph, panel
        self.groups: list[Group] = []
        self.home: dict[Node, Group] = {}
        self.after: dict[Node, frozenset[Group]] = {}  # scalars: the groups whose totals they need
        self.spread: set[Node] = set()  # sums that are added up in parts
        self.seen_by: dict[Node, list[Group]] = {}  # values that groups over columns compute for themselves
        self.scans: dict[Hashable, Group] = {}
        late = results_only(graph)
        for node in graph.nodes:
            if node not in late:
                self.visit(node)
        roots = {node for node in graph.roots.values() if not is_scalar(node.type)}
        for node in reversed(graph.nodes):  # a root that reads others takes them into its group
            if node in roots:
                self.need(node)
        for node in graph.nodes:
            if node in late:
                self.visit(node)

    def visit(self, node: Node) -> None:
        part = role(node)
        if part is Role.SCALAR:
            self.scalar(node)
        elif part is Role.CONTRACTED:
            self.contraction(node)
        elif part is Role.REDUCED:
            self.reduction(node)
        elif part is Role.SCATTERED:
            self.alone("scatter", node)
        elif part is Role.SLID:
            self.slid(node)
        elif part is Role.STACKED:
            self.stack(node)
        elif part is Role.FILTERS:
            self.filters(node)
        elif part is Role.LOOPED:
            self.home[node] = group = self.scan(node)
            group.members[node] = None
        elif part is Role.GROWN:
            self.grown(node)
        elif part is Role.WINDOWED or (part is Role.COMPUTED and any(self.groups_of(v) for v, _ in reads(node))):
            self.join_or_start(node, domain_of(layout_of(node.type, node)))

    # --- the kinds of values -----------------------------------------------------------------------------------

    def scalar(self, node: Node) -> None:
        """A single number: either arithmetic on such, or a total of a group."""
        wide = [value for value in node.inputs if not is_scalar(value.type)]
        if not wide:
            self.after[node] = frozenset().union(*(self.after[value] for value in node.inputs))
            return
        if isinstance(OPS[node.op], Loop):
            self.after[node] = frozenset({self.scan(node)})
            return
        if not isinstance(OPS[node.op], Reduction):
            if isinstance(OPS[node.op], MatrixProduct):
                self.contraction(node)
                return
            raise NotSupported(f"{node.op} of a tensor as a single number", node)
        domain = domain_of(layout_of(wide[0].type, wide[0]))
        group = self.candidate(node, domain) or self.sharing(node, domain) or self.start("rows", domain)
        self.connect(node, group)
        group.totals.append(node)
        self.after[node] = frozenset({group})

    def contraction(self, node: Node) -> None:
        mirrored = wants_transposed(node, self.home)
        if mirrored is not None:
            self.alone("transpose", mirrored)
        copied = wants_copy(node, self.home)
        if copied is not None:
            self.need(copied)
        group = self.start("contraction", domain_of(layout_of(node.type, node)), node)
        self.bring(group, [operand.base for operand in operands(node, self.home)])
        product = product_of(node, group.bases)
        width = product.layout.width
        group.whole = product.form == "tile" and isinstance(width, int) and width <= self.panel
        if is_scalar(node.type):
            group.totals.append(node)
            self.after[node] = frozenset({group})
        else:
            group.members[node] = None
            self.home[node] = group

    def slid(self, node: Node) -> None:
        """A kernel that computes feature maps, and takes up what follows them element by element."""
        group = self.start("slid", domain_of(layout_of(node.type, node)), node)
        self.bring(group, [laid(operand, self.home) for operand in node.inputs])
        group.members[node] = None
        self.home[node] = group

    def stack(self, node: Node) -> None:
        """A kernel that computes a stack of matrix products row by row, and takes up what follows."""
        group = self.start("stack", domain_of(layout_of(node.type, node)), node)
        group.whole = on_stack(group.domain[1])
        self.bring(group, [reached(operand, self.home).base for operand in node.inputs])
        group.members[node] = None
        self.home[node] = group

    def filters(self, node: Node) -> None:
        """The gradient of filters is a sum over the places of all examples: parts of it, and their sum."""
        group = self.start("filters", domain_of(layout_of(node.type, node)), node)
        self.bring(group, [laid(operand, self.home) for operand in node.inputs])
        self.gather(node, group)

    def scan(self, node: Node) -> Group:
        """The group of all that one scan leaves. Sequences are read where they lie, constants as they would lie by
        themselves, and first values of carries by a kernel that copies them."""
        op = OPS[node.op]
        assert isinstance(op, Loop)
        key = op.together(node)
        if key not in self.scans:
            group = self.scans[key] = self.start("scan", domain_of(layout_of(node.type, node)), node)
            wanted: dict[Node, None] = {}
            step: Step = node.attr("step")
            for name, value in step.operands(node.inputs).items():
                if is_scalar(value.type):
                    group.before |= self.after[value]
                elif name.startswith("sequence.") and name in step.held():
                    wanted[reached(value, self.home).base] = None
                elif name.startswith("constant.") and name in step.held():
                    wanted[offset_of(value, self.home)[0]] = None
                elif name.startswith("carry.") and role(value) is Role.INLINE:
                    wanted |= dict.fromkeys(read for read, _ in reads(value) if not is_scalar(read.type))
                elif name.startswith("carry."):
                    wanted[value] = None
            for value in wanted:
                if value.op == "transpose" and value not in self.home:
                    self.alone("transpose", value)
            self.bring(group, list(wanted))
        return self.scans[key]

    def grown(self, node: Node) -> None:
        """A value of which one place is written where it lies."""
        group = self.start("grown", domain_of(layout_of(node.type, node)), node)
        self.bring(group, [node.inputs[1]])
        group.members[node] = None
        self.home[node] = group

    def bring(self, group: Group, values: list[Node]) -> None:
        """Everything that an anchor reads lies in memory."""
        group.bases = values
        for value in values:
            if value.op == "permute" and value not in self.home and role(value.inputs[0]) is Role.MEMORY:
                self.alone("transpose", value)  # filters with their channels turned
            self.need(value)
            group.before |= self.groups_of(value)

    def summed(self, node: Node, domain: Domain) -> None:
        """A sum over the examples and other axes, added up by a kernel that has the elements at hand."""
        self.spread.add(node)
        group = self.candidate(node, domain) or self.sharing(node, domain) or self.start("rows", domain)
        self.connect(node, group)
        self.gather(node, group)

    def gather(self, node: Node, source: Group) -> None:
        """The kernel that adds up the parts that `source` leaves of a sum."""
        source.sums.append(node)
        group = self.start("gather", domain_of(layout_of(node.type, node)))
        group.gathers, group.source = node, source
        group.before.add(source)
        group.members[node] = None
        self.home[node] = group

    def alone(self, kind: str, node: Node) -> None:
        """A value with a kernel of its own: a scattered one, or the stored copy of a transposed matrix for a product
        that needs its rows contiguous."""
        group = Group(kind, domain_of(layout_of(node.type, node)), node)
        self.bring(group, list(node.inputs))
        self.groups.append(group)
        group.members[node] = None
        self.home[node] = group

    def reduction(self, node: Node) -> None:
        (operand,) = node.inputs
        layout = layout_of(operand.type, operand)
        folded = {axis for axis in node.attr("axes") if layout.sizes[axis] != 1}
        inner = {axis for axis in layout.inner if layout.sizes[axis] != 1}
        if folded <= inner:
            kept = tuple(s for axis, s in zip(layout.inner, layout.inner_sizes, strict=True) if axis in inner - folded)
            self.join_or_start(node, (layout.rows, kept))
        elif folded == {layout.row_axis} and len(inner) < 2 and not domain_of(layout_of(node.type, node))[1]:
            group = self.start("columns", domain_of(layout_of(node.type, node)))  # whose rows are the columns
            self.place(node, group)
        else:
            self.summed(node, domain_of(layout))

    # --- groups ------------------------------------------------------------------------------------------------

    def start(self, kind: str, domain: Domain, anchor: Node | None = None) -> Group:
        group = Group(kind, domain, anchor)
        self.groups.append(group)
        return group

    def join_or_start(self, node: Node, domain: Domain) -> None:
        self.place(node, self.candidate(node, domain) or self.start("rows", domain))

    def candidate(self, node: Node, domain: Domain) -> Group | None:
        """The latest group of an operand that the value may join."""
        near = {group for value, _ in reads(node) if (group := self.home.get(value))}
        for group in sorted(near, key=self.groups.index, reverse=True):
            if self.fits(node, group, domain) and self.allowed(node, group):
                return group
        return None

    def sharing(self, node: Node, domain: Domain) -> Group | None:
        """A group over the same elements that reads the same bound values anyway (a regularizer beside the update)."""
        mine = set(self.bound(node))
        for group in self.groups:
            if group.domain == domain and group.kind in SHARING and self.allowed(node, group):
                theirs = {
                    value for member in group.members if member is not group.anchor for value in self.bound(member)
                }
                if mine & theirs:
                    return group
        return None

    def bound(self, node: Node) -> Iterator[Node]:
        """The bound values that a value waiting for its first reader, or a member, reads at its own place."""
        for value, _ in reads(node):
            if role(value) is Role.MEMORY:
                yield value
            elif role(value) is Role.COMPUTED and value not in self.home:
                yield from self.bound(value)

    def fits(self, node: Node, group: Group, domain: Domain) -> bool:
        """Whether a value, with its operands at its own place, belongs to the loops of a group."""
        if group.kind == "rows" or group.whole:
            return group.domain[0] == domain[0]
        inside = (
            is_scalar(node.type) or role(node) is Role.COMPUTED or (node in self.spread and group.kind != "columns")
        )
        return inside and group.kind in FOLLOWED and group.domain == domain

    def allowed(self, node: Node, group: Group) -> bool:
        """Whether everything it reads is there when the group runs, and it is there when its readers do."""
        if any(depends(group, reader) for reader in self.seen_by.get(node, ())):
            return False
        for value, point in reads(node):
            own = point == canonical(value)
            if self.home.get(value) is group:
                if not own:
                    return False
            elif value not in self.home and role(value) is Role.COMPUTED and own:
                if not self.allowed(value, group):
                    return False
            elif any(other is group or depends(other, group) for other in self.groups_of(value)):
                return False
        return True

    def groups_of(self, value: Node) -> frozenset[Group]:
        """The groups that must have run before a value can be read."""
        if is_scalar(value.type):
            return self.after[value]
        if value in self.home:
            return frozenset({self.home[value]})
        if role(value) is Role.COMPUTED or role(value) is Role.INLINE:
            return frozenset().union(*(self.groups_of(v) for v, _ in reads(value)))
        return frozenset()

    def place(self, node: Node, group: Group) -> None:
        self.connect(node, group)
        group.members[node] = None
        self.home[node] = group
        for reader in self.seen_by.get(node, ()):
            reader.before.add(group)

    def connect(self, node: Node, group: Group) -> None:
        """Place what waits for this reader, and say what must run before the group."""
        inlined = group.kind == "columns" and node not in group.members and isinstance(OPS[node.op], Reduction)
        if inlined and node.inputs[0] not in self.home and role(node.inputs[0]) is Role.COMPUTED:
            self.connect(node.inputs[0], group)  # computed inside the loop over rows
            self.seen_by.setdefault(node.inputs[0], []).append(group)
            return
        self.follow(group, node)
        waiting = self.waiting(node)
        for value, points in reversed(waiting.items()):  # first what the group cannot compute: it may need the rest too
            domain = domain_of(layout_of(value.type, value))
            if value not in self.home and not (points == {canonical(value)} and self.fits(value, group, domain)):
                self.place(value, self.start("rows", domain))
        for value in waiting:
            if value not in self.home:
                domain = domain_of(layout_of(value.type, value))
                self.place(value, group if self.allowed(value, group) else self.start("rows", domain))
        self.follow(group, node)

    def follow(self, group: Group, node: Node) -> None:
        """A group that computes a value runs after those of what it reads."""
        for value, _ in reads(node):
            group.before |= self.groups_of(value) - {group}

    def waiting(self, node: Node) -> dict[Node, set[Point]]:
        """The values without a group that a value needs, each after those that it needs itself, and where they are
        read."""
        points: dict[Node, set[Point]] = {}
        done: dict[Node, set[Point]] = {}

        def visit(reader: Node) -> None:
            for value, point in reads(reader):
                if value in points:
                    points[value].add(point)
                elif value not in self.home and role(value) is Role.COMPUTED:
                    points[value] = {point}
                    visit(value)
                    done[value] = points[value]

        visit(node)
        return done

    def need(self, node: Node) -> None:
        """Make sure that some group computes a value that has to lie in memory."""
        if role(node) is Role.MEMORY or node in self.home:
            return
        self.join_or_start(node, domain_of(layout_of(node.type, node)))


def results_only(graph: Graph) -> set[Node]:
    """The single numbers that no tensor depends on. They come last: a total that waits finds the group that reads its
    elements for another reason."""
    found: set[Node] = set()
    users = graph.users()
    for node in reversed(graph.nodes):
        if is_scalar(node.type) and all(user in found for user in users[node]):
            found.add(node)
    return found


def depends(group: Group, on: Group) -> bool:
    """Whether a group runs after another one by necessity."""
    seen: set[Group] = set()
    waiting = [group]
    while waiting:
        current = waiting.pop()
        if on in current.before:
            return True
        waiting += [other for other in current.before if other not in seen]
        seen |= current.before
    return False

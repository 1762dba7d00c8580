"""The proof that a generator reads no word before it is written: `y_hat<t>` depends on `y<s>` only for s < t.

Every value is followed with what it reads of y. Along an axis of steps, place i of a value reads y<s> for s up to
i + d: that d is kept for each such axis. That a step is there at all is read too (d = -1: to compute step t one knows
that it exists, and not whether another follows), so that what depends on the number of steps is found: a program that
knows how long y will be knows where it ends. Folding an axis of steps reads all of them, unless a causal mask has made
the later ones equal to what the fold ignores: `-1e9 if position(k) > position(q) else S` before a softmax over k.

What is not known to be causal counts as reading ahead: the answer is never silently yes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dlc.compiler.dims import Dim, Symbol
from dlc.compiler.ir import Node, topological
from dlc.compiler.ops import OPS, Contraction, Movement, Op, Reduction, Stable
from dlc.compiler.ops.loop import Step

EXISTS = -1
"""The offset of a place of which only the existence is read."""
HUGE = 1e6
"""A mask's -1e9 need not be exact: beside it other numbers do not count, and e^-HUGE is exactly 0."""
MOST_ROUNDS = 8
"""A carry that reads further ahead after so many rounds reads ahead without bound."""


@dataclass(frozen=True, slots=True)
class Reads:
    """What a value reads of y.

    `axes`: for each axis of steps its offset; a step of a scan is an axis with a negative number. `ahead` is the node
    that reads without bound. `fills[k, q] = (c, v)`: where k > q + c, the value is v whatever y is. `place = (k, c)`:
    the value is the number of its place on axis k, plus c. `number`: it is this number everywhere. `end`: it is the
    number of steps. `low`: it may be a mask's -1e9 at places that `fills` does not tell.
    """

    axes: Mapping[int, int] = field(default_factory=dict)
    ahead: Node | None = None
    fills: Mapping[tuple[int, int], tuple[int, float]] = field(default_factory=dict)
    place: tuple[int, int] | None = None
    number: float | None = None
    end: bool = False
    low: bool = False


NOTHING = Reads()


def reads_ahead(y_hat: Node, y: Node, time: Symbol | None) -> Node | None:
    """The node that reads y<t> or a later step on the way to y_hat<t>; None where no node does. The last axes of y, the
    input, and of y_hat count the steps; `time` is their number where it is known only at run time."""
    follow = _Following(time, y, {})
    found = follow.reads(y_hat)
    if found.ahead is not None:
        return found.ahead
    causal = all(axis == y_hat.type.rank - 1 and offset <= EXISTS for axis, offset in found.axes.items())
    return None if causal else follow.reader(y_hat)


def reads_of(y: Node | None, time: Symbol | None) -> Callable[[Node], Reads]:
    """What each value that depends on y reads of it, as for `reads_ahead`."""
    return _Following(time, y, {}).reads


class _Following:
    """The reads of the nodes of one program, or of the body of one of its scans."""

    def __init__(
        self, time: Symbol | None, y: Node | None, given: Mapping[str, Reads] | None = None, depth: int = 0
    ) -> None:
        self.time, self.y, self.given, self.depth = time, y, given or {}, depth
        self.known: dict[Node, Reads] = {}

    def reads(self, node: Node) -> Reads:
        for value in topological([node]):
            if value not in self.known:
                self.known[value] = self._there(value, self._of(value))
        return self.known[node]

    def reader(self, node: Node) -> Node:
        """The node next to y on a way along which y<t> reaches a value at t."""
        while True:
            before = [value for value in node.inputs if any(o > EXISTS for o in self.reads(value).axes.values())]
            if not before or all(self._is_view(value) for value in before):
                return self._inside(node)
            node = next(value for value in before if not self._is_view(value))

    def _is_view(self, node: Node) -> bool:
        """Whether a value is y itself in another form: its columns, its numbers."""
        return _seen(node) is self.y

    def _inside(self, node: Node) -> Node:
        """For a scan over y the node of its step that reads the slice."""
        step = node.attr("step")
        if not isinstance(step, Step):
            return node
        names = [name for name, value in step.operands(node.inputs).items() if self._is_view(value)]
        for inner in step.graph.nodes:
            leaves = [_seen(value) for value in inner.inputs] if inner.op not in _VIEWS else []
            if any(leaf.op == "held" and leaf.attr("name") in names for leaf in leaves):
                return inner
        return node

    def _there(self, node: Node, found: Reads) -> Reads:
        """Every axis whose size depends on the number of steps reads that its places exist."""
        new = {i: EXISTS for i, axis in enumerate(node.type.axes) if self.time in axis.size.symbols}
        missing = {axis: offset for axis, offset in new.items() if axis not in found.axes}
        return replace(found, axes={**found.axes, **missing}) if missing else found

    # --- one node --------------------------------------------------------------------------------------------------

    def _of(self, node: Node) -> Reads:
        if node is self.y:
            return Reads({node.type.rank - 1: 0})
        if node.op == "held":
            return self.given.get(str(node.attr("name")), NOTHING)
        if node.op == "constant":
            return Reads(number=node.attr("value"))
        if self.time is not None and node.op == "length" and node.attr("name") == self.time.name:
            return Reads(ahead=node, end=True)
        if self.time is not None and node.op == "size" and self.time in node.attr("dim").symbols:
            return Reads(ahead=node, end=node.attr("dim") == Dim.symbol(self.time))
        operands = [self.known[value] for value in node.inputs]
        if node.op == "mul" and operands[0].number == 1 and node.type.rank == node.inputs[1].type.rank:
            return operands[1]
        if isinstance(node.attr("step"), Step):
            return self._scan(node, operands)
        if node.op in _COMPARISONS:
            compared = self._compared(node, operands)
            if compared is not None:
                return compared
        if node.op == "position":
            axis = node.attr("axis")
            return Reads({axis: EXISTS} if axis in operands[0].axes else {}, place=(axis, 0))
        return self._combined(node, operands)

    def _combined(self, node: Node, operands: list[Reads]) -> Reads:
        """The reads of all operands, on the axes where they go on; what folds steps needs a mask."""
        op = OPS[node.op]
        moves = isinstance(op, Movement)
        ahead = next((node if read.end and not moves else read.ahead for read in operands if read.ahead), None)
        axes: dict[int, int] = {}
        everywhere = op.follows(node)
        for i, (read, follows) in enumerate(zip(operands, everywhere, strict=True)):
            masked = _folded(node, op, operands, i)
            for axis, offset in read.axes.items():
                target, via = axis, follows
                if axis >= 0 and axis not in follows:
                    if axis not in masked:
                        return Reads(ahead=ahead or node)
                    target, offset, operand = masked[axis]
                    via = everywhere[operand]
                if target >= 0 and target not in via:
                    return Reads(ahead=ahead or node)
                j, further = via[target] if target >= 0 else (target, 0)
                axes[j] = max(axes.get(j, EXISTS), offset + further)
        fills = _fills(node, op, operands)
        place, number = _same_elsewhere(node, op, operands)
        return Reads(axes, ahead, fills, place, number, moves and operands[0].end, _low(node, operands))

    def _compared(self, node: Node, operands: list[Reads]) -> Reads | None:
        """`position(k) <= position(q)` as a mask, and `position(k) <= lengths`, which says that step k is there."""
        left, right = operands
        if node.op in ("ge", "gt"):
            left, right = right, left
        less = 1 if node.op in ("lt", "gt") else 0
        if left.place is not None and right.end:
            k, c = left.place
            return Reads({**left.axes, k: c + less - 1}, number=None if c or less else 1.0)
        if left.place is None or right.place is None or left.place[0] == right.place[0]:
            return None
        (k, a), (q, b) = left.place, right.place
        bound = b - a - less
        fills = {(k, q): (bound, 0.0), (q, k): (-bound - 1, 1.0)}
        return Reads({**left.axes, **right.axes}, fills=fills)

    # --- scans -----------------------------------------------------------------------------------------------------

    def _scan(self, node: Node, operands: list[Reads]) -> Reads:
        """A step reads its own place of the sequences, and through the carries the places before it."""
        step: Step = node.attr("step")
        here = -1 - self.depth
        over_time = self.time in node.attr("axis").size.symbols
        read = [axis in operand.axes for axis, operand in zip(node.attr("axes"), operands, strict=False)]
        if node.attr("reverse") and (over_time or any(read)):
            return Reads(ahead=node)
        given = step.operands(operands)
        for i, axis in enumerate(node.attr("axes")):
            given[f"sequence.{i}"] = _sliced(operands[i], axis, here)
        if over_time:
            there = {here: EXISTS}
            given |= {name: replace(read, axes={**there, **read.axes}) for name, read in given.items()
                      if name.startswith("sequence.")}  # fmt: skip
        carries = [f"carry.{i}" for i in range(step.carries)]
        start = {name: given[name] for name in carries}
        for _ in range(MOST_ROUNDS):
            inside = _Following(self.time, None, given, self.depth + 1)
            new = {name: inside.reads(step.graph.roots[name]) for name in carries}
            before = {name: _joined(start[name], _earlier(new[name], here)) for name in carries}
            if all(before[name] == given[name] for name in carries):
                break
            given |= before
        else:
            return Reads(ahead=node)
        return self._taken(node, step, inside, given, here)

    def _taken(self, node: Node, step: Step, inside: _Following, given: Mapping[str, Reads], here: int) -> Reads:
        take: str = node.attr("take")
        kind, _, number = take.partition(".")
        read = given[f"carry.{number}"] if kind == "before" else inside.reads(step.root(take))
        axes = {axis: offset for axis, offset in read.axes.items() if axis != here}
        if kind == "last":
            over_time = self.time in node.attr("axis").size.symbols
            return Reads(axes, read.ahead or (node if here in read.axes or over_time else None), low=read.low)
        if here in read.axes:
            axes[node.type.rank - 1] = read.axes[here]
        return Reads(axes, read.ahead, low=read.low)


_VIEWS = ("rename", "one_hot", "real", "index")


def _seen(node: Node) -> Node:
    """What a value is another form of."""
    while node.op in _VIEWS and node.inputs:
        node = node.inputs[0]
    return node


def _sliced(read: Reads, axis: int, here: int) -> Reads:
    """The reads of a step's slice: the scanned axis is the step, the axes behind it move up."""

    def moved(i: int) -> int:
        return here if i == axis else i - 1 if i > axis else i

    place = None if read.place is None else (moved(read.place[0]), read.place[1])
    fills = {(moved(k), moved(q)): fill for (k, q), fill in read.fills.items()}
    axes = {moved(i): offset for i, offset in read.axes.items()}
    return Reads(axes, read.ahead, fills, place, read.number, read.end, read.low)


def _earlier(read: Reads, here: int) -> Reads:
    """The reads of what a step finds of the step before."""
    axes = {axis: offset - 1 if axis == here else offset for axis, offset in read.axes.items()}
    return Reads(axes, read.ahead, low=read.low)


def _joined(a: Reads, b: Reads) -> Reads:
    axes = {axis: max(a.axes.get(axis, b.axes.get(axis, EXISTS)), b.axes.get(axis, a.axes.get(axis, EXISTS)))
            for axis in (*a.axes, *b.axes)}  # fmt: skip
    return Reads(axes, a.ahead or b.ahead, low=a.low or b.low)


# --- masks -----------------------------------------------------------------------------------------------------

_COMPARISONS = ("le", "lt", "ge", "gt")


def _folded(node: Node, op: Op, operands: Sequence[Reads], number: int) -> dict[int, tuple[int, int, int]]:
    """For the axes of an operand that are folded whole and that a mask bounds: the axis q that bounds it, the offset
    along q, and the operand whose axis q is. In a sum of products either factor may be masked."""
    crossed = op.crosses(node)
    whole = isinstance(op, (Reduction, Stable)) or (isinstance(op, Contraction) and crossed == op.summed(node))
    found: dict[int, tuple[int, int, int]] = {}
    for place, axis in enumerate(crossed[number] if whole else ()):
        for other, read in enumerate(operands):
            for (k, q), (c, _) in read.fills.items():
                if k == crossed[other][place] and q not in crossed[other] and _ignored(op, read, (k, q)):
                    found[axis] = (q, operands[number].axes.get(axis, EXISTS) + c, other)
    return found


def _ignored(op: Op, read: Reads, pair: tuple[int, int]) -> bool:
    """Whether a fold ignores the places that a mask has filled."""
    value = read.fills[pair][1]
    return value == op.filler if op.filler != -math.inf else _leaves_some(read, pair)


def _leaves_some(read: Reads, pair: tuple[int, int]) -> bool:
    """Whether the low places of k > q + c lose against another of the same fold, that of k = q. (A softmax of nothing
    but -1e9 weighs all steps alike.)"""
    low = {found: c for found, (c, value) in read.fills.items() if value <= -HUGE}
    return pair in low and not read.low and all(found in (pair, pair[::-1]) and c >= 0 for found, c in low.items())


def _low(node: Node, operands: Sequence[Reads]) -> bool:
    """Whether a huge number gets where no mask tells: only a single comparison of places tells it of all places. What a
    choice that is known leaves aside gets nowhere."""
    if node.op == "select" and operands[0].number is not None:
        return operands[1 if operands[0].number else 2].low
    huge = any(read.number is not None and abs(read.number) >= HUGE for read in operands)
    known = all(read.number is not None for read in operands)
    chosen = any(
        (q, k) in read.fills and c + read.fills[q, k][0] == -1
        for read in operands
        for (k, q), (c, _) in read.fills.items()
    )
    return any(read.low for read in operands) or (huge and not known and not chosen)


def _known(function: Callable[..., float]) -> Callable[..., float | None]:
    return lambda *values: None if None in values else function(*values)


def _product(x: float | None, y: float | None) -> float | None:
    return 0.0 if 0.0 in (x, y) else None if x is None or y is None else x * y


def _sum(x: float | None, y: float | None) -> float | None:
    """A very low summand makes the sum very low."""
    if x is not None and y is not None:
        return x + y
    low = x if y is None else y
    return low if low is not None and low <= -HUGE else None


def _exp(x: float | None) -> float | None:
    return None if x is None or x > 0 else math.exp(x)


_VALUES: Mapping[str, Callable[..., float | None]] = {
    "add": _sum,
    "sub": lambda x, y: _sum(x, None if y is None else -y),
    "mul": _product,
    "and": _product,
    "or": lambda x, y: 1.0 if 1.0 in (x, y) else None if x is None or y is None else 0.0,
    "div": lambda x, y: 0.0 if x == 0 else x / y if x is not None and y else None,
    "select": lambda c, x, y: (x if x == y else None) if c is None else x if c else y,
    "neg": _known(lambda x: -x),
    "not": _known(lambda x: 1.0 - x),
    "exp": _exp,
    "real": _known(lambda x: x),
    "softmax": lambda x: 0.0 if x is not None and x <= -HUGE else None,
}
"""What an op makes of operands of which the value is known, or None where it is not: for a mask's places."""


def _value(op: str, values: Sequence[float | None]) -> float | None:
    """The result where it is certain: what was added to a huge number is lost, so it must not be taken off again."""
    if op not in _VALUES or not values:
        return None
    value = _VALUES[op](*values)
    inexact = op in ("add", "sub", "mul", "div") and any(v is not None and abs(v) >= HUGE for v in values)
    if value is not None and inexact and abs(value) < HUGE and not (op == "mul" and 0.0 in values):
        return None
    return value


def _fills(node: Node, op: Op, operands: list[Reads]) -> dict[tuple[int, int], tuple[int, float]]:
    """Where the result is the same whatever y is, from where the operands are."""
    if isinstance(op, Movement) and len(operands) == 1:
        return _moved_fills(node, op, operands[0])
    found: dict[tuple[int, int], tuple[int, float]] = {}
    for pair in dict.fromkeys(pair for read in operands for pair in read.fills):
        values = [read.fills[pair][1] if pair in read.fills else read.number for read in operands]
        value = _value(node.op, values)
        weighed = node.op in ("exp", "softmax")
        if weighed and not all(_leaves_some(read, pair) for read in operands):
            continue
        if value is not None:
            found[pair] = max(read.fills[pair][0] for read in operands if pair in read.fills), value
    return found


def _moved_fills(node: Node, op: Op, read: Reads) -> dict[tuple[int, int], tuple[int, float]]:
    (follows,) = op.follows(node)
    to = {axis: j for axis, (j, offset) in follows.items() if offset == 0}
    to |= {axis: axis for pair in read.fills for axis in pair if axis < 0}
    if node.op == "shift" and follows[node.attr("axis")][1]:
        to.pop(node.attr("axis"), None)
    return {(to[k], to[q]): fill for (k, q), fill in read.fills.items() if k in to and q in to}


def _same_elsewhere(node: Node, op: Op, operands: list[Reads]) -> tuple[tuple[int, int] | None, float | None]:
    """The place and the number that a value is, where an operation leaves them or adds a number to them."""
    if (isinstance(op, Movement) and len(operands) == 1) or node.op == "real":
        (read,) = operands
        follows = op.follows(node)[0]
        if read.place is None:
            return None, None if node.op == "shift" else read.number
        axis, c = read.place
        if axis < 0:
            return read.place, None
        j, offset = follows.get(axis, (None, 1))
        return ((j, c) if j is not None and not offset else None), None
    if node.op in ("add", "sub") and len(operands) == 2:
        left, right = operands
        if left.place is not None and right.number is not None and right.number == int(right.number):
            sign = 1 if node.op == "add" else -1
            return (left.place[0], left.place[1] + sign * int(right.number)), None
        if node.op == "add" and right.place is not None and left.number is not None and left.number % 1 == 0:
            return (right.place[0], right.place[1] + int(left.number)), None
    return None, _value(node.op, [read.number for read in operands])


__all__ = ["EXISTS", "Reads", "reads_ahead", "reads_of"]

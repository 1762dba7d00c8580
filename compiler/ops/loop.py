"""Loops over an axis: `scan`, whose body is a graph of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, NamedTuple

from dlc.compiler.dims import ZERO, Axis, Dim, Facts, TensorType, Truth, demand, same_sizes, tensor
from dlc.compiler.ir import Body, Builder, Graph, Node, rebuild, topological
from dlc.compiler.ir.formula import formula
from dlc.compiler.ops.base import OPS, Bad, Loop, Sample, ShapeError, op, ordinal
from dlc.compiler.ops.numeric import np


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Step(Body):
    """What one step of a scan computes.

    Roots: `carry.<i>`, the new value of carry i, and `out.<j>`, what is collected. Leaves with the op `held`:
    `sequence.<i>`, the step's slice of sequence i (its type without the scanned axis), `carry.<i>`, the carry's value
    before the step, and `constant.<i>`, a value from outside that is the same at every step.
    """

    sequences: int
    carries: int

    def held(self) -> dict[str, Node]:
        """The leaves that the scan gives, by name; one that no root needs is not there."""
        return {str(node.attr("name")): node for node in self.graph.nodes if node.op == "held"}

    def operands(self, given: Sequence[Any]) -> dict[str, Any]:
        """A scan's operands (or their arrays, or their types) by the names of the leaves that they are given to."""
        first, second = self.sequences, self.sequences + self.carries
        groups = (("sequence", given[:first]), ("carry", given[first:second]), ("constant", given[second:]))
        return {f"{group}.{i}": value for group, values in groups for i, value in enumerate(values)}

    def root(self, take: str) -> Node:
        """The value of the step that a scan's `take` is made of."""
        kind, _, number = take.partition(".")
        return self.graph.roots[take if kind == "out" else f"carry.{number}"]

    def behind(self, roots: Iterable[Node]) -> set[Node]:
        """The nodes of the step that some of its values depend on, through earlier steps too."""
        wanted = list(roots)
        while True:
            found = set(topological(wanted))
            carried = {str(node.attr("name")) for node in found if node.op == "held"}
            more = [self.graph.roots[name] for name in sorted(carried) if name.startswith("carry.")]
            if found.issuperset(more):
                return found
            wanted += more


class Run(NamedTuple):
    """What a scan's run leaves: the values at each step, in the order of the axis, and the carries after the last."""

    collected: Mapping[str, Sequence[Any]]
    carries: Mapping[str, Any]


def _write(leaves: Mapping[str, TensorType], **roots: str) -> Step:
    """A step from formulas: `carry_0 = "tanh(W @ a + x)"`; a leaf is given as `constant.0 W`."""
    b = Builder()
    names = dict(leaf.split() for leaf in leaves)
    values = {
        short: b.typed("held", (), (("name", name),), type)
        for (name, short), type in zip(names.items(), leaves.values(), strict=True)
    }
    graph = Graph.of({name.replace("_", "."): formula(text).build(b, values) for name, text in roots.items()})
    return Step(graph, *(sum(name.startswith(kind) for name in names) for kind in ("sequence.", "carry.")))


def recurrent() -> Step:
    """a<t> = tanh(W @ a<t-1> + x<t>), and a<t>^2 beside it."""
    x, w = tensor(3, 2), tensor(3, 3)
    leaves = {"sequence.0 x": x, "carry.0 a": x, "constant.0 W": w}
    return _write(leaves, carry_0="tanh(W @ a + x)", out_0="tanh(W @ a + x) ** 2")


def look_up() -> Step:
    """s<t> = s<t-1> + the sum of E's columns of the words x<t>."""
    x, s, e = tensor(2, kind="index", classes=5), tensor(3), tensor(3, 5)
    leaves = {"sequence.0 x": x, "carry.0 s": s, "constant.0 E": e}
    new = "tanh(drop(sum(gather(E, x), axes=(1,)), axes=(1,)) + s)"
    return _write(leaves, carry_0=new, out_0=f"s * {new}")


def _attrs(take: str, steps: int, axes: tuple[int, ...], reverse: bool) -> tuple[tuple[str, Hashable], ...]:
    return (("axes", axes), ("axis", Axis(Dim.of(steps))), ("reverse", reverse), ("take", take))


@op("scan")
class Scan(Loop):
    """`step` at each place of an axis, 1, 2, …, with what it carries.

    Operands: the sequences, the first values of the carries, the constants. `axes`: the scanned axis of each sequence;
    `axis`: the common time axis; `reverse`: the steps go from the last place to the first (collected values lie at
    their own step's place either way). `take` is `out.<j>` or `carry.<i>` (all new values, the last axis is new),
    `before.<i>` (carry i before each step) or `last.<i>` (carry i after the last step).
    """

    samples = (
        Sample(((3, 2, 4), (3, 2), (3, 3)), _attrs("carry.0", 4, (2,), False), body=recurrent),
        Sample(((3, 2, 1), (3, 2), (3, 3)), _attrs("out.0", 1, (2,), True), body=recurrent),
        Sample(((4, 3, 2), (3, 2), (3, 3)), _attrs("before.0", 4, (0,), False), body=recurrent),
        Sample(((3, 4, 2), (3, 2), (3, 3)), _attrs("last.0", 4, (1,), True), body=recurrent),
        Sample(((2, 4), (3,), (3, 5)), _attrs("out.0", 4, (1,), False), 0, 5, ("index", "real", "real"), look_up),
    )
    bad = (
        Bad(((3, 2, 5), (3, 2), (3, 3)), "D102", _attrs("carry.0", 4, (2,), False), recurrent),
        Bad(((3, 2, 4), (4, 2), (3, 3)), "D102", _attrs("carry.0", 4, (2,), False), recurrent),
        Bad(((3, 5, 4), (3, 2), (3, 3)), "D102", _attrs("carry.0", 4, (2,), False), recurrent),
    )

    def type(
        self,
        facts: Facts,
        *types: TensorType,
        step: Step,
        take: str,
        axes: tuple[int, ...],
        axis: Axis,
        reverse: bool,
    ) -> TensorType:
        _check_operands(facts, types, step, axes, axis)
        kind, _, number = take.partition(".")
        if kind == "last":
            return step.graph.roots[f"carry.{number}"].type
        one = types[step.sequences + int(number)] if kind == "before" else step.graph.roots[take].type
        return TensorType((*one.axes, axis), one.kind, one.classes)

    def run(self, *arrays: Any, step: Any, axes: tuple[int, ...], axis: int, reverse: bool) -> Run:
        held = step.body.operands(arrays)
        sequences = {f"sequence.{i}": np.moveaxis(arrays[i], at, -1) for i, at in enumerate(axes)}
        carries = {name: value for name, value in held.items() if name.startswith("carry.")}
        collected: dict[str, list[Any]] = {}
        for t in range(axis - 1, -1, -1) if reverse else range(axis):
            slices = {name: values[..., t] for name, values in sequences.items()}
            roots = step({**held, **slices, **carries}, t + 1)
            before = {name.replace("carry", "before"): value for name, value in carries.items()}
            for name, value in {**roots, **before}.items():
                collected.setdefault(name, [None] * axis)[t] = value
            carries = {name: roots[name] for name in carries}
        return Run(collected, carries)

    def taken(self, results: Run, take: str) -> Any:
        kind, _, number = take.partition(".")
        return results.carries[f"carry.{number}"] if kind == "last" else np.stack(results.collected[take], axis=-1)

    def pullback_all(
        self, b: Builder, results: Sequence[tuple[Node, Node]], wanted: Collection[Node]
    ) -> list[Node | None]:
        """Another scan, the other way round, over the same sequences and what the carries were before each step. Its
        step computes the forward step again and differentiates it; it carries the cotangents of the carries and adds up
        those of the constants."""
        return _pullback(b, results, wanted)

    def crosses(self, node: Node) -> Sequence[tuple[int, ...]]:
        """The scanned axes, and what the step crosses."""
        step: Step = node.attr("step")
        crossed = crossed_inside(step.behind([step.root(node.attr("take"))]), step.behind)
        result: list[tuple[int, ...]] = []
        for i, name in enumerate(step.operands(node.inputs)):
            axes = crossed.get(name, set())
            if i < step.sequences:
                scanned = node.attr("axes")[i]
                axes = {scanned, *(axis + (axis >= scanned) for axis in axes)}
            result.append(tuple(sorted(axes)))
        return result

    def work(self, node: Node) -> Dim:
        """That of all steps; the results of one scan share it."""
        each = (OPS[inner.op].work(inner) for inner in node.attr("step").graph.nodes)
        steps: Dim = node.attr("axis").size
        return steps * sum(each, start=ZERO)


def _check_operands(facts: Facts, types: Sequence[TensorType], step: Step, axes: tuple[int, ...], axis: Axis) -> None:
    """Raises `ShapeError` where the operands, the leaves and the carries' new values do not fit."""
    for i, scanned in enumerate(axes):
        size = types[i].axes[scanned].size
        if demand(size, axis.size, facts) is not Truth.YES:
            raise ShapeError(
                "D102",
                f"{{{i}}} has {size} steps in the {ordinal(scanned)} axis, and the scan has {axis.size}",
                [(i, scanned)],
                rule="a scan goes over axes of one size",
            )
    for i in range(step.carries):
        first, new = types[step.sequences + i], step.graph.roots[f"carry.{i}"].type
        if same_sizes(first, new, facts) is not None or first.kind != new.kind:
            raise ShapeError(
                "D102",
                f"{{{step.sequences + i}}} is {first} before the first step and {new} after it",
                [(step.sequences + i, None)],
                rule="what a scan carries has the same shape at every step",
            )
    leaves = step.held()
    for number, (name, type) in enumerate(step.operands(types).items()):
        inner = without(type, axes[number]) if number < len(axes) else type
        if name in leaves and same_sizes(inner, leaves[name].type, facts) is not None:
            raise ShapeError(
                "D102",
                f"{{{number}}} is {inner} at each step, and the step is written for {leaves[name].type}",
                [(number, None)],
            )


def without(type: TensorType, axis: int) -> TensorType:
    return replace(type, axes=type.axes[:axis] + type.axes[axis + 1 :])


def crossed_inside(nodes: Iterable[Node], behind: Callable[[Iterable[Node]], Iterable[Node]]) -> dict[str, set[int]]:
    """The axes of each `held` leaf that the nodes of a body may cross, where `behind` gives what a value depends on. An
    inner axis is not followed to the leaves: all axes that may be the same count, by the run-time dimensions in their
    sizes."""
    crossed: dict[str, set[int]] = {}
    for node in nodes:
        for value, axes in zip(node.inputs, OPS[node.op].crosses(node), strict=True):
            for leaf in behind([value]) if axes else ():
                if leaf.op == "held":
                    found = crossed.setdefault(leaf.attr("name"), set())
                    found.update(*(_alike(value.type.axes[axis].size, leaf.type) for axis in axes))
    return crossed


def _alike(size: Dim, type: TensorType) -> Iterator[int]:
    """The axes that may be one of this size: by a common run-time dimension, or both of known size."""
    for i, axis in enumerate(type.axes):
        if axis.size.symbols & size.symbols or (axis.size.constant is not None and size.constant is not None):
            yield i


# --- making one ------------------------------------------------------------------------------------------------


class Parts(NamedTuple):
    """A scan before its leaves are numbered: the roots of its step, and what each leaf is given; a sequence with its
    scanned axis. The root `carry.<i>` is the new value of the carry that comes i-th. `names` are the spec's own."""

    roots: Mapping[str, Node]
    sequences: Mapping[Node, tuple[Node, int]]
    carries: Mapping[Node, Node]
    constants: Mapping[Node, Node]
    names: Mapping[str, Node] = MappingProxyType({})


def closed(b: Builder, parts: Parts, axis: Axis, reverse: bool) -> Callable[[str], Node]:
    """The scan, as a function from `take` to the node. Sequences and constants that no root reads are left out."""
    graph = Graph.of(parts.roots, parts.names)
    read = set(graph.nodes)
    sequences = {leaf: given for leaf, given in parts.sequences.items() if leaf in read}
    constants = {leaf: given for leaf, given in parts.constants.items() if leaf in read}
    groups: dict[str, Mapping[Node, object]] = {"sequence": sequences, "carry": parts.carries, "constant": constants}
    names = {leaf: f"{group}.{i}" for group, found in groups.items() for i, leaf in enumerate(found)}

    def numbered(b: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
        return b.typed("held", (), (("name", names[node]),), node.type, node.span) if node in names else None

    step = Step(rebuild(graph, numbered), len(sequences), len(parts.carries))
    inputs = (*(value for value, _ in sequences.values()), *parts.carries.values(), *constants.values())
    axes = tuple(at for _, at in sequences.values())
    return lambda take: b.add("scan", *inputs, step=step, take=take, axes=axes, axis=axis, reverse=reverse)


# --- the gradient ----------------------------------------------------------------------------------------------


def _pullback(b: Builder, results: Sequence[tuple[Node, Node]], wanted: Collection[Node]) -> list[Node | None]:
    """The cotangents of a scan's operands. The forward step's leaves keep their names in the backward step until all is
    written; the cotangents that it is given are called `ct.…`, those that it carries `total.…`."""
    from dlc.compiler.autodiff import cotangent_name, differentiate

    forward = results[0][0]
    step: Step = forward.attr("step")
    given, leaves, roots = step.operands(forward.inputs), step.held(), step.graph.roots
    between = _between(step, given, wanted)
    cts = _by_take(b, results)
    w = _Writer(b)
    for name, leaf in leaves.items():
        w.give(leaf, *_forward_value(b, forward, name))
    seeds = [
        (roots[take], w.sequence(f"ct.{take}", ct)) for take, ct in cts.items() if take.startswith(("out.", "carry."))
    ]
    carried = {name: f"last.{name.partition('.')[2]}" for name in between if name.startswith("carry.")}
    incoming = {
        name: w.carry(f"total.{name}", cts.get(last) or zeros(b, given[name].type)) for name, last in carried.items()
    }
    seeds += [(roots[name], ct) for name, ct in incoming.items()]
    found = differentiate(w.inner, seeds, [leaf for name, leaf in leaves.items() if name in between])
    for name, node in step.graph.names.items():
        ct = found.get(node)
        w.names |= {name: node} if ct is None else {name: node, cotangent_name(name): ct}
    takes: dict[str, str] = {}
    for name in between:
        ct = found.get(leaves[name]) if name in leaves else None
        if name in incoming:
            parts = [ct] if ct is not None else []
            before = cts.get(name.replace("carry", "before"))
            if before is not None:
                parts.append(w.sequence(f"before.{name}", before))
            takes[name] = w.carried(incoming[name], parts)
        elif ct is not None and name.startswith("sequence."):
            takes[name] = w.collected(ct)
        elif ct is not None:
            total = w.carry(f"total.{name}", zeros(b, ct.type))
            takes[name] = w.carried(total, [total, ct])
    scan = w.finish(forward.attr("axis"), not forward.attr("reverse"))
    return [_placed(b, scan(takes[name]), forward, name) if name in takes else None for name in given]


def _between(step: Step, given: Mapping[str, Node], wanted: Collection[Node]) -> list[str]:
    """The names of the real operands whose cotangent matters: those that are wanted, and the carries that depend on
    one of them at some step."""
    from dlc.compiler.autodiff import depending

    leaves, roots = step.held(), step.graph.roots
    found = {name for name, value in given.items() if value in wanted and value.type.kind == "real"}
    while True:
        reached = depending(step.graph.nodes, [leaves[name] for name in sorted(found) if name in leaves])
        more = {name for name in given if name.startswith("carry.") and roots[name] in reached} - found
        more = {name for name in more if given[name].type.kind == "real"}
        if not more:
            return [name for name in given if name in found]
        found |= more


def _by_take(b: Builder, results: Sequence[tuple[Node, Node]]) -> dict[str, Node]:
    """The cotangent of each kind of result; two nodes may take the same."""
    cts: dict[str, Node] = {}
    for node, ct in results:
        take = node.attr("take")
        cts[take] = b.add("add", cts[take], ct) if take in cts else ct
    return cts


def _forward_value(b: Builder, forward: Node, name: str) -> tuple[Node, int | None]:
    """What the backward step is given for a leaf of the forward step, and the axis that is scanned."""
    value = forward.attr("step").operands(forward.inputs)[name]
    kind, _, number = name.partition(".")
    if kind == "constant":
        return value, None
    if kind == "sequence":
        return value, forward.attr("axes")[int(number)]
    before = b.add("scan", *forward.inputs, **{**forward.keywords, "take": f"before.{number}"})
    return before, before.type.rank - 1


def _placed(b: Builder, ct: Node, forward: Node, name: str) -> Node:
    """A sequence's collected cotangent, whose last axis is time, with the axes in the sequence's order."""
    if not name.startswith("sequence."):
        return ct
    at, last = forward.attr("axes")[int(name.partition(".")[2])], ct.type.rank - 1
    if at == last:
        return ct
    return b.add("permute", ct, order=(*range(at), last, *range(at, last)))


class _Writer:
    """A scan while it is written. Leaves are numbered in the end; sequences and constants that no root reads are left
    out."""

    def __init__(self, b: Builder) -> None:
        self.b, self.inner = b, Builder(b.facts)
        self.sequences: dict[Node, tuple[Node, int]] = {}
        self.constants: dict[Node, Node] = {}
        self.carries: dict[Node, Node] = {}
        self.roots: dict[str, Node] = {}
        self.names: dict[str, Node] = {}

    def give(self, leaf: Node, value: Node, axis: int | None) -> None:
        """Binds a leaf to slices of a value, or (without an axis) to the value."""
        if axis is None:
            self.constants[leaf] = value
        else:
            self.sequences[leaf] = (value, axis)

    def sequence(self, name: str, value: Node) -> Node:
        """A leaf for the slices along a value's last axis."""
        axis = value.type.rank - 1
        leaf = self._leaf(name, without(value.type, axis))
        self.sequences[leaf] = (value, axis)
        return leaf

    def carry(self, name: str, initial: Node) -> Node:
        """A leaf for what is carried from `initial` on."""
        leaf = self._leaf(name, initial.type)
        self.carries[leaf] = initial
        return leaf

    def carried(self, leaf: Node, parts: Sequence[Node]) -> str:
        """Says a carry's new value, a sum; how its value after the last step is called."""
        number = list(self.carries).index(leaf)
        value = parts[0] if parts else zeros(self.inner, leaf.type)
        for part in parts[1:]:
            value = self.inner.add("add", value, part)
        self.roots[f"carry.{number}"] = value
        return f"last.{number}"

    def collected(self, value: Node) -> str:
        """Collects a value; how the collection is called."""
        name = f"out.{sum(root.startswith('out.') for root in self.roots)}"
        self.roots[name] = value
        return name

    def finish(self, axis: Axis, reverse: bool) -> Callable[[str], Node]:
        """The scan, as a function from `take` to the node."""
        alive = set(topological(self.roots.values()))
        # A cotangent of places that count is masked behind what it is multiplied with: its name stays with the product.
        names = {n: v.inputs[1] if v.op == "select" and v not in alive else v for n, v in self.names.items()}
        parts = Parts(self.roots, self.sequences, self.carries, self.constants, names)
        return closed(self.b, parts, axis, reverse)

    def _leaf(self, name: str, type: TensorType) -> Node:
        return self.inner.typed("held", (), (("name", name),), type, self.b.span)


def zeros(b: Builder, type: TensorType) -> Node:
    return b.add("broadcast", b.constant(0.0), axes=type.axes) if type.rank else b.constant(0.0)

"""What is stored, what is computed again, and in which loop of its kernel each value is computed.

Fusion says where a value is computed first. Here cheap values are given to their readers, who compute them again, when
that needs no more memory traffic than reading the value would; what is left to be read by another kernel, or by a later
loop of the same one, gets room in memory.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

from dlc.compiler.codegen.fuse import REMEMBERED, Domain, Fusion, Group, canonical, costly, domain_of, reads
from dlc.compiler.codegen.layout import Stride, is_scalar, layout_of
from dlc.compiler.codegen.merging import merge, side_by_side
from dlc.compiler.codegen.sliding import large_tile, on_stack
from dlc.compiler.codegen.values import Role, role
from dlc.compiler.ir import Graph, Node
from dlc.compiler.ops import OPS, Reduction


@dataclass(frozen=True)
class Settled:
    """The groups of a program in a possible order, and the values that get room in memory."""

    groups: list[Group]
    home: dict[Node, Group]
    stored: set[Node]


def settle(graph: Graph, panel: int) -> Settled:
    """Fuse a graph and decide what is stored. `panel` is the width of the matrix tile."""
    fusion = Fusion(graph, panel)
    side_by_side(fusion, {node for name, node in graph.roots.items() if name.startswith(("update.", "gradient."))})
    merge(fusion, anything=any(node.op == "held" for node in graph.nodes))
    position = {node: number for number, node in enumerate(graph.nodes)}
    roots = {node for node in graph.roots.values() if not is_scalar(node.type)}
    kept = roots | {value for group in fusion.groups for value in must_store(group, fusion.home)}
    for group in fusion.groups:
        for value in recomputed(group, fusion, kept):
            group.members[value] = None
        group.members = dict.fromkeys(sorted(group.members, key=position.__getitem__))
    stored = {node for node in roots if role(node) is not Role.MEMORY}
    for group in fusion.groups:
        stored |= outside(group, fusion.home)
    stored |= {v for g in fusion.groups for v in must_store(g, fusion.home) if v in g.members}
    for group in fusion.groups:
        drop_unused(group, fusion.home, stored)
    groups = [group for group in fusion.groups if group.computed or group.kind == "scan"]
    for group in groups:
        group.before = {fusion.home[v] for v in outside(group, fusion.home)} | scalar_groups(group, fusion)
        if group.source is not None:
            group.before.add(group.source)
    return Settled(groups, fusion.home, stored)


def readings(group: Group, home: dict[Node, Group]) -> Iterator[tuple[Node, Node, bool]]:
    """Each reading of a member: the member, the value, and whether at the member's own place. Values that no group
    computes are seen through: they are computed on the way, inside the loop that reads them."""
    if group.kind == "scan" and group.anchor is not None:
        numbers = (value for value in group.anchor.inputs if is_scalar(value.type))
        yield from ((group.anchor, value, False) for value in (*group.bases, *numbers))
        return
    for member in group.computed:
        if member is group.gathers:
            continue
        if member is group.anchor:
            yield from ((member, value, False) for value in group.bases)
            continue
        waiting = [(member, True)]
        for node, own in waiting:
            for value, point in reads(node):
                same = own and point == canonical(value)
                if value in home or role(value) is Role.MEMORY or is_scalar(value.type):
                    yield member, value, same
                else:
                    waiting.append((value, same))


def outside(group: Group, home: dict[Node, Group]) -> set[Node]:
    """The computed values that a group reads from memory."""
    return {value for _, value, own in readings(group, home) if value in home and not (own and value in group.members)}


def must_store(group: Group, home: dict[Node, Group]) -> set[Node]:
    """What has to lie in memory whatever the readers can compute: operands of products, values read elsewhere than at
    the reader's own place, reductions, costly values, and feature maps that are too large for the stack."""
    found: set[Node] = set()
    if group.kind == "scan":
        found |= group.members.keys()
    if group.anchor is not None and (
        (group.kind == "slid" and large_tile(group.anchor))
        or (group.kind == "stack" and not group.whole and not fits_in_parts(group.domain[1]))
    ):
        found.add(group.anchor)
    times = loop_times(group)
    for member, value, own in readings(group, home):
        if value not in home:
            continue
        if value in group.members and own:
            found |= lost(member, value, group, times)
        elif not own or costly(value):
            found.add(value)
    return found


def fits_in_parts(inner: tuple[Stride, ...]) -> bool:
    """Whether a row of known size is small enough for the stack, some places of its outermost axis at a time."""
    return all(isinstance(size, int) for size in inner) and on_stack(inner[1:])


def lost(reader: Node, value: Node, group: Group, times: dict[Node, int]) -> set[Node]:
    """The costly values of an earlier loop that a member needs when it reads `value`, itself perhaps computed again."""
    if (
        group.given(value)
        or not inner_of(value)
        or (times[reader] == times[value] and loop_of(reader) == loop_of(value))
    ):
        return set()
    if costly(value):
        return {value}
    return {far for near, _ in reads(value) if near in group.members for far in lost(reader, near, group, times)}


def recomputed(group: Group, fusion: Fusion, kept: set[Node]) -> list[Node]:
    """The cheap values that a group computes again instead of reading them."""
    found: dict[Node, None] = {}
    known = outside(group, fusion.home) & kept

    def gain(value: Node) -> bool:
        """Whether the group can compute the value, and needs at most one more value from memory for it."""
        domain: Domain = domain_of(layout_of(value.type, value))
        if value in kept or costly(value) or not fusion.fits(value, group, domain) or role(value) is not Role.COMPUTED:
            return False
        new = 0
        for operand, point in reads(value):
            if is_scalar(operand.type):
                if any(other is group or group in other.before for other in fusion.after[operand]):
                    return False
            elif operand in group.members or operand in found:
                if point != canonical(operand):
                    return False
            elif role(operand) is Role.MEMORY or operand in kept:  # numbers of rows or channels cost nothing
                new += operand not in known and domain_of(layout_of(operand.type, operand)) == domain
            elif operand in fusion.home and point == canonical(operand) and gain(operand):
                found[operand] = None
            else:
                return False
        return new <= 1

    for node in list(group.members):
        if group.given(node) or (group.kind == "columns" and isinstance(OPS[node.op], Reduction)):
            continue
        for value, point in reads(node):
            if value in fusion.home and value not in group.members and point == canonical(value) and gain(value):
                found[value] = None
    return list(found)


def drop_unused(group: Group, home: dict[Node, Group], stored: set[Node]) -> None:
    """Remove members that nobody reads here and that need not be stored here."""
    for node in reversed(list(group.members)):
        if node in stored and home[node] is group:
            continue
        if not any(value is node for reader, value, _ in readings(group, home) if reader is not node):
            del group.members[node]


def scalar_groups(group: Group, fusion: Fusion) -> set[Group]:
    """The groups whose totals the members read as single numbers."""
    found: set[Group] = set()
    for _, value, _ in readings(group, fusion.home):
        if is_scalar(value.type):
            found |= fusion.after[value]
    return found - {group}


# --- loops inside a row ----------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=REMEMBERED)
def inner_of(node: Node) -> tuple[Stride, ...]:
    """The sizes inside a row, without those of 1; empty for one number a row."""
    return domain_of(layout_of(node.type, node))[1]


def loop_of(node: Node) -> tuple[Stride, ...]:
    """The loop that a member is computed in: a reduction's is that of its operand."""
    return inner_of(node.inputs[0] if isinstance(OPS[node.op], Reduction) else node)


def loop_times(group: Group) -> dict[Node, int]:
    """When each member is computed: 0 in the first loop inside a row, 1 in the next, …

    A number of the row at time t is computed before the loops of time t; a reduction at time t is added up in the
    loop of time t and is there at t + 1.
    """
    times: dict[Node, int] = {}
    for node in group.computed:
        time = 0
        for value, _ in reads(node) if not group.given(node) else ():
            if value not in times:
                continue
            later = isinstance(OPS[value.op], Reduction) or (bool(inner_of(value)) and loop_of(node) != inner_of(value))
            time = max(time, times[value] + later)
        times[node] = time
    return times


def last_uses(group: Group, stored: set[Node]) -> dict[Node, int]:
    """When the formula of each member is written out for the last time: a cheap value that is not stored is computed
    again in every later loop that reads it, and so its operands are read again."""
    times = loop_times(group)
    uses = dict(times)
    for node in reversed(group.computed):
        for value, _ in reads(node) if not group.given(node) else ():
            if value in uses and inner_of(value) and value not in stored and not isinstance(OPS[value.op], Reduction):
                uses[value] = max(uses[value], uses[node])
    return uses

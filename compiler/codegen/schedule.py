"""The order of the kernels, and which updates happen in place.

All updates of a program read the old values. An update is written over the old value when everything that reads the old
value can run before; otherwise the new value goes to a buffer of its own and is copied at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dlc.compiler.codegen.fuse import Domain, Group, depends, domain_of
from dlc.compiler.codegen.layout import is_scalar, layout_of
from dlc.compiler.codegen.stored import Settled, last_uses, loop_times, readings
from dlc.compiler.codegen.values import Role, role
from dlc.compiler.ir import Graph, Node
from dlc.compiler.ops import OPS, Reduction

BOUND_ROOTS = ("update.", "gradient.")


@dataclass(frozen=True)
class Schedule:
    """The groups in the order in which they run. `in_place` are the roots whose value is written over the old one (or
    straight into the gradient's buffer); `copies` are roots copied at the end from where their value lies."""

    groups: list[Group]
    in_place: Mapping[str, Node]
    copies: Mapping[str, Node]


def schedule(graph: Graph, settled: Settled) -> Schedule:
    """Order the groups of a program."""
    groups = list(settled.groups)
    in_place: dict[str, Node] = {}
    copies: dict[str, Node] = {}
    readers = readers_of_bound(groups, settled)
    written: set[Node] = set()
    for name, node in graph.roots.items():
        if is_scalar(node.type) or not name.startswith(BOUND_ROOTS):
            continue
        home = settled.home.get(node)
        if home is None or node in written:
            copies[name] = node
            continue
        before = readers.get(name.removeprefix("update."), {}) if name.startswith("update.") else {}
        others = [group for group in before if group is not home]
        inside = home not in before or reads_in_time(home, before[home], node, settled.stored)
        if inside and not any(depends(group, home) for group in others):
            for group in others:
                home.before.add(group)
            in_place[name] = node
            written.add(node)
        else:
            copies[name] = node
    return Schedule(ordered(groups), in_place, copies)


def readers_of_bound(groups: list[Group], settled: Settled) -> dict[str, dict[Group, list[Node | None]]]:
    """Who reads each bound value: by its name, each group with the members that read it at their own place (or None
    for a reading at another place)."""
    found: dict[str, dict[Group, list[Node | None]]] = {}
    for group in groups:
        for member, value, own in readings(group, settled.home):
            if role(value) is Role.MEMORY and value.op != "gradient":
                same = own and domain(value) == domain(member)
                found.setdefault(str(value.attr("name")), {}).setdefault(group, []).append(member if same else None)
    return found


def domain(node: Node) -> Domain:
    """Of a member; a reduction runs over that of its operand."""
    whole = node.inputs[0] if isinstance(OPS[node.op], Reduction) else node
    return domain_of(layout_of(whole.type, whole))


def reads_in_time(group: Group, readers: list[Node | None], written: Node, stored: set[Node]) -> bool:
    """Whether every reading of the old value comes before the new one is written, within the group."""
    if None in readers:
        return False
    times, uses = loop_times(group), last_uses(group, stored)
    return all(uses[reader] <= times[written] for reader in readers if reader is not None)


def ordered(groups: list[Group]) -> list[Group]:
    """A topological order that stays close to the order in which the groups were made."""
    waiting = list(groups)
    done: set[Group] = set()
    result: list[Group] = []
    while waiting:
        group = next(g for g in waiting if all(other in done for other in g.before if other is not g))
        waiting.remove(group)
        done.add(group)
        result.append(group)
    return result

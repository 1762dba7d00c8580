"""Groups over the same elements that could be one: fewer kernels, and what both read is read once.

Fusion gives each value to one of its operands' groups as it comes. Values that read the same things side by side, the
gates of a recurrent step, start a group each; here such groups are put together where nothing has to run in between.
Needs: all groups made. Does not join what reduces rows, or leaves sums.
"""

from __future__ import annotations

from itertools import combinations

from dlc.compiler.codegen.fuse import Fusion, Group, canonical, depends, domain_of, reads
from dlc.compiler.codegen.layout import LANES, is_scalar, layout_of
from dlc.compiler.codegen.values import Role, role
from dlc.compiler.ir import Node


def merge(fusion: Fusion, *, anything: bool) -> None:
    """Put groups together: those that have something to do with each other, or, in a scan's step, which has little work
    for each kernel, `anything`."""
    alike: dict[object, list[Group]] = {}
    for group in fusion.groups:
        if _simple(group):
            alike.setdefault(group.domain, []).append(group)
    for groups in alike.values():
        while (pair := next((p for p in combinations(groups, 2) if _fits(*p, anything)), None)) is not None:
            into, group = pair
            _join(fusion, into, group)
            groups.remove(group)


def _simple(group: Group) -> bool:
    """Whether all that a group computes is elementwise, over all its elements, and may as well be computed earlier."""
    return (
        group.kind == "rows"
        and not group.totals
        and not group.sums
        and bool(group.members)
        and all(
            role(node) in (Role.COMPUTED, Role.INLINE)
            and domain_of(layout_of(node.type, node)) == group.domain
            and node.op != "im2col"  # large: there when it is needed, and not before
            for node in group.members
        )
    )


def _fits(first: Group, second: Group, anything: bool) -> bool:
    """Whether two groups have something to do with each other, and nothing has to run between them."""
    mine, theirs = _readings(first), _readings(second)
    related = mine.keys() & theirs.keys() or first.members.keys() & theirs.keys() or second.members.keys() & mine.keys()
    if not (anything or related):
        return False
    if depends(first, second):
        first, second, theirs = second, first, mine
    if any(theirs.get(node, {True}) != {True} for node in first.members):
        return False  # the second reads a value of the first elsewhere than at its own place
    return not any(depends(group, first) for group in second.before if group is not first)


def _readings(group: Group) -> dict[Node, set[bool]]:
    """What lies in memory or another group computes, and whether it is read at the reader's own place."""
    found: dict[Node, set[bool]] = {}
    for node in group.members:
        for value, point in reads(node):
            if not is_scalar(value.type):
                found.setdefault(value, set()).add(point == canonical(value))
    return found


def _join(fusion: Fusion, into: Group, group: Group) -> None:
    """One group takes up another one."""
    into.members |= group.members
    into.before = (into.before | group.before) - {into, group}
    for node in group.members:
        if fusion.home.get(node) is group:
            fusion.home[node] = into
    fusion.groups.remove(group)
    for other in fusion.groups:
        if group in other.before and other is not into:
            other.before = (other.before - {group}) | {into}


# --- values side by side -------------------------------------------------------------------------------------------


def side_by_side(fusion: Fusion, bound: set[Node]) -> None:
    """A `concat` that has to lie in memory becomes a group without a kernel, where other groups compute all of its
    parts: they write them there. A part that a product reads as a matrix has to lie by itself, and so has what is
    written over `bound` values."""
    bases = {value for group in fusion.groups for value in group.bases}
    taken: set[Node] = set()
    for group in list(fusion.groups):
        for node in list(group.members) if group.kind == "rows" else ():
            parts = dict.fromkeys(node.inputs) if node.op == "concat" else {}
            alone = not any(value is node for other in group.computed for value, _ in reads(other) if other is not node)
            if parts and alone and node not in bound and len(parts) == len(node.inputs):
                if all(_written(fusion, part, bases | taken | bound) for part in parts):
                    taken |= parts.keys()
                    del group.members[node]
                    made = fusion.start("joined", group.domain, node)
                    made.members[node], made.bases = None, list(parts)
                    fusion.home[node] = made
                left = {domain_of(layout_of(value.type, value)) for value in group.members}
                group.domain = left.pop() if len(left) == 1 else group.domain
    for group in fusion.groups:
        group.before |= {fusion.home[value] for value in group.bases if fusion.home.get(value, group) is not group}


def _written(fusion: Fusion, part: Node, elsewhere: set[Node]) -> bool:
    """Whether a kernel computes a part element by element, and nothing needs it in a place of its own."""
    layout = layout_of(part.type, part)
    innermost = next((layout.sizes[axis] for axis in reversed(layout.inner) if layout.sizes[axis] != 1), 1)
    long = isinstance(innermost, int) and innermost >= LANES  # or the loop over it becomes poor code
    return part in fusion.home and part not in elsewhere and role(part) in (Role.COMPUTED, Role.REDUCED) and long

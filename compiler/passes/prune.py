"""Leaves out of each loop what nobody takes of it: a step's loss, where a prediction is all that is wanted.

Leaves: the same values. What only the results read that nobody takes, sequences and carries too, is no operand of the
loop any more: so a prediction does not ask for the targets that its loop's losses read.
"""

from __future__ import annotations

from collections.abc import Sequence

from dlc.compiler.ir import Graph, through_bodies
from dlc.compiler.passes.opened import Opened, Take, reopened


@through_bodies
def prune(graph: Graph) -> Graph:
    """The graph with scans that give what is taken of them, and no more."""
    return reopened(graph, _taken_alone)


def _taken_alone(opened: Opened, takes: Sequence[str]) -> Take | None:
    needed = opened.needed(takes)
    carried = {take.partition(".")[2] for take in takes if not take.startswith("out.")}
    idle = any(name.startswith("out.") and name not in takes for name in opened.roots)
    idle |= any(leaf not in needed and opened.root(leaf)[6:] not in carried for leaf in opened.carries)
    return opened.close(takes) if idle else None

"""Passes: each takes a graph and gives a graph, and says what it needs and what it leaves.

`run` applies a tuple of them, verifies every graph on the way, and can time and dump. Between `BEFORE_GRADIENTS` and
`AFTER_GRADIENTS` stands `differentiate`; what `dlc derive` prints is the graph before `BEFORE_CODE`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

from dlc.compiler.dims import Facts
from dlc.compiler.ir import Graph, Node
from dlc.compiler.ir.verify import BrokenGraph, verify
from dlc.compiler.passes.erase import erase
from dlc.compiler.passes.expand import expand
from dlc.compiler.passes.factor import factor
from dlc.compiler.passes.hoist import hoist
from dlc.compiler.passes.keep import keep
from dlc.compiler.passes.look_up import look_up
from dlc.compiler.passes.masks import share_masks
from dlc.compiler.passes.prune import prune
from dlc.compiler.passes.simplify import simplify
from dlc.compiler.passes.stabilise import stabilise
from dlc.compiler.passes.take_out import take_out

Pass: TypeAlias = Callable[[Graph], Graph]
Watcher: TypeAlias = Callable[[str, Graph, float], None]
"""`on_pass(name, graph, seconds)`, called after each pass with its result."""

BEFORE_GRADIENTS: tuple[Pass, ...] = (erase, stabilise, hoist)
AFTER_GRADIENTS: tuple[Pass, ...] = (simplify,)
BEFORE_CODE: tuple[Pass, ...] = (expand, share_masks, factor, keep, take_out, look_up)


def run(graph: Graph, passes: Sequence[Pass], on_pass: Watcher | None = None, facts: Facts = Facts.settled) -> Graph:
    """The graph after the passes, each verified before and after; a pass that breaks a graph raises `BrokenGraph`."""
    first = passes[0].__name__ if passes else "no pass"
    sound: set[Node] = set()
    verify(graph, facts, f"before {first}", sound=sound)
    for one in passes:
        start = time.perf_counter()
        graph = one(graph)
        seconds = time.perf_counter() - start
        verify(graph, facts, f"after {one.__name__}", sound=sound)
        if on_pass is not None:
            on_pass(one.__name__, graph, seconds)
    return graph


__all__ = [
    "AFTER_GRADIENTS",
    "BEFORE_CODE",
    "BEFORE_GRADIENTS",
    "BrokenGraph",
    "Pass",
    "Watcher",
    "erase",
    "expand",
    "factor",
    "hoist",
    "keep",
    "look_up",
    "prune",
    "run",
    "simplify",
    "stabilise",
    "take_out",
    "verify",
]

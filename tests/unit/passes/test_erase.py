"""Erasing: names of axes go, sizes stay, and a value that an annotation renamed is the value itself."""

from __future__ import annotations

from dlc.compiler.dims import ONE, Axis, Dim, Symbol, TensorType
from dlc.compiler.ir import Builder, Graph
from dlc.compiler.passes import erase, verify

M = Symbol("m", "batch")


def test_names_marks_and_renames_go() -> None:
    b = Builder()
    named = TensorType((Axis(ONE, "n"), Axis(Dim.symbol(M), "m")))
    other = TensorType((Axis(ONE, "k"), Axis(Dim.symbol(M), "examples")))
    x = b.typed("input", (), (("name", "X"),), named)
    renamed = b.typed("rename", (x,), (), other)
    value = b.add("add", b.add("exp", x), b.add("exp", renamed))
    graph = erase(Graph.of({"value": value}, {"A": renamed}))
    verify(graph)
    root = graph.roots["value"]
    assert root.inputs[0] is root.inputs[1]
    assert graph.names["A"] is root.inputs[0].inputs[0]
    assert root.type == TensorType((Axis(ONE, None, one=True), Axis(Dim.symbol(M))))


def test_sizes_in_attributes_lose_their_names_too() -> None:
    b = Builder()
    axes = (Axis(Dim.of(3), "n"), Axis(Dim.symbol(M), "m"))
    graph = erase(Graph.of({"value": b.add("broadcast", b.constant(1.0), axes=axes)}))
    assert graph.roots["value"].attr("axes") == (Axis(Dim.of(3)), Axis(Dim.symbol(M)))

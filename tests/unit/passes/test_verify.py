"""The verifier and the runner: a broken graph is shown with the node's surroundings and its line."""

from __future__ import annotations

import pytest

from dlc.compiler.dims import Symbol, tensor
from dlc.compiler.ir import Builder, Graph, Node
from dlc.compiler.passes import BrokenGraph, run, simplify, verify
from dlc.grammar.span import Span

M = Symbol("m", "batch")
SPAN = Span("net.dl", 11, 12, 11, 23)


def broken_type() -> Graph:
    """`exp` of (2, m) that claims to be (m, 2)."""
    b = Builder()
    x = b.typed("input", (), (("name", "X"),), tensor(2, M))
    y = b.typed("exp", (x,), (), tensor(M, 2), SPAN)
    return Graph.of({"value": b.typed("neg", (y,), (), tensor(M, 2))})


def test_a_wrong_type_is_shown_with_neighbours_and_line() -> None:
    with pytest.raises(BrokenGraph) as broken:
        verify(broken_type(), when="after a pass")
    text = str(broken.value)
    assert "the type rule of exp says (2, m) real after a pass" in text
    assert "reads    %0 = input" in text
    assert "read by  %2 = neg" in text
    assert "net.dl:11:12" in text


def test_an_unknown_op_a_composite_and_a_wrong_order_are_found() -> None:
    b = Builder()
    x = b.typed("input", (), (("name", "X"),), tensor(2, M))
    with pytest.raises(BrokenGraph, match="no op is called blur"):
        verify(Graph.of({"value": b.typed("blur", (x,), (), x.type)}))
    with pytest.raises(BrokenGraph, match="mean was not decomposed"):
        verify(Graph.of({"value": b.typed("mean", (x,), (("axes", (0,)),), tensor(1, M))}))
    y = b.add("exp", x)
    with pytest.raises(BrokenGraph, match="before its input"):
        verify(Graph({"value": y}, {}, (y, x)))
    with pytest.raises(BrokenGraph, match="the root value is not in the graph"):
        verify(Graph({"value": y}, {}, (x,)))


def test_refused_operands_are_found() -> None:
    b = Builder()
    x = b.typed("input", (), (("name", "X"),), tensor(2, M))
    with pytest.raises(BrokenGraph, match="matmul refuses"):
        verify(Graph.of({"value": b.typed("matmul", (x, x), (), tensor(2, M))}))


def test_the_runner_verifies_before_and_after_and_reports() -> None:
    b = Builder()
    x = b.typed("input", (), (("name", "X"),), tensor(2, M))
    good = Graph.of({"value": b.add("neg", b.add("neg", x))}, {"Z": x})
    seen: list[tuple[str, int]] = []

    def watch(name: str, graph: Graph, seconds: float) -> None:
        seen.append((name, len(graph.nodes)))
        assert seconds >= 0

    assert run(good, (simplify,), watch).roots["value"].op == "input"
    assert seen == [("simplify", 1)]
    with pytest.raises(BrokenGraph, match="before simplify"):
        run(broken_type(), (simplify,))

    def breaks(graph: Graph) -> Graph:
        return broken_type()

    with pytest.raises(BrokenGraph, match="after breaks"):
        run(good, (breaks,))


def test_a_size_of_1_may_broadcast_after_the_check() -> None:
    """That it was written 1 is proved before; a graph whose marks are gone is still one."""
    from dlc.compiler.dims import ONE, Axis

    b = Builder()
    x: Node = b.typed("input", (), (("name", "X"),), tensor(2, M))
    c = b.typed("parameter", (), (("name", "c"),), tensor(2, Axis(ONE)))
    verify(Graph.of({"value": b.typed("add", (x, c), (), x.type)}))

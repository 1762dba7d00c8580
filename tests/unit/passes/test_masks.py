"""A rectifier's mask is read from its result: the same values, and Z is not kept for the backward pass."""

from pathlib import Path

import numpy as np

from dlc.compiler.dims import TensorType, tensor
from dlc.compiler.driver import check, programs
from dlc.compiler.ir import Builder, Graph
from dlc.compiler.passes.masks import share_masks
from dlc.runtime.reference import evaluate


def kind(*sizes: int) -> TensorType:
    return tensor(*sizes)


def test_the_values_are_the_same() -> None:
    b = Builder()
    z = b.typed("input", (), (("name", "z"),), kind(5))
    ct = b.typed("input", (), (("name", "ct"),), kind(5))
    zero = b.constant(0.0)
    graph = Graph.of(
        {
            "a": b.add("max", zero, z),
            "d": b.add("select", b.add("gt", z, zero), ct, b.add("broadcast", zero, axes=z.type.axes)),
        }
    )
    shared = share_masks(graph)
    given = {("input", "z"): np.array([-1.0, -0.0, 0.0, 2.0, -3.0]), ("input", "ct"): np.arange(1.0, 6.0)}
    for name, value in evaluate(graph, given, {}).items():
        assert np.array_equal(value, evaluate(shared, given, {})[name])


def test_the_backward_pass_reads_only_the_activation() -> None:
    checked = check(Path(__file__).parents[3] / "specs" / "dense" / "deep.dl").checked
    assert checked is not None
    graph = programs(checked).graphs["train"]
    compared = [node.inputs[0].op for node in graph.nodes if node.op == "gt"]
    assert compared == ["max"] * 4

"""What single ops promise beyond their formulas: ties, kinks, zeros, NaN, overflow."""

from __future__ import annotations

import numpy as np
import pytest

from dlc.compiler.autodiff import differentiate
from dlc.compiler.dims import Dim, Symbol, tensor
from dlc.compiler.ir import Builder, Graph, Node
from dlc.compiler.ir.formula import formula
from dlc.compiler.ops import OPS, Elementwise, ShapeError, op
from dlc.runtime.reference import evaluate

M = Symbol("m", "batch")


def gradient(text: str, **arrays: list[float]) -> dict[str, np.ndarray]:
    """The gradient of the sum of a formula's elements with respect to each of its inputs."""
    b = Builder()
    inputs = {k: b.typed("input", (), (("name", k),), tensor(*np.shape(v))) for k, v in arrays.items()}
    value = formula(text).build(b, inputs)
    cotangents = differentiate(b, [(value, b.constant(1.0))], list(inputs.values()))
    graph = Graph.of({k: cotangents[x] for k, x in inputs.items() if x in cotangents})
    return evaluate(graph, {("input", k): v for k, v in arrays.items()}, {})


def test_relu_has_slope_0_at_0_however_it_is_written() -> None:
    z = [-1.0, 0.0, 1.0]
    assert gradient("max(0, z)", z=z)["z"].tolist() == [0, 0, 1]
    assert gradient("max(z, 0)", z=z)["z"].tolist() == [0, 0, 1]
    assert gradient("min(z, 0)", z=z)["z"].tolist() == [1, 0, 0]


def test_leaky_relu_has_its_slope_at_0() -> None:
    assert gradient("max(0.1 * z, z)", z=[-1.0, 0.0, 1.0])["z"].tolist() == [0.1, 0.1, 1]


def test_equal_maxima_share_the_gradient() -> None:
    assert gradient("reduce_max(z, axes=(0,))", z=[3.0, 1.0, 3.0])["z"].tolist() == [0.5, 0, 0.5]


def test_product_with_zeros() -> None:
    """d/dx of a product is the product of the others, also where x or another factor is 0."""
    assert gradient("prod(z, axes=(0,))", z=[2.0, 0.0, 5.0])["z"].tolist() == [0, 10, 0]
    assert gradient("prod(z, axes=(0,))", z=[0.0, 0.0, 5.0])["z"].tolist() == [0, 0, 0]


def test_branch_not_taken_leaks_no_nan() -> None:
    """sqrt, log and exp(1000) have no finite derivative where the other branch is taken."""
    z = [-1.0, 0.0, 4.0]
    assert gradient("select(z > 0, sqrt(z), 0)", z=z)["z"].tolist() == [0, 0, 0.25]
    assert gradient("select(z > 0, 3 * log(z) + 1, -z)", z=z)["z"].tolist() == [-1, -1, 0.75]
    assert gradient("select(z > 0, z, 2 * (exp(z) - 1))", z=[1000.0, 0.0])["z"].tolist() == [1, 2]
    assert gradient("select(z > 1, select(z > 2, 1 / (z - 3), z), log(z))", z=[3.5, 1.5])["z"].tolist() == [-4, 1]


def test_power_at_zero() -> None:
    assert gradient("x ** 2", x=[0.0, 3.0])["x"].tolist() == [0, 6]
    assert gradient("x ** 1", x=[0.0])["x"].tolist() == [1]
    both = gradient("x ** y", x=[0.0, 2.0], y=[2.0, 0.0])
    assert both["x"].tolist() == [0, 0]
    assert both["y"] == pytest.approx([0, np.log(2)])


def test_sigmoid_and_softplus_do_not_overflow() -> None:
    z = np.array([-1e4, 1e4])
    assert OPS["sigmoid"].reference(z).tolist() == [0, 1]
    assert OPS["softplus"].reference(z).tolist() == [0, 1e4]


def test_argmax_takes_the_first_of_equal_maxima() -> None:
    b = Builder()
    x = b.typed("input", (), (("name", "x"),), tensor(3, M))
    graph = Graph.of({"value": b.add("argmax", x, axes=(0,))})
    assert graph.roots["value"].type.kind == "index"
    assert graph.roots["value"].type.classes == Dim.of(3)
    array = [[1.0, 7.0], [5.0, 7.0], [5.0, 2.0]]
    assert evaluate(graph, {("input", "x"): array}, {M: 2})["value"].tolist() == [[1, 0]]


def test_known_is_0_where_a_value_is_missing() -> None:
    assert OPS["known"].reference(np.array([np.nan, 0.0, 2.0])).tolist() == [0, 1, 1]


def test_a_gradient_has_the_shape_of_its_operand() -> None:
    """A bias (n, 1) gets the sum over the examples, a scalar the sum over all."""
    grown = gradient("x * y + s", x=[[1.0, 2.0], [3.0, 4.0]], y=[[1.0], [10.0]], s=5.0)
    assert grown["y"].tolist() == [[3], [7]]
    assert grown["s"].tolist() == 4


def test_refusal_of_a_choice_names_the_operands_that_differ() -> None:
    types = [tensor(3, 4, kind="bool"), tensor(3, 4), tensor(3, 5)]
    with pytest.raises(ShapeError) as refusal:
        OPS["select"].type(Builder().facts, *types)
    assert refusal.value.message.format("c", "x", "y").startswith("c and y differ in the second axis: 4 against 5")
    assert refusal.value.operands == ((0, 1), (2, 1))


def test_an_op_needs_nothing_but_its_object() -> None:
    """A throwaway op is differentiated and run as soon as it exists; nothing else knows its name."""
    try:

        @op("cube_root")
        class CubeRoot(Elementwise):
            """The real cube root."""

            gradients = ("ct / (3 * r**2)",)

            def emit(self, e: object, x: str) -> str:
                return f"cbrt({x})"

            def reference(self, x: np.ndarray) -> np.ndarray:
                return np.cbrt(x)

        assert gradient("cube_root(2 * z)", z=[4.0])["z"] == pytest.approx(2 / (3 * 4))
    finally:
        OPS.pop("cube_root", None)


def test_an_op_without_a_part_is_refused_at_import() -> None:
    with pytest.raises(TypeError, match="lacks vjp"):

        @op("half")
        class Half(Elementwise):
            def emit(self, e: object, x: str) -> str:
                return x

            def reference(self, x: np.ndarray) -> np.ndarray:
                return x

    assert "half" not in OPS


def test_equal_values_are_one_node() -> None:
    b = Builder()
    x: Node = b.typed("input", (), (("name", "x"),), tensor(3, M))
    assert b.add("exp", x) is b.add("exp", x)

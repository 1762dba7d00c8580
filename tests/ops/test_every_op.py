"""Every op, on its own samples: declared shape, gradient, scalar text, refusals. A new op needs no new test."""

from __future__ import annotations

import math
from functools import reduce

import numpy as np
import pytest
from op_cases import SAMPLES, as_graph, bound, draw_operands, numbers

from dlc.compiler.autodiff import differentiate
from dlc.compiler.dims import Facts, tensor
from dlc.compiler.ir import Graph
from dlc.compiler.ir.verify import verify
from dlc.compiler.ops import OPS, Composite, Elementwise, Leaf, Reduction, ShapeError, Stable
from dlc.compiler.ops.leaf import Bound
from dlc.compiler.passes import erase, expand, run, simplify
from dlc.runtime.reference import evaluate

BAD = [(name, i) for name, op in sorted(OPS.items()) for i in range(len(op.bad))]
DIFFERENTIABLE = [
    (name, i) for name, i in SAMPLES if (OPS[name].differentiable or name == "mean") and OPS[name].samples[i].shapes
]
FUSED = [(name, i) for name, i in SAMPLES if isinstance(OPS[name], Elementwise)]
FOLDED = [(name, i) for name, i in SAMPLES if isinstance(OPS[name], Reduction)]
STABLE = [(name, i) for name, i in SAMPLES if isinstance(OPS[name], Stable)]


FUNCTIONS = {
    "exp": math.exp,
    "log": math.log,
    "sqrt": math.sqrt,
    "abs": abs,
    "tanh": math.tanh,
    "sin": math.sin,
    "cos": math.cos,
    "erf": math.erf,
    "sign": lambda x: float((x > 0) - (x < 0)),
    "floor": math.floor,
    "ceil": math.ceil,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "softplus": lambda x: math.log(1 + math.exp(x)),
    "isnan": math.isnan,
    "pow": math.pow,
    "max": max,
    "min": min,
    "real": float,
    "index": int,
    "inf": math.inf,
}


class PythonEmitter:
    """Scalar text that Python can evaluate."""

    def number(self, value: float) -> str:
        return repr(float(value))

    def call(self, function: str, *arguments: str) -> str:
        assert function in FUNCTIONS
        return f"{function}({', '.join(arguments)})"

    def value(self, text: str, **names: float) -> float:
        return float(eval(text, dict(FUNCTIONS), names))


def test_every_op_has_samples_and_a_page() -> None:
    for name, op in OPS.items():
        assert op.__doc__, f"{name} says nothing about itself"
        assert op.samples or isinstance(op, Bound), f"{name} has no samples, so nothing tests it"


@pytest.mark.parametrize(("name", "number"), SAMPLES)
def test_value_is_the_meaning_and_has_the_declared_shape(name: str, number: int) -> None:
    """The executor asserts the declared shape of every node; a composite's decomposition equals its meaning."""
    sample = OPS[name].samples[number]
    arrays = draw_operands(sample, np.random.default_rng(number))
    _, graph, _ = as_graph(name, sample)
    verify(graph)
    attrs = {key: numbers(value) for key, value in sample.attributes.items()}
    meaning = OPS[name].reference(*arrays, **attrs)
    value = evaluate(graph, bound(arrays), {})["value"]
    np.testing.assert_allclose(value, np.asarray(meaning, float), rtol=1e-14)


@pytest.mark.parametrize(("name", "number"), DIFFERENTIABLE)
def test_gradient_against_central_differences(name: str, number: int) -> None:
    """The course's check, |g - g'| / (|g| + |g'|) < 1e-7, for the sum of the value's elements times random numbers."""
    sample = OPS[name].samples[number]
    rng = np.random.default_rng(number)
    arrays = draw_operands(sample, rng)
    b, graph, inputs = as_graph(name, sample)
    value = graph.roots["value"]
    seed = b.typed("input", (), (("name", "seed"),), value.type)
    wrt = [x for x in inputs if x.type.kind == "real"]
    cotangents = differentiate(b, [(value, seed)], wrt)
    derived = Graph.of({x.attr("name"): cotangents[x] for x in wrt if x in cotangents})
    assert derived.roots, f"no gradient reaches an operand of {name}"
    weights = rng.normal(size=evaluate(graph, bound(arrays), {})["value"].shape)
    bindings = {**bound(arrays), ("input", "seed"): weights}
    verify(derived)
    gradients = evaluate(derived, bindings, {})
    simplified = evaluate(run(derived, (erase, simplify, expand)), bindings, {})
    for i, x in enumerate(inputs):
        if x not in cotangents:
            continue
        numerical = _central_differences(graph, arrays, i, weights)
        for gradient in (gradients[x.attr("name")], simplified[x.attr("name")]):
            scale = np.linalg.norm(gradient) + np.linalg.norm(numerical)
            assert gradient.shape == numerical.shape
            assert np.linalg.norm(gradient - numerical) <= 1e-7 * max(scale, 1e-3)


def _central_differences(graph: Graph, arrays: list[np.ndarray], which: int, weights: np.ndarray) -> np.ndarray:
    step = 1e-5
    result = np.zeros(arrays[which].shape)
    for place in np.ndindex(*arrays[which].shape):
        values = []
        for sign in (1, -1):
            moved = [array.copy() for array in arrays]
            moved[which][place] += sign * step
            values.append(float(np.sum(evaluate(graph, bound(moved), {})["value"] * weights)))
        result[place] = (values[0] - values[1]) / (2 * step)
    return result


def test_an_op_with_real_operands_is_differentiable_or_says_that_it_is_not() -> None:
    silent = {"sign", "floor", "ceil", "known", "position", "lt", "le", "gt", "ge", "eq", "ne", "argmax", "generate"}
    silent |= {"orthogonalise", "put"}
    silent |= {"window_max_gradient", "window_min_gradient", "window_prod_gradient"}
    for name, op in OPS.items():
        real = any("real" in (s.kinds or ("real",) * len(s.shapes)) for s in op.samples if s.shapes)
        if real and not isinstance(op, (Leaf, Composite)):
            assert op.differentiable != (name in silent), name


@pytest.mark.parametrize(("name", "number"), SAMPLES)
def test_no_axis_is_read_beyond_what_the_op_says(name: str, number: int) -> None:
    """`follows`: another value at place p of an operand's axis leaves the result before p - offset as it is."""
    if isinstance(OPS[name], Composite):
        return
    sample = OPS[name].samples[number]
    arrays = draw_operands(sample, np.random.default_rng(number))
    _, graph, _ = as_graph(name, sample)
    others = draw_operands(sample, np.random.default_rng(number + 1000))
    value = evaluate(graph, bound(arrays), {})["value"]
    node = graph.roots["value"]
    for i, axes in enumerate(OPS[name].follows(node)):
        for axis, (j, offset) in axes.items():
            for place in range(arrays[i].shape[axis]):
                moved = [array.copy() for array in arrays]
                at = (slice(None),) * axis + (slice(place, None),)
                moved[i][at] = others[i][at]
                earlier = (slice(None),) * j + (slice(0, max(0, place - offset)),)
                assert np.array_equal(evaluate(graph, bound(moved), {})["value"][earlier], value[earlier])


@pytest.mark.parametrize(("name", "number"), FUSED)
def test_scalar_text_is_the_meaning(name: str, number: int) -> None:
    op, sample = OPS[name], OPS[name].samples[number]
    assert isinstance(op, Elementwise)
    arrays = np.broadcast_arrays(*draw_operands(sample, np.random.default_rng(number)))
    emitter = PythonEmitter()
    text = op.emit(emitter, *[f"x{i}" for i in range(len(arrays))], **dict(sample.attrs))
    meaning = np.broadcast_to(op.reference(*arrays, **{k: numbers(v) for k, v in sample.attrs}), arrays[0].shape)
    for place in np.ndindex(*arrays[0].shape):
        scalars = {f"x{i}": float(array[place]) for i, array in enumerate(arrays)}
        assert emitter.value(text, **scalars) == pytest.approx(float(meaning[place]), rel=1e-13, abs=1e-15)


@pytest.mark.parametrize(("name", "number"), FOLDED)
def test_folding_one_by_one_is_the_meaning(name: str, number: int) -> None:
    op, sample = OPS[name], OPS[name].samples[number]
    assert isinstance(op, Reduction)
    (array,) = draw_operands(sample, np.random.default_rng(number))
    emitter = PythonEmitter()
    text = op.combine(emitter, "total", "element")
    everything = tuple(range(array.ndim))
    total = reduce(
        lambda total, element: emitter.value(text, total=total, element=float(element)),
        array.ravel(),
        emitter.value(op.identity(emitter)),
    )
    assert total == pytest.approx(float(op.reference(array, axes=everything).item()), rel=1e-13)


@pytest.mark.parametrize(("name", "number"), STABLE)
def test_stable_evaluation_is_the_meaning(name: str, number: int) -> None:
    sample = OPS[name].samples[number]
    arrays = draw_operands(sample, np.random.default_rng(number))
    _, graph, _ = as_graph(name, sample)
    expanded = expand(erase(graph))
    assert not any(isinstance(OPS[node.op], Stable) for node in expanded.nodes)
    value, again = (evaluate(g, bound(arrays), {})["value"] for g in (graph, expanded))
    np.testing.assert_allclose(again, value, rtol=1e-13)


@pytest.mark.parametrize(("name", "number"), BAD)
def test_refusal_has_its_code_and_names_the_operands(name: str, number: int) -> None:
    bad = OPS[name].bad[number]
    with pytest.raises(ShapeError) as refusal:
        OPS[name].type(Facts.empty, *(tensor(*shape) for shape in bad.shapes), **bad.attributes)
    assert refusal.value.code == bad.code
    operands = [f"operand {i}" for i in range(len(bad.shapes))]
    assert "operand" in refusal.value.message.format(*operands)
    assert all(0 <= operand < len(operands) for operand, _ in refusal.value.operands)

"""Scans: against plain loops and finite differences, several results, nested, reversed, with draws, under passes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from dlc.compiler.autodiff import differentiate
from dlc.compiler.dims import Axis, Dim, Symbol, TensorType, tensor
from dlc.compiler.elaborate.evaluation import folds_examples
from dlc.compiler.ir import Builder, Graph, Node, bodies
from dlc.compiler.ir.formula import formula
from dlc.compiler.ir.verify import BrokenGraph, verify
from dlc.compiler.ops import OPS
from dlc.compiler.ops.loop import Step
from dlc.compiler.passes import AFTER_GRADIENTS, BEFORE_CODE, BEFORE_GRADIENTS, erase, run, stabilise
from dlc.runtime.reference import evaluate

M, T = Symbol("m", "batch"), Symbol("T", "runtime")
TIME = Axis(Dim.symbol(T), "T")
Arrays = Mapping[str, np.ndarray]


def steps(sequences: Mapping[str, TensorType], carries: Mapping[str, TensorType], constants: Mapping[str, TensorType],
          **roots: str) -> Step:  # fmt: skip
    """A step from formulas over the names of its leaves; `carry_0 = "a + x"`."""
    b = Builder()
    values = {}
    for group, types in (("sequence", sequences), ("carry", carries), ("constant", constants)):
        for i, (name, type) in enumerate(types.items()):
            values[name] = b.typed("held", (), (("name", f"{group}.{i}"),), type)
    for name in roots:
        values[name] = formula(roots[name]).build(b, values)
    graph = Graph.of({name.replace("_", "."): values[name] for name in roots if name.startswith(("carry_", "out_"))})
    return Step(graph, len(sequences), len(carries))


class Program:
    """Inputs by name, and scans over them."""

    def __init__(self, **types: TensorType) -> None:
        self.b = Builder()
        self.x = {name: self.b.typed("input", (), (("name", name),), type) for name, type in types.items()}

    def scan(self, step: Step, take: str, *names: str, axes: tuple[int, ...], axis: Axis = TIME, reverse: bool = False):
        inputs = [self.x[name] for name in names]
        return self.b.add("scan", *inputs, step=step, take=take, axes=axes, axis=axis, reverse=reverse)


def bound(arrays: Arrays) -> dict[tuple[str, str], np.ndarray]:
    return {("input", name): np.asarray(array) for name, array in arrays.items()}


def value(node: Node, arrays: Arrays, sizes: Mapping[Symbol, int]) -> np.ndarray:
    graph = Graph.of({"value": node})
    verify(graph)
    return evaluate(graph, bound(arrays), sizes)["value"]


def check_gradient(program: Program, result: Node, arrays: Arrays, sizes: Mapping[Symbol, int]) -> None:
    """The gradient of a scalar with respect to every real input, as derived and after all passes, against central
    differences: the course's |g - g'| / (|g| + |g'|) < 1e-7."""
    b = program.b
    wrt = {name: x for name, x in program.x.items() if x.type.kind == "real"}
    cotangents = differentiate(b, [(result, b.constant(1.0))], list(wrt.values()))
    derived = Graph.of({name: cotangents[x] for name, x in wrt.items()})
    passed = run(derived, (*BEFORE_GRADIENTS, *AFTER_GRADIENTS, *BEFORE_CODE))
    found = evaluate(derived, bound(arrays), sizes)
    again = evaluate(passed, bound(arrays), sizes)
    forward = Graph.of({"J": result})
    for name in wrt:
        numerical = np.zeros(arrays[name].shape)
        for place in np.ndindex(*numerical.shape):
            ends = []
            for sign in (1, -1):
                moved = np.array(arrays[name], float)
                moved[place] += sign * 1e-5
                ends.append(evaluate(forward, bound({**arrays, name: moved}), sizes)["J"].item())
            numerical[place] = (ends[0] - ends[1]) / 2e-5
        for gradient in (found[name], again[name]):
            scale = np.linalg.norm(gradient) + np.linalg.norm(numerical)
            assert scale > 1e-3, name
            assert np.linalg.norm(gradient - numerical) <= 1e-7 * scale, name


def total(b: Builder, *nodes: Node) -> Node:
    """The sum of the squares of all elements, so that every result has a cotangent of its own."""
    result = b.constant(0.0)
    for number, node in enumerate(nodes, 1):
        axes = tuple(range(node.type.rank))
        squares = b.add("mul", node, node)
        one = b.add("drop", b.add("sum", squares, axes=axes), axes=axes) if axes else squares
        result = b.add("add", result, b.add("mul", b.constant(float(number)), one))
    return result


# --- the course's cells ----------------------------------------------------------------------------------------

N_A, N_X = 3, 2
GATES = {f"W_{gate}": tensor(N_A, N_A + N_X) for gate in "cufo"} | {f"b_{gate}": tensor(N_A, 1) for gate in "cufo"}
LSTM = {
    "ax": "concat(a, x, axis=0)",
    "c_tilde": "tanh(W_c @ ax + b_c)",
    "G_u": "1 / (1 + exp(-(W_u @ ax + b_u)))",
    "G_f": "1 / (1 + exp(-(W_f @ ax + b_f)))",
    "G_o": "1 / (1 + exp(-(W_o @ ax + b_o)))",
    "carry_1": "G_u * c_tilde + G_f * c",
    "carry_0": "G_o * tanh(carry_1)",
}


def lstm() -> tuple[Program, Step, tuple[str, ...]]:
    a = tensor(N_A, M)
    step = steps({"x": tensor(N_X, M)}, {"a": a, "c": a}, GATES, **LSTM)
    return Program(x=tensor(N_X, M, TIME), a0=a, c0=a, **GATES), step, ("x", "a0", "c0", *GATES)


def lstm_arrays(rng: np.random.Generator, m: int, t: int) -> dict[str, np.ndarray]:
    arrays = {"x": rng.normal(size=(N_X, m, t)), "a0": rng.normal(size=(N_A, m)), "c0": rng.normal(size=(N_A, m))}
    shapes = {name: tuple(int(size.constant or 0) for size in type.sizes) for name, type in GATES.items()}
    return arrays | {name: rng.normal(size=shape) for name, shape in shapes.items()}


def lstm_loop(v: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """The course's equations as a plain loop: all a<t>, and the last c."""

    def sigmoid(z: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-z))

    a, c, collected = v["a0"], v["c0"], []
    for t in range(v["x"].shape[2]):
        ax = np.concatenate([a, v["x"][:, :, t]])
        c_tilde = np.tanh(v["W_c"] @ ax + v["b_c"])
        u, f, o = (sigmoid(v[f"W_{gate}"] @ ax + v[f"b_{gate}"]) for gate in "ufo")
        c = u * c_tilde + f * c
        a = o * np.tanh(c)
        collected.append(a)
    return np.stack(collected, 2), c


@pytest.mark.parametrize("t", [1, 4])
def test_lstm_is_the_plain_loop(t: int) -> None:
    program, step, names = lstm()
    arrays = lstm_arrays(np.random.default_rng(t), 2, t)
    a, c = lstm_loop(arrays)
    sizes = {M: 2, T: t}
    np.testing.assert_allclose(value(program.scan(step, "carry.0", *names, axes=(2,)), arrays, sizes), a, rtol=1e-13)
    np.testing.assert_allclose(value(program.scan(step, "last.1", *names, axes=(2,)), arrays, sizes), c, rtol=1e-13)
    np.testing.assert_allclose(
        value(program.scan(step, "before.0", *names, axes=(2,)), arrays, sizes),
        np.concatenate([arrays["a0"][:, :, None], a[:, :, :-1]], 2),
    )


@pytest.mark.parametrize("t", [1, 4])
@pytest.mark.parametrize("reverse", [False, True])
def test_lstm_gradient(t: int, reverse: bool) -> None:
    program, step, names = lstm()
    results = [program.scan(step, take, *names, axes=(2,), reverse=reverse) for take in ("carry.0", "last.1")]
    arrays = lstm_arrays(np.random.default_rng(t), 2, t)
    check_gradient(program, total(program.b, *results), arrays, {M: 2, T: t})


# --- results, order, nesting -----------------------------------------------------------------------------------


def rnn(axis_first: bool = False) -> tuple[Program, Step, tuple[str, ...]]:
    """a<t> = tanh(W @ a<t-1> + x<t>); y<t> = a<t-1> * a<t> is collected too."""
    a = tensor(2, M)
    step = steps({"x": a}, {"a": a}, {"W": tensor(2, 2)}, carry_0="tanh(W @ a + x)", out_0="a * carry_0")
    x = tensor(TIME, 2, M) if axis_first else tensor(2, M, TIME)
    return Program(x=x, a0=a, W=tensor(2, 2)), step, ("x", "a0", "W")


def rnn_arrays(m: int, t: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(m + t)
    return {"x": rng.normal(size=(2, m, t)), "a0": rng.normal(size=(2, m)), "W": rng.normal(size=(2, 2))}


@pytest.mark.parametrize("takes", [("out.0",), ("last.0",), ("before.0",), ("carry.0", "out.0", "last.0", "before.0")])
def test_all_results_are_pulled_back_together(takes: tuple[str, ...]) -> None:
    program, step, names = rnn()
    results = [program.scan(step, take, *names, axes=(2,)) for take in takes]
    check_gradient(program, total(program.b, *results), rnn_arrays(3, 4), {M: 3, T: 4})


def test_a_result_that_feeds_a_later_scan() -> None:
    """The second scan reads what the first collected and what it carried: the first is pulled back after it."""
    program, step, names = rnn()
    first = program.scan(step, "carry.0", *names, axes=(2,))
    last = program.scan(step, "last.0", *names, axes=(2,))
    program.x |= {"first": first, "last": last}
    second = program.scan(step, "out.0", "first", "last", "W", axes=(2,))
    del program.x["first"], program.x["last"]
    check_gradient(program, total(program.b, first, second), rnn_arrays(2, 3), {M: 2, T: 3})


def test_reverse_is_the_scan_of_the_reversed_sequence() -> None:
    program, step, names = rnn()
    arrays, sizes = rnn_arrays(3, 5), {M: 3, T: 5}
    turned = {**arrays, "x": arrays["x"][:, :, ::-1]}
    for take in ("carry.0", "out.0", "before.0"):
        back = value(program.scan(step, take, *names, axes=(2,), reverse=True), arrays, sizes)
        forth = value(program.scan(step, take, *names, axes=(2,)), turned, sizes)
        assert np.array_equal(back, forth[:, :, ::-1])
    back = value(program.scan(step, "last.0", *names, axes=(2,), reverse=True), arrays, sizes)
    assert np.array_equal(back, value(program.scan(step, "last.0", *names, axes=(2,)), turned, sizes))


def test_any_axis_may_be_scanned() -> None:
    program, step, names = rnn()
    moved, _, _ = rnn(axis_first=True)
    arrays, sizes = rnn_arrays(3, 4), {M: 3, T: 4}
    front = {**arrays, "x": np.moveaxis(arrays["x"], 2, 0)}
    node = moved.scan(step, "carry.0", *names, axes=(0,))
    assert np.array_equal(
        value(node, front, sizes), value(program.scan(step, "carry.0", *names, axes=(2,)), arrays, sizes)
    )
    check_gradient(moved, total(moved.b, node), front, sizes)


def test_class_indices_through_a_look_up() -> None:
    a, e = tensor(2, M), tensor(2, 5)
    x = tensor(M, TIME, kind="index", classes=5)
    words = tensor(M, kind="index", classes=5)
    step = steps({"x": words}, {"a": a}, {"E": e}, carry_0="tanh(a + gather(E, x))")
    program = Program(x=x, a0=a, E=e)
    node = program.scan(step, "carry.0", "x", "a0", "E", axes=(1,))
    rng = np.random.default_rng(0)
    arrays = {"x": np.array([[0, 4, 4], [2, 1, 4]]), "a0": rng.normal(size=(2, 2)), "E": rng.normal(size=(2, 5))}
    sizes = {M: 2, T: 3}
    state, expected = arrays["a0"], []
    for t in range(3):
        state = np.tanh(state + arrays["E"][:, arrays["x"][:, t]])
        expected.append(state)
    np.testing.assert_allclose(value(node, arrays, sizes), np.stack(expected, 2), rtol=1e-14)
    arrays["x"] = arrays["x"].astype(float)
    node = program.b.add(
        "add", node, program.b.add("drop", program.b.add("sum", program.x["E"], axes=(0, 1)), axes=(0, 1))
    )
    check_gradient(program, total(program.b, node), arrays, sizes)


def nested() -> tuple[Program, Node]:
    """Attention over x at each step of s: the inner scan goes over x with the outer carry as a constant."""
    s_axis = Axis(Dim.of(3), "S")
    v = tensor(2, M)
    inner = steps({"x": v}, {"h": v}, {"q": v, "W": tensor(2, 2)}, carry_0="tanh(W @ h + x * q)")
    b = Builder()
    leaf = {
        name: b.typed("held", (), (("name", name),), type)
        for name, type in {
            "sequence.0": v,
            "carry.0": v,
            "constant.0": tensor(2, M, TIME),
            "constant.1": tensor(2, 2),
        }.items()
    }
    inputs = (leaf["constant.0"], leaf["sequence.0"], leaf["carry.0"], leaf["constant.1"])
    last = b.add("scan", *inputs, step=inner, take="last.0", axes=(2,), axis=TIME, reverse=False)
    every = b.add("scan", *inputs, step=inner, take="carry.0", axes=(2,), axis=TIME, reverse=False)
    energy = b.add("drop", b.add("sum", every, axes=(2,)), axes=(2,))
    outer = Step(Graph.of({"carry.0": last, "out.0": b.add("mul", energy, leaf["carry.0"])}), 1, 1)
    program = Program(s=tensor(2, M, s_axis), a0=v, x=tensor(2, M, TIME), W=tensor(2, 2))
    nodes = [program.scan(outer, take, "s", "a0", "x", "W", axes=(2,), axis=s_axis) for take in ("out.0", "last.0")]
    return program, total(program.b, *nodes)


def test_a_scan_in_a_step() -> None:
    program, result = nested()
    rng = np.random.default_rng(5)
    shapes = {"s": (2, 2, 3), "a0": (2, 2), "x": (2, 2, 4), "W": (2, 2)}
    arrays = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    state, expected = arrays["a0"], 0.0
    for i in range(3):
        h, energy = arrays["s"][:, :, i], np.zeros((2, 2))
        for t in range(4):
            h = np.tanh(arrays["W"] @ h + arrays["x"][:, :, t] * state)
            energy += h
        expected += np.sum((energy * state) ** 2)
        state = h
    expected += 2 * np.sum(state**2)
    assert value(result, arrays, {M: 2, T: 4}) == pytest.approx(expected, rel=1e-13)
    check_gradient(program, result, arrays, {M: 2, T: 4})


def test_the_gradient_of_a_gradient() -> None:
    """A backward scan is a scan: it can be differentiated again."""
    program, step, names = rnn()
    b = program.b
    cost = total(b, program.scan(step, "carry.0", *names, axes=(2,)))
    slope = differentiate(b, [(cost, b.constant(1.0))], [program.x["W"]])[program.x["W"]]
    check_gradient(program, total(b, slope), rnn_arrays(2, 3), {M: 2, T: 3})


# --- draws -----------------------------------------------------------------------------------------------------


def dropout() -> tuple[Program, Step]:
    b = Builder()
    a = tensor(2, M)
    x, h = (b.typed("held", (), (("name", name),), a) for name in ("sequence.0", "carry.0"))
    d = b.typed("draw_uniform", (), (("name", "D"),), a)
    kept = b.add("real", b.add("lt", d, b.constant(0.5)))
    step = Step(Graph.of({"carry.0": formula("tanh(h + x) * d").build(b, {"h": h, "x": x, "d": kept})}), 1, 1)
    return Program(x=tensor(2, M, TIME), a0=a), step


class Draws:
    """A source of draws that remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, op: str, name: str, shape: tuple[int, ...]) -> np.ndarray:
        self.asked.append(name)
        return np.random.default_rng(sum(map(ord, name))).uniform(size=shape)


def test_each_step_draws_and_all_results_are_of_one_run() -> None:
    program, step = dropout()
    nodes = {take: program.scan(step, take, "x", "a0", axes=(2,)) for take in ("carry.0", "last.0", "before.0")}
    draws = Draws()
    arrays = {"x": np.ones((2, 3, 4)), "a0": np.ones((2, 3))}
    values = evaluate(Graph.of(nodes), bound(arrays), {M: 3, T: 4}, draws)
    assert draws.asked == ["D<1>", "D<2>", "D<3>", "D<4>"]
    state = arrays["a0"]
    for t in range(4):
        kept = np.random.default_rng(sum(map(ord, f"D<{t + 1}>"))).uniform(size=(2, 3)) < 0.5
        state = np.tanh(state + 1) * kept
        np.testing.assert_allclose(values["carry.0"][:, :, t], state, rtol=1e-14)
    assert np.array_equal(values["last.0"], values["carry.0"][:, :, -1])


def test_the_backward_steps_draw_what_the_forward_steps_drew() -> None:
    program, step = dropout()
    b = program.b
    cost = total(b, program.scan(step, "carry.0", "x", "a0", axes=(2,)))
    gradient = differentiate(b, [(cost, b.constant(1.0))], [program.x["x"]])[program.x["x"]]
    draws = Draws()
    x = np.random.default_rng(1).normal(size=(2, 3, 4))
    arrays, sizes = {"x": x, "a0": np.ones((2, 3))}, {M: 3, T: 4}
    found = evaluate(Graph.of({"dx": gradient}), bound(arrays), sizes, draws)["dx"]
    assert draws.asked == [f"D<{t}>" for t in (1, 2, 3, 4, 4, 3, 2, 1)]
    numerical = np.zeros_like(x)
    for place in np.ndindex(*x.shape):
        ends = []
        for sign in (1, -1):
            moved = x.copy()
            moved[place] += sign * 1e-5
            ends.append(evaluate(Graph.of({"J": cost}), bound({**arrays, "x": moved}), sizes, Draws())["J"].item())
        numerical[place] = (ends[0] - ends[1]) / 2e-5
    assert np.linalg.norm(found - numerical) <= 1e-7 * np.linalg.norm(numerical)


# --- what passes and proofs see --------------------------------------------------------------------------------


def inner_ops(graph: Graph) -> set[str]:
    return {node.op for outer in graph.nodes for body in bodies(outer) for node in body.graph.nodes}


def test_a_formula_inside_a_step_becomes_its_stable_form() -> None:
    a = tensor(3, M)
    text = "log(exp(a + x) / sum(exp(a + x), axes=(0,)))"
    step = steps({"x": a}, {"a": a}, {}, carry_0=text)
    program = Program(x=tensor(3, M, TIME), a0=a)
    nodes = {take: program.scan(step, take, "x", "a0", axes=(2,)) for take in ("carry.0", "last.0")}
    graph = run(Graph.of(nodes), (erase, stabilise))
    assert "log_softmax" in inner_ops(graph)
    assert not inner_ops(graph) & {"exp", "log"}
    assert len({body for node in graph.nodes for body in bodies(node)}) == 1
    arrays = {"x": np.full((3, 1, 2), 1000.0) * np.array([1.0, 0.0, -1.0])[:, None, None], "a0": np.zeros((3, 1))}
    assert np.isfinite(evaluate(graph, bound(arrays), {M: 1, T: 2})["carry.0"]).all()


def test_the_backward_scan_is_given_only_what_it_reads() -> None:
    """The sum's gradient needs neither the sequence nor the carries."""
    a = tensor(2, M)
    step = steps({"x": a}, {"a": a}, {}, carry_0="a + x")
    program = Program(x=tensor(2, M, TIME), a0=a)
    b = program.b
    last = program.scan(step, "last.0", "x", "a0", axes=(2,))
    gradient = differentiate(b, [(last, b.constant(1.0))], [program.x["x"]])[program.x["x"]]
    graph = Graph.of({"dx": gradient})
    assert not [node for node in graph.nodes if node.op == "input"]
    assert evaluate(graph, {}, {M: 1, T: 3})["dx"].tolist() == [[[1, 1, 1]], [[1, 1, 1]]]


def test_a_body_reads_nothing_past_its_loop() -> None:
    b = Builder()
    outside = b.typed("input", (), (("name", "x"),), tensor(2, M))
    x = b.typed("held", (), (("name", "sequence.0"),), tensor(2, M))
    step = Step(Graph.of({"out.0": b.add("add", x, outside)}), 1, 0)
    program = Program(x=tensor(2, M, TIME))
    with pytest.raises(BrokenGraph, match="reads input x past its loop"):
        verify(Graph.of({"value": program.scan(step, "out.0", "x", axes=(2,))}))
    with pytest.raises(BrokenGraph, match="only the body of a loop holds"):
        verify(Graph.of({"x": x}))


@pytest.mark.parametrize(
    ("carry", "out", "take", "folds"),
    [
        ("tanh(W @ a + x)", "a", "out.0", False),
        ("tanh(W @ a + x - sum(x, axes=(1,)))", "x", "carry.0", True),
        ("tanh(W @ a + x - sum(x, axes=(1,)))", "x", "out.0", False),
        ("tanh(W @ a + x - sum(x, axes=(1,)))", "a + x", "out.0", True),
        ("tanh(W @ a + x - sum(a, axes=(1,)))", "x", "last.0", True),
    ],
)
def test_a_step_that_mixes_examples_is_seen(carry: str, out: str, take: str, folds: bool) -> None:
    a = tensor(2, M)
    step = steps({"x": a}, {"a": a}, {"W": tensor(2, 2)}, carry_0=carry, out_0=out)
    program = Program(x=tensor(2, M, TIME), a0=a, W=tensor(2, 2))
    node = program.scan(step, take, "x", "a0", "W", axes=(2,))
    assert folds_examples(node) is folds
    assert 2 in OPS["scan"].crosses(node)[0]


def test_work_is_that_of_all_steps() -> None:
    program, step, names = rnn()
    node = program.scan(step, "carry.0", *names, axes=(2,))
    # W @ a is 2 * 2 * 2 m, the sum, tanh and the product of a<t-1> and a<t> 2 m each
    assert OPS["scan"].work(node) == Dim.symbol(T) * Dim.symbol(M) * 14


def test_operands_that_do_not_fit_are_refused_with_both_sizes() -> None:
    from dlc.compiler.ops import ShapeError

    program, step, names = rnn()
    program.x["a0"] = program.b.typed("input", (), (("name", "a0"),), tensor(3, M))
    with pytest.raises(ShapeError) as refusal:
        program.scan(step, "carry.0", *names, axes=(2,))
    assert refusal.value.message.format("x", "a<0>", "W") == "a<0> is (3, m) before the first step and (2, m) after it"
    assert refusal.value.operands == ((1, None),)

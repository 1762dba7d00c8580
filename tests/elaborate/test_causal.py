"""The proof of causality, on hand-built graphs, and checked against what the graphs really read."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from dlc.compiler.dims import Axis, Dim, Symbol, tensor
from dlc.compiler.elaborate.causal import reads_ahead
from dlc.compiler.ir import Builder, Graph, Node
from dlc.compiler.ir.formula import formula
from dlc.compiler.ops.loop import Step
from dlc.runtime.reference import evaluate

M, T = Symbol("m", "batch"), Symbol("T", "runtime")
TIME = Axis(Dim.symbol(T), "T")
V = 4
SQUARE = tensor(Axis(Dim.symbol(T), "q"), Axis(Dim.symbol(T), "k"))


class Model:
    """y as word numbers (m, T), its columns (V, m, T), and what attention needs."""

    def __init__(self) -> None:
        self.b = Builder()
        self.y = self.b.typed("input", (), (("name", "y"),), tensor(M, TIME, kind="index", classes=V))
        self.columns = self.b.add("one_hot", self.y, axis=0, classes=Dim.of(V))
        self.w = self.b.typed("parameter", (), (("name", "W"),), tensor(V, V))
        self.lengths = self.b.typed("length", (), (("name", "T"),), tensor(M))
        self.before = self.b.add("shift", self.columns, axis=2)

    def f(self, text: str, **values: object) -> Node:
        return formula(text).build(self.b, {"W": self.w, "y": self.columns, "b": self.before, **values})

    def position(self, axis: int) -> Node:
        """1, 2, … along one axis of (q, k)."""
        square = self.b.add("broadcast", self.b.constant(0.0), axes=SQUARE.axes)
        return self.b.add("broadcast", self.b.add("position", square, axis=axis), axes=SQUARE.axes)

    def attention(self, mask: Callable[[Node, Node, Node], Node], x: Node) -> Node:
        """The words x (V, m, T) of the first example weighed by softmax(mask(k, q, S)) over k."""
        b = self.b
        flat = b.add("sum", x, axes=(1,))
        rows = b.add("drop", flat, axes=(1,))
        scores = b.add("matmul", b.add("transpose", rows), b.add("matmul", self.w, rows))
        masked = mask(self.position(1), self.position(0), scores)
        grown = b.add("exp", b.add("sub", masked, b.add("reduce_max", masked, axes=(1,))))
        weights = b.add("div", grown, b.add("sum", grown, axes=(1,)))
        return b.add("expand", b.add("matmul", rows, b.add("transpose", weights)), axes=(1,))

    def recurrent(self, x: Node, take: str = "carry.0", reverse: bool = False) -> Node:
        inner = Builder()
        leaf = {
            name: inner.typed("held", (), (("name", name),), type)
            for name, type in {
                "sequence.0": tensor(V, M),
                "carry.0": tensor(V, M),
                "constant.0": tensor(V, V),
            }.items()
        }
        values = {"x": leaf["sequence.0"], "a": leaf["carry.0"], "W": leaf["constant.0"]}
        step = Step(Graph.of({"carry.0": formula("tanh(W @ a + x)").build(inner, values)}), 1, 1)
        start = self.b.add("broadcast", self.b.constant(0.0), axes=tensor(V, M).axes)
        return self.b.add("scan", x, start, self.w, step=step, take=take, axes=(2,), axis=TIME, reverse=reverse)


def lower(value: float) -> Callable[[Model], Node]:
    """Attention to the steps up to its own, by `S if k <= q else value`."""
    return lambda m: m.attention(
        lambda k, q, s: m.f("select(k <= q, s, c)", k=k, q=q, s=s, c=m.b.constant(value)), m.before
    )


CAUSAL: dict[str, Callable[[Model], Node]] = {
    "shift": lambda m: m.f("W @ b"),
    "twice": lambda m: m.b.add("shift", m.before, axis=2),
    "recurrent": lambda m: m.f("W @ a", a=m.recurrent(m.before)),
    "shifted state": lambda m: m.b.add("shift", m.recurrent(m.columns), axis=2),
    "the state before": lambda m: m.recurrent(m.columns, "before.0"),
    "slice and join": lambda m: m.b.add(
        "concat",
        m.b.add("broadcast", m.b.constant(0.0), axes=tensor(V, M, 1).axes),
        m.b.add("slice", m.columns, axis=2, start=Dim.of(0), size=Dim.symbol(T) - 1),
        axis=2,
    ),
    "fold of classes": lambda m: m.f("b / sum(b + 1, axes=(0,))"),
    "mask by -1e9": lower(-1e9),
    "mask by -inf": lower(-np.inf),
    "mask by choice the other way round": lambda m: m.attention(
        lambda k, q, s: m.f("select(k > q, c, s)", k=k, q=q, s=s, c=m.b.constant(-1e9)), m.before
    ),
    "mask by a sum": lambda m: m.attention(
        lambda k, q, s: m.f("s - 1e9 * (1 - real(q >= k))", k=k, q=q, s=s), m.before
    ),
    "attention of the step before": lambda m: m.b.add(
        "shift", m.attention(lambda k, q, s: m.f("select(k < q + 1, s, 0 - 1e9)", k=k, q=q, s=s), m.columns), axis=2
    ),
    "linear attention": lambda m: m.b.add(
        "expand",
        m.f(
            "x @ (real(k <= q) * (x.T @ x)).T",
            x=m.b.add("drop", m.b.add("sum", m.before, axes=(1,)), axes=(1,)),
            k=m.position(1),
            q=m.position(0),
        ),
        axes=(1,),
    ),
    "padding": lambda m: m.f(
        "select(p <= n, b, 0)",
        p=m.b.add("broadcast", m.b.add("position", m.before, axis=2), axes=tensor(1, M, TIME).axes),
        n=m.b.add("broadcast", m.b.add("expand", m.lengths, axes=(0, 2)), axes=tensor(1, M, TIME).axes),
    ),
}
"""y_hat<t> reads words before t only."""

AHEAD: dict[str, Callable[[Model], Node]] = {
    "y itself": lambda m: m.f("W @ y"),
    "recurrent": lambda m: m.recurrent(m.columns),
    "backwards": lambda m: m.recurrent(m.before, reverse=True),
    "reverse": lambda m: m.b.add("reverse", m.before, axis=2),
    "back again": lambda m: m.b.add("reverse", m.b.add("shift", m.b.add("reverse", m.columns, axis=2), axis=2), axis=2),
    "sum": lambda m: m.f("b - sum(b, axes=(2,))"),
    "last state": lambda m: m.b.add("add", m.before, m.b.add("expand", m.recurrent(m.before, "last.0"), axes=(2,))),
    "mask of everything at the first step": lambda m: m.attention(
        lambda k, q, s: m.f("select(k < q, s, c)", k=k, q=q, s=s, c=m.b.constant(-1e9)), m.before
    ),
    "two masks that leave nothing": lambda m: m.attention(
        lambda k, q, s: m.f("select(k <= q, select(k > q, s, c), c)", k=k, q=q, s=s, c=m.b.constant(-1e9)), m.before
    ),
    "no mask": lambda m: m.attention(lambda k, q, s: s, m.before),
    "weak mask": lower(-5.0),
    "mask by 0": lower(0.0),
    "mask of the past": lambda m: m.attention(
        lambda k, q, s: m.f("select(k >= q, s, c)", k=k, q=q, s=s, c=m.b.constant(-1e9)), m.before
    ),
    "mask one too far": lambda m: m.attention(
        lambda k, q, s: m.f("select(k <= q + 1, s, c)", k=k, q=q, s=s, c=m.b.constant(-1e9)), m.before
    ),
    "mask taken off again": lambda m: m.attention(
        lambda k, q, s: m.f("(s - 1e9 * real(k > q)) + 1e9 * real(k > q)", k=k, q=q, s=s), m.before
    ),
    "attention to itself": lambda m: m.attention(
        lambda k, q, s: m.f("select(k <= q, s, c)", k=k, q=q, s=s, c=m.b.constant(-1e9)), m.columns
    ),
    "the number of steps": lambda m: m.f("b / n", n=m.b.size(Dim.symbol(T))),
    "each example's own length": lambda m: m.f(
        "b * n", n=m.b.add("broadcast", m.b.add("expand", m.lengths, axes=(0, 2)), axes=tensor(1, M, TIME).axes)
    ),
    "which step is the last": lambda m: m.f(
        "select(p < n, b, 0)",
        p=m.b.add("broadcast", m.b.add("position", m.before, axis=2), axes=tensor(1, M, TIME).axes),
        n=m.b.add("broadcast", m.b.add("expand", m.lengths, axes=(0, 2)), axes=tensor(1, M, TIME).axes),
    ),
    "merged axes": lambda m: m.b.add(
        "reshape",
        m.b.add("reshape", m.before, axes=tensor(V, Dim.symbol(M) * Dim.symbol(T)).axes),
        axes=m.before.type.axes,
    ),
}
"""y_hat<t> reads word t or later, or how many words there are, or is not known not to."""


def prefixes_agree(model: Model, y_hat: Node) -> bool:
    """Whether y_hat's steps are the same for every longer sequence and whatever stands at later places."""
    rng = np.random.default_rng(0)
    words = rng.integers(0, V, (3, 6)).astype(float)
    weights = rng.normal(size=(V, V))

    def value(y: np.ndarray) -> np.ndarray:
        given = {("input", "y"): y, ("parameter", "W"): weights, ("length", "T"): np.full(len(y), y.shape[1])}
        return evaluate(Graph.of({"y_hat": y_hat}), given, {M: 3, T: y.shape[1]})["y_hat"]

    whole = value(words)
    for t in range(1, 6):
        changed = words.copy()
        changed[:, t:] = (changed[:, t:] + 1) % V
        for other in (value(words[:, : t + 1]), value(changed)[:, :, : t + 1]):
            if not np.allclose(other[:, :, : t + 1], whole[:, :, : t + 1], rtol=1e-12, atol=1e-12, equal_nan=True):
                return False
    return True


@pytest.mark.parametrize("name", CAUSAL)
def test_what_is_causal_is_proved(name: str) -> None:
    model = Model()
    y_hat = CAUSAL[name](model)
    assert y_hat.type.rank == 3
    assert prefixes_agree(model, y_hat)
    assert reads_ahead(y_hat, model.y, T) is None


@pytest.mark.parametrize("name", AHEAD)
def test_what_reads_ahead_is_found(name: str) -> None:
    model = Model()
    y_hat = AHEAD[name](model)
    assert name == "merged axes" or not prefixes_agree(model, y_hat)
    assert isinstance(reads_ahead(y_hat, model.y, T), Node)


def a_program(model: Model, rng: np.random.Generator) -> Node:
    """A random program of a few operations on words, states, masks and their mixtures."""
    b = model.b

    def masked(x: Node) -> Node:
        left, right = (("k", "q"), ("q", "k"))[rng.integers(2)]
        sign, more = rng.choice(["<", "<=", ">", ">="]), rng.integers(-1, 2)
        branches = ("s", "c") if rng.integers(2) else ("c", "s")
        text = f"select({left} {sign} {right} + {more}, {branches[0]}, {branches[1]})"
        filler = b.constant(float(rng.choice([-1e9, -np.inf, 0.0])))
        return model.attention(lambda k, q, s: model.f(text, k=k, q=q, s=s, c=filler), x)

    made = [model.columns, model.before]
    steps: list[Callable[[Node], Node]] = [
        lambda x: b.add("shift", x, axis=2),
        lambda x: b.add("shift", x, axis=2),
        lambda x: model.f("tanh(W @ x)", x=x),
        lambda x: b.add("reverse", x, axis=2),
        lambda x: model.f("x / (1 + sum(x * x, axes=k))", x=x, k=(0,) if rng.integers(3) else (2,)),
        lambda x: model.recurrent(x, str(rng.choice(["carry.0", "before.0"])), bool(rng.integers(4) == 0)),
        lambda x: b.add("add", b.add("broadcast", masked(x), axes=x.type.axes), x) if rng.integers(2) else masked(x),
        lambda x: b.add("broadcast", x, axes=tensor(V, M, TIME).axes),
    ]
    for _ in range(rng.integers(1, 6)):
        x = b.add("broadcast", made[rng.integers(len(made))], axes=tensor(V, M, TIME).axes)
        value = b.add("broadcast", steps[rng.integers(len(steps))](x), axes=tensor(V, M, TIME).axes)
        other = b.add("broadcast", made[rng.integers(len(made))], axes=tensor(V, M, TIME).axes)
        made.append(b.add("mul", value, other) if rng.integers(3) == 0 else value)
    return made[-1]


def test_no_random_program_is_proved_that_reads_ahead() -> None:
    """Soundness, against what 400 programs really read; and the proof is not empty."""
    rng = np.random.default_rng(1)
    proved = 0
    for _ in range(400):
        model = Model()
        y_hat = a_program(model, rng)
        if reads_ahead(y_hat, model.y, T) is None:
            proved += 1
            assert prefixes_agree(model, y_hat), Graph.of({"y_hat": y_hat})
    assert 50 < proved < 350


def test_the_node_that_reads_too_much_is_named() -> None:
    model = Model()
    product = model.f("W @ y")
    assert reads_ahead(model.f("tanh(x)", x=product), model.y, T) is product
    scan = model.recurrent(model.columns)
    inner = reads_ahead(scan, model.y, T)
    assert inner is not None
    assert any(value.op == "held" and value.attr("name") == "sequence.0" for value in inner.inputs)
    flipped = model.b.add("reverse", model.before, axis=2)
    assert reads_ahead(model.f("tanh(x)", x=flipped), model.y, T) is flipped


def test_a_program_that_does_not_read_y_is_causal() -> None:
    model = Model()
    x = model.b.typed("input", (), (("name", "x"),), tensor(V, M))
    y_hat = model.b.add("broadcast", model.b.add("expand", x, axes=(2,)), axes=tensor(V, M, TIME).axes)
    assert reads_ahead(y_hat, model.y, T) is None

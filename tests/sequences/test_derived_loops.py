"""`dlc derive` of recurrent networks: backpropagation through time in `a<t>`, whose lines compute the gradients."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.compiler.derivation import DerivedLine, derivation

RNN = """
model Wave(n_a = 4):
    dim T
    input  x : (2, m, T)
    target y : (1, m, T)
    param W_aa : (n_a, n_a) ~ glorot
    param W_ax : (n_a, 2)   ~ glorot
    param W_ya : (1, n_a)   ~ glorot
    param b_a  : (n_a, 1)   ~ normal(0, 0.1)
    a<0> : (n_a, m) = 0
    scan t in 1..T:
        a<t>     = tanh(W_aa @ a<t-1> + W_ax @ x<t> + b_a)
        y_hat<t> = W_ya @ a<t>
    loss   squared_error(y_hat, y)
    output y_hat
"""
LSTM = """
model Gates(n_a = 3, n_x = 2):
    dim T
    input  x : (n_x, m, T)
    target y : (1, m)
    param W_c, W_u, W_f, W_o : (n_a, n_a + n_x) ~ glorot
    param W_y                : (1, n_a)         ~ glorot
    a<0> : (n_a, m) = 0
    c<0> : (n_a, m) = 0
    scan t in 1..T:
        ax      = concat(a<t-1>, x<t>, over = first)
        c_tilde = tanh(W_c @ ax)
        G_u     = sigmoid(W_u @ ax)
        G_f     = sigmoid(W_f @ ax)
        G_o     = sigmoid(W_o @ ax)
        c<t>    = G_u * c_tilde + G_f * c<t-1>
        a<t>    = G_o * tanh(c<t>)
    y_hat = W_y @ a<T>
    loss   squared_error(y_hat, y)
    output y_hat
"""
STEPS, M = 5, 3


def derived(tmp_path: Path, text: str) -> tuple[Any, list[DerivedLine]]:
    (tmp_path / "net.dl").write_text(text)
    spec = dlc.load(tmp_path / "net.dl")
    return spec, derivation(spec.checked)


def test_the_course_s_formulas(tmp_path: Path) -> None:
    _, lines = derived(tmp_path, RNN)
    assert [f"{line.name} = {line.expression}" for line in lines] == [
        "dy_hat = y_hat - y",
        "da<t> = W_aa.T @ delta_1<t+1> + W_ya.T @ dy_hat<t>",
        "delta_1<t> = da<t> * (1 - a<t>^2)",
        "dW_aa = 1/m * sum(delta_1<t> @ a<t-1>.T, over = t)",
        "dW_ax = 1/m * sum(delta_1<t> @ x<t>.T, over = t)",
        "dW_ya = 1/m * sum(dy_hat<t> @ a<t>.T, over = t)",
        "db_a = 1/m * sum(sum(delta_1<t>, over = m), over = t)",
    ]


class Board:
    """Computes what the lines say, with values by name, or by name and step; units past the ends are 0."""

    def __init__(self, units: int, **values: Any) -> None:
        self.values: dict[Any, Any] = values
        self.zeros = np.zeros((units, M))

    def sequence(self, name: str, array: Any, first: int = 1) -> None:
        self.values |= {(name, first + t): array[..., t] for t in range(array.shape[-1])}

    def at(self, name: str, t: int) -> Any:
        return self.values.get((name, t), self.zeros)

    def evaluate(self, text: str, t: int = 0) -> Any:
        text = re.sub(r"sum\(sum\((.*), over = m\), over = t\)", r"all_steps('summed(\1)')", text)
        text = re.sub(r"sum\((.*), over = t\)", r"all_steps('\1')", text).replace("1/m *", "(1 / m) *")
        text = re.sub(r"\[1\.\.(\d+)\]", r"[:\1]", text).replace("^", "**")
        text = re.sub(r"(\w+)<t([+-]1)?>(?=[^']*(?:'[^']*'[^']*)*$)", r"at('\1', t\2)" if t else r"\g<0>", text)
        text = re.sub(r"(\w+)<T>", rf"at('\1', {STEPS})", text)
        names: dict[str, Any] = {key: value for key, value in self.values.items() if isinstance(key, str)}
        names |= {"tanh": np.tanh, "m": M, "t": t, "at": self.at, "summed": lambda z: z.sum(1, keepdims=True)}
        names["all_steps"] = lambda inner: sum(self.evaluate(inner, t) for t in range(1, STEPS + 1))
        return eval(text, names)

    def compute(self, lines: list[DerivedLine]) -> None:
        moving = [line for line in lines if line.name.endswith("<t>")]
        ends = {line.name[:-3]: line for line in lines if line.name.endswith("<T>")}
        before = lines.index(moving[0])
        for line in (line for line in lines[:before] if "<" not in line.name):
            self.put(line)
        for t in range(STEPS, 0, -1):
            for line in moving:
                name = line.name[:-3]
                chosen = ends[name] if t == STEPS and name in ends else line
                self.values[name, t] = self.evaluate(chosen.expression, t)
        for line in lines[before:]:
            if "<" not in line.name:
                self.put(line)

    def put(self, line: DerivedLine) -> None:
        value = self.values[line.name] = self.evaluate(line.expression)
        if np.ndim(value) == 3:
            self.sequence(line.name, value)


def forward(text: str, params: dict[str, Any], x: Any) -> dict[str, Any]:
    """The loop of either text by hand, each value with its steps behind; a and c have a step 0."""
    n = len(params["W_aa" if "W_aa" in text else "W_c"])
    found: dict[str, list[Any]] = {"a": [np.zeros((n, M))], "c": [np.zeros((n, M))]}
    for t in range(STEPS):
        a, c = found["a"][-1], found["c"][-1]
        if "W_aa" in text:
            found["a"].append(np.tanh(params["W_aa"] @ a + params["W_ax"] @ x[..., t] + params["b_a"]))
            continue
        ax = np.concatenate([a, x[..., t]])
        gates = {f"G_{g}": 1 / (1 + np.exp(-params[f"W_{g}"] @ ax)) for g in "ufo"}
        step = {"ax": ax, "c_tilde": np.tanh(params["W_c"] @ ax), **gates}
        step["c"] = step["G_u"] * step["c_tilde"] + step["G_f"] * c
        step["a"] = step["G_o"] * np.tanh(step["c"])
        for name, value in step.items():
            found.setdefault(name, []).append(value)
    return {name: np.stack(values, axis=-1) for name, values in found.items()}


@pytest.mark.parametrize("text", [RNN, LSTM], ids=["RNN", "LSTM"])
def test_the_lines_compute_the_gradients(tmp_path: Path, text: str) -> None:
    spec, lines = derived(tmp_path, text)
    model = spec.compile(dtype="float64", target="reference")
    random = np.random.default_rng(3)
    x = random.standard_normal((spec.inputs["x"].type.sizes[0].constant, M, STEPS))
    y = random.standard_normal((1, M, STEPS)[: len(spec.inputs["y"].type.axes)])
    params = {name: np.asarray(value) for name, value in model.params.items()}
    seen = forward(text, params, x)
    board = Board(len(seen["a"]), **params, y=y)
    for name, values in seen.items():
        board.sequence(name, values, first=0 if name in ("a", "c") else 1)
    board.sequence("x", x)
    last = params["W_ya"] if "W_ya" in params else params["W_y"]
    y_hat = np.stack([last @ seen["a"][..., t] for t in range(1, STEPS + 1)], axis=-1)
    board.values["y_hat"] = y_hat if y.ndim == 3 else y_hat[..., -1]
    board.compute(lines)
    _, gradients = model.loss_and_grads(x=x, y=y)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(board.values[f"d{name}"], gradient, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("path", ["sequences/bidirectional", "sequences/translation", "attention/dates"])
def test_no_loop_is_left(path: str) -> None:
    file = Path(dlc.__file__).parent / "specs" / f"{path}.dl"
    shown = "\n".join(map(str, derivation(dlc.load(file).checked)))
    assert "scan(" not in shown
    assert "position(" not in shown
    named = set(re.findall(r"\bdelta_\d+", shown))
    defined = set(re.findall(r"^delta_\d+", shown, re.MULTILINE))
    assert named == defined


@pytest.mark.parametrize("latex", [False, True])
def test_no_line_says_that_a_value_is_itself(latex: bool) -> None:
    """What a loop collects has its line in the loop, and none beside it."""
    file = Path(dlc.__file__).parent / "specs" / "sequences" / "deep_rnn.dl"
    lines = derivation(dlc.load(file).checked, latex=latex)
    assert not [line for line in lines if line.name == line.expression]

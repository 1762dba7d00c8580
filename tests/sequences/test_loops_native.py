"""Loops of unusual forms, compiled: outputs, loss and gradients are the reference executor's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from padded import compiled, synthetic

import dlc

NETS = {
    "an input is the first state": """
model Net(n = 3, T = 3):
    input  x : (n, m)
    target y : (n, m)
    param P : (n, 1, T) ~ normal(0, 1)
    a<0> = x
    scan t in 1..T:
        a<t> = tanh(Dense(n)(a<t-1>) + P<t>)
    loss   squared_error(a<T>, y)
    output a
""",
    "all examples hear one sequence": """
model Net(n = 3):
    dim T
    input  c : (2, T)
    input  x : (n, m)
    target y : (n, m)
    param U : (n, 2) ~ normal(0, 1)
    a<0> = x
    scan t in 1..T:
        a<t> = tanh(Dense(n)(a<t-1>) + U @ rearrange(c<t>, (k) -> (k, 1)) / t)
    loss   squared_error(a<T>, y)
    output a
""",
    "images of each step": """
model Net(n = 3):
    dim T
    input  x : (m, 4, 4, 2, T)
    target y : (n, m)
    cell = Dense(n, tanh)
    a<0> : (n, m) = 0
    scan t in 1..T:
        f    = x<t> -> Conv(2, 3) -> MaxPool(2, stride = 1) -> Flatten()
        a<t> = cell(concat(a<t-1>, f, over = first))
    loss   squared_error(a<T>, y)
    output a
""",
    "attention to a constant": """
model Net(n = 3):
    dim T
    input  K : (n, T)
    input  x : (n, m)
    target y : (n, m)
    param W : (n, n) ~ normal(0, 1)
    a = softmax(einsum(W @ K, x, (n, k), (n, m) -> (k, m)), over = k)
    y_hat = einsum(K, a, (n, k), (k, m) -> (n, m))
    loss   squared_error(y_hat, y)
    output y_hat
""",
    "a loop in a loop goes on from it": """
model Net(n = 3):
    dim S
    dim T
    input  x : (2, m, T, S)
    target y : (n, m)
    words = Dense(n, tanh)
    texts = Dense(n, tanh)
    d<0> : (n, m) = 0
    scan s in 1..S:
        xs = x<s>
        h<0> : (n, m) = d<s-1>
        scan t in 1..T:
            h<t> = words(concat(h<t-1>, xs<t>, over = first))
        d<s> = texts(concat(d<s-1>, h<T>, over = first))
    loss   squared_error(d<S>, y)
    output d
""",
    "a loss of each step": """
model Net(n = 3):
    dim T
    input  x : (2, m, T)
    target y : (1, m, T)
    target w : (1, m, T)
    cell = Dense(n, tanh)
    read = Dense(1)
    a<0> : (n, m) = 0
    J<0> : (1, m) = 0
    scan t in 1..T:
        a<t>     = cell(concat(a<t-1>, x<t>, over = first))
        y_hat<t> = read(a<t>)
        L<t>     = w<t> * squared_error(y_hat<t>, y<t>)
        J<t>     = J<t-1> + L<t>
    loss   L
    loss   J<T>
    output y_hat
    output last = a<T>
""",
}
LENGTHS: dict[str, list[int]] = {"T": 20 * [3, 1, 4, 2], "S": 20 * [2, 3, 1, 3]}


@pytest.mark.parametrize("name", NETS)
def test_compiled_loops_give_the_reference(name: str, tmp_path: Path) -> None:
    """With more examples than one unit of a kernel takes."""
    reference = compiled(NETS[name], tmp_path)
    native = dlc.load(tmp_path / "net.dl").compile(dtype="float64")
    for key, value in reference.params.items():
        native.params[key] = value
    inputs = reference.spec.inputs
    symbols = {s.name: d.type for d in inputs.values() for s in d.type.symbols if s.kind == "runtime"}
    arrays = synthetic(reference, 80, {symbol: max(LENGTHS[symbol]) for symbol in symbols})
    own = {s for d in inputs.values() if "m" in map(str, d.type.symbols) for s in map(str, d.type.symbols)}
    lengths = {symbol: LENGTHS[symbol] for symbol in sorted(own & symbols.keys())}
    given = {key: array for key, array in arrays.items() if inputs[key].role == "input"}
    same(native.forward(lengths=lengths, **given), reference.forward(lengths=lengths, **given))
    found, wanted = (model.loss_and_grads(lengths=lengths, **arrays) for model in (native, reference))
    same({"loss": np.array(found[0]), **found[1]}, {"loss": np.array(wanted[0]), **wanted[1]})


def same(found: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-9, atol=1e-11, err_msg=name)

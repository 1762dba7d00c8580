"""Three shapes at which static checkers give up: proved for all sizes at the definition, or refuted there.

Each layer is checked with rigid sizes and is used by no model, so nothing here is decided by numbers.
"""

from __future__ import annotations

import pytest

from dlc.compiler.driver import check
from dlc.compiler.show import accepted

HEADS = """
layer Heads(heads):
    input x : (d_model, m, T)
    require d_model % heads == 0
    param W_Q, W_K, W_V : (d_model, d_model) ~ glorot
    Q = rearrange(W_Q @ x, (heads * d, m, q) -> (heads, d, m, q))
    K = rearrange(W_K @ x, (heads * d, m, k) -> (heads, d, m, k))
    U = rearrange(W_V @ x, (heads * d, m, k) -> (heads, d, m, k))
    alpha = softmax(einsum(Q, K, (heads, d, m, q), (heads, d, m, k) -> (heads, q, k, m)), over = k)
    A = einsum(alpha, U, (heads, q, k, m), (heads, d, m, k) -> (heads, d, m, q))
    output Z : (d_model, m, T) = rearrange(A, (heads, d, m, q) -> (heads * d, m, q))
"""

BOTH_WAYS = """
layer BothWays(n_a):
    input x : (n_x, m, T)
    forward  = x -> LSTM(n_a)
    backward = reverse(reverse(x, over = T) -> LSTM(n_a), over = T)
    output a : (2 * n_a, m, T) = concat(forward, backward, over = first)
"""

SKIP = """
layer Skip(n):
    input A : (m, n_H, n_W, n_C)
    require n_H % 4 == 0 and n_W % 4 == 0
    one   = A   -> Conv(3, n, pad = same, g = relu)
    two   = one -> MaxPool(2) -> Conv(3, 2 * n, pad = same, g = relu)
    three = two -> MaxPool(2) -> Conv(3, 4 * n, pad = same, g = relu)
    up    = three -> ConvTranspose(2, 2 * n, stride = 2)
    back  = concat(up, two, over = last) -> ConvTranspose(2, n, stride = 2)
    output Z : (m, n_H, n_W, 2 * n) = concat(back, one, over = last)
"""

WRONG = {
    "one row beyond the heads": (HEADS, "output Z : (d_model, m, T)", "output Z : (d_model + 1, m, T)"),
    "one direction counted": (BOTH_WAYS, "(2 * n_a, m, T)", "(n_a, m, T)"),
    "one row too many": (SKIP, "ConvTranspose(2, 2 * n, stride = 2)", "ConvTranspose(3, 2 * n, stride = 2)"),
}


def codes(text: str) -> list[str]:
    return [d.code for d in check("net.dl", text=text).diagnostics if d.severity == "error"]


@pytest.mark.parametrize("text", [HEADS, BOTH_WAYS, SKIP], ids=["heads", "both ways", "skip"])
def test_proved_for_all_sizes(text: str) -> None:
    assert codes(text) == []


@pytest.mark.parametrize("name", WRONG)
def test_refuted_for_all_sizes(name: str) -> None:
    text, right, wrong = WRONG[name]
    assert right in text
    assert codes(text.replace(right, wrong)) in (["D106"], ["D102"])


def test_a_use_that_breaks_the_requirement_is_told_at_the_use() -> None:
    model = "\nmodel Net:\n    input X : (m, 10, 12, 3)\n    output Z = X -> Skip(8)\n"
    (error,) = check("net.dl", text=SKIP + model).diagnostics
    assert error.code == "D113"
    assert error.span is not None
    assert (SKIP + model).splitlines()[error.span.line - 1].strip() == "output Z = X -> Skip(8)"


def test_sizes_of_the_data_are_a_requirement() -> None:
    body = SKIP.partition("\n    one")[2].replace("n_C", "3")
    model = "model Net(n = 4):\n    dim n_H\n    dim n_W\n    input A : (m, n_H, n_W, 3)\n    one" + body
    result = check("net.dl", text=model)
    assert result.checked is not None, result.diagnostics
    assert accepted(result.checked) == "this network accepts n_H x n_W exactly when both are divisible by 4"

"""Padding cannot be observed, whatever folds the steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from padded import assert_padding_is_not_seen, compiled, synthetic

LENGTHS = {"T": [2, 6, 1, 4]}

NETS = {
    "recurrent": """
model Net:
    dim T
    input  x : (3, m, T)
    target y : (2, m, T)
    a     = x -> RNN(4)
    y_hat = a -> Dense(2)
    loss   squared_error(y_hat, y)
    output y_hat
    output last = a<T>
""",
    "many to one": """
model Net:
    dim T
    input  words : (m, T) index(7)
    target y     : (5, m) one_hot
    a     = words -> Embedding(7, 3) -> RNN(4)
    y_hat = a<T> -> Dense(5, softmax)
    loss   cross_entropy(y_hat, y)
    output y_hat
""",
    "folds": """
model Net:
    dim T
    input  x : (3, m, T)
    target y : (1, m, 1)
    h = x -> Dense(4, tanh)
    k = lengths(h, over = T)
    z = sum(h, over = T) + mean(h, over = T) * k + max(h, over = T) - min(h, over = T) + prod(h, over = T)
    g = mean(h^2, over = (first, last)) + sum(h, over = (first, last)) / k
    y_hat : (1, m, 1) = sum(z, over = first) + g
    loss   squared_error(y_hat, y)
    output y_hat
    output best = argmax(h, over = T) + 0
""",
    "softmax over the steps": """
model Net:
    dim T
    input  x : (3, m, T)
    target y : (4, m, 1)
    a = x -> Dense(4, tanh)
    e : (1, m, T) = a -> Dense(1)
    alpha = softmax(4 * e, over = T)
    shifted = exp(e - max(e, over = T)) / sum(exp(e - max(e, over = T)), over = T)
    y_hat = sum(alpha * a, over = T) + sum(shifted * a, over = T)
    loss   squared_error(y_hat, y)
    loss   0.1 * sum(alpha * log(alpha), over = first)
    output y_hat
    output alpha
""",
    "turned round and later": """
model Net:
    dim T
    input  x : (3, m, T)
    target y : (2, m, T)
    back  = x -> reverse(over = T) -> RNN(4) -> reverse(over = T)
    y_hat = back + shift(back) -> Dense(2)
    loss   squared_error(y_hat, y)
    output y_hat
    output first_of_all = back<1>
""",
    "losses over the steps": """
model Net:
    dim T
    input  x : (3, m, T)
    input  v : (T, m)
    target y : (2, m, T)
    y_hat = x -> Dense(2)
    loss   squared_error(y_hat, y)
    loss   mean((y_hat - y)^2, over = (first, last))
    loss   max(abs(y_hat - y), over = (first, last))
    output y_hat
    output total = sum(v, over = T)
""",
    "convolutions and windows": """
model Net:
    dim T
    input  x : (m, T, 3)
    target y : (m, 1, 5)
    h = x -> Conv(3, 4, pad = 1, g = tanh) -> MaxPool(2, stride = 1, pad = 1) -> Conv(2, 5, stride = 2, pad = 1)
    p = h -> AvgPool(2, stride = 1, pad = 1)
    s = sum(h, over = T, window = 3, pad = same)
    y_hat = mean(p, over = T) + max(s, over = T)
    loss   squared_error(y_hat, y)
    output h
    output p
    output s
    output y_hat
""",
    "scans in scans": """
model Net:
    dim T
    input  x : (3, m, T)
    target y : (2, m, T)
    s<0> : (2, m) = 0
    scan t in 1..T:
        u<0> : (2, m) = s<t-1>
        scan k in 1..4:
            u<k> = tanh(u<k-1> + Dense(2)(x<t>) * k / t)
        s<t> = u<4> + drop(mean(u, over = last), over = last)
    y_hat = s -> Dense(2)
    loss   squared_error(y_hat, y)
    output y_hat
""",
    "layers above each other": """
model Net(n = [3, 4, 5]):
    dim T
    input  x : (3, m, T)
    target y : (2, m, T)
    for l in 1..2:
        a[l]<0> : (n[l], m) = 0
    scan t in 1..T:
        a[0]<t> : (n[0], m) = x<t>
        for l in 1..2:
            a[l]<t> = tanh(Dense(n[l])(a[l-1]<t>) + Dense(n[l])(a[l]<t-1>))
    y_hat = a[2] -> Dense(2)
    loss   squared_error(y_hat, y)
    output y_hat
    output e = a[1]<T>
""",
    "its own targets": """
model Net:
    dim T
    input  x : (3, m)
    target y : (4, m, T) one_hot
    y<0> : (4, m) = 0
    a<0> = x -> Dense(5, tanh)
    scan t in 1..T:
        a<t> = tanh(Dense(5)(a<t-1>) + Dense(5)(y<t-1>))
    y_hat = a -> Dense(4, softmax)
    loss   cross_entropy(y_hat, y)
    output x
""",
}

TWO = """
model Net:
    dim T
    dim S
    input  x : (3, m, T)
    target y : (4, m, S) one_hot
    a    = x -> RNN(5)
    y<0> : (4, m) = 0
    s<0> = a<T>
    score = Dense(1)
    scan t in 1..S:
        again = broadcast(rearrange(s<t-1>, (n, m) -> (n, m, 1)), (5, m, T))
        alpha : (1, m, T) = softmax(tanh(concat(a, again, over = first)) -> score, over = T)
        context = drop(sum(alpha * a, over = T), over = T)
        s<t> = tanh(Dense(5)(concat(context, y<t-1>, over = first)) + Dense(5)(s<t-1>))
    y_hat = s -> Dense(4, softmax)
    loss   cross_entropy(y_hat, y)
    output last = a<T>
"""


def test_an_encoder_and_a_decoder_have_their_own_lengths(tmp_path: Path) -> None:
    """A decoder that looks at all steps of the encoder, each step anew."""
    assert_padding_is_not_seen(compiled(TWO, tmp_path), {"T": [2, 6, 1, 4], "S": [3, 1, 5, 5]})


WORDS = """
model Net:
    dim T
    input first_word : (m) index(6)
    input x : (3, m, T)
    w<0> = first_word
    scan t in 1..T:
        p<t> : (6, m) = Embedding(6, 6)(w<t-1>) + Dense(6)(x<t>)
        w<t> = drop(argmax(p<t>, over = first), over = first)
    output p
    output last = one_hot(w<T>)
"""


def test_class_numbers_are_carried(tmp_path: Path) -> None:
    model = compiled(WORDS, tmp_path)
    assert_padding_is_not_seen(model, LENGTHS)
    given = synthetic(model, 4, {"T": 6})
    p, last = (model.forward(**given, lengths=LENGTHS)[name] for name in ("p", "last"))
    word = given["first_word"]
    E, W, b = (model.params[name] for name in ("embedding[1].E", "dense[1].W", "dense[1].b"))
    for t in range(6):
        step = E[:, word] + W @ given["x"][:, :, t] + b
        within = np.array(LENGTHS["T"]) > t
        np.testing.assert_allclose(p[:, within, t], step[:, within], rtol=1e-12)
        word = np.where(within, step.argmax(axis=0), word)
    np.testing.assert_array_equal(last, np.eye(6)[:, word])


def test_a_logarithm_of_the_data_has_gradients(tmp_path: Path) -> None:
    text = """
model Net:
    dim T
    input  x : (2, m, T)
    target y : (3, m, T)
    y_hat = log(x) -> Dense(3)
    loss squared_error(y_hat, y)
    output y_hat
"""
    model = compiled(text, tmp_path)
    given = synthetic(model, 4, {"T": 6})
    given["x"] = np.exp(given["x"])
    wanted = model.loss_and_grads(**given, lengths=LENGTHS)[1]
    given["x"][:, np.arange(6)[None, :] >= np.array(LENGTHS["T"])[:, None]] = 0
    for name, gradient in model.loss_and_grads(**given, lengths=LENGTHS)[1].items():
        np.testing.assert_allclose(gradient, wanted[name], rtol=1e-12)


def test_softmax_over_padded_steps_does_not_overflow(tmp_path: Path) -> None:
    text = """
model Net:
    dim T
    input  x : (1, m, T)
    target y : (1, m, T)
    param w : (1, 1, 1) ~ ones
    alpha = softmax(w * x, over = T)
    loss -sum(y * log(alpha), over = first)
    output alpha
"""
    model = compiled(text, tmp_path)
    model.params["w"][...] = 1
    x, y = np.zeros((1, 4, 6)), np.zeros((1, 4, 6))
    x[0, :, 0], y[0, :, 0] = 1e4, 1
    x[0, 1, 1], y[0, 1, 1] = -1e4, 1
    found = model.forward(x=x, lengths=LENGTHS)["alpha"][0]
    np.testing.assert_allclose(found, np.eye(6)[[0, 0, 0, 0]], atol=1e-12)
    loss, gradients = model.loss_and_grads(x=x, y=y, lengths=LENGTHS)
    assert loss == pytest.approx(2e4 / 4, rel=1e-12)
    assert gradients["w"].ravel() == pytest.approx([2e4 / 4], rel=1e-12)


@pytest.mark.parametrize("name", NETS)
def test_a_padded_batch_equals_its_examples(name: str, tmp_path: Path) -> None:
    assert_padding_is_not_seen(compiled(NETS[name], tmp_path), LENGTHS)

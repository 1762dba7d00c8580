"""`rearrange`, `einsum`, `concat`, `split` and lists as tensors: what they mean, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from short_models import model, only, place, told

from dlc.compiler.driver import check

RNG = np.random.default_rng(3)
x = RNG.normal(size=(12, 4, 5))
"""(n, m, T)"""
image = RNG.normal(size=(4, 6, 6, 3))
"""(m, h, w, c)"""
y = RNG.normal(size=(2, 4, 5))


# --- rearrange -------------------------------------------------------------------------------------------------

REARRANGED: dict[str, tuple[str, Callable[[], np.ndarray]]] = {
    "take apart": ("rearrange(x, (3 * d, m, T) -> (3, d, m, T))", lambda: x.reshape(3, 4, 4, 5)),
    "take apart from behind": ("rearrange(x, (d * 3, m, T) -> (d, 3, m, T))", lambda: x.reshape(4, 3, 4, 5)),
    "three parts": (
        "rearrange(x, (2 * k * 3, m, T) -> (3, k, 2, m, T))",
        lambda: x.reshape(2, 2, 3, 4, 5).swapaxes(0, 2),
    ),
    "put together": ("rearrange(x, (n, m, T) -> (n * T, m))", lambda: x.swapaxes(1, 2).reshape(60, 4)),
    "put together the other way": (
        "rearrange(x, (n, m, T) -> (T * n, m))",
        lambda: x.transpose(2, 0, 1).reshape(60, 4),
    ),
    "both": (
        "rearrange(x, (3 * d, m, T) -> (d, m, T * 3))",
        lambda: x.reshape(3, 4, 4, 5).transpose(1, 2, 3, 0).reshape(4, 4, 15),
    ),
    "turn round": ("rearrange(x, (n, m, T) -> (m, T, n))", lambda: x.transpose(1, 2, 0)),
    "new axes": ("rearrange(x, (n, m, T) -> (1, m, n, 1, T))", lambda: x.swapaxes(0, 1)[None, :, :, None, :]),
    "an axis of size 1 goes": ("rearrange(sum(x, over = first), (1, m, T) -> (T, m))", lambda: x.sum(0).T),
    "names written with sizes": ("rearrange(x, (n, m, k = T) -> (k, n, m))", lambda: x.transpose(2, 0, 1)),
    "a new name": ("rearrange(x, (n, m, T) -> (q = T, m, n))", lambda: x.transpose(2, 1, 0)),
    "a list's sizes": (
        "rearrange(x, (sizes[0] * sizes[1], m, T) -> (sizes[1], m, T, sizes[0]))",
        lambda: x.reshape(3, 4, 4, 5).transpose(1, 2, 3, 0),
    ),
    "nothing": ("rearrange(x, (n, m, T) -> (n, m, T))", lambda: x),
    "in a chain": ("x -> rearrange((n, m, T) -> (T, m, n))", lambda: x.transpose(2, 1, 0)),
    "images": ("rearrange(image, (m, h, w, c) -> (h * w * c, m))", lambda: image.reshape(4, -1).T),
    "further axes": ("rearrange(image, (m, ..., c) -> (... * c, m))", lambda: image.reshape(4, -1).T),
    "further axes stay": ("rearrange(image, (m, ..., c) -> (c, m, ...))", lambda: image.transpose(3, 0, 1, 2)),
    "a spread": ("rearrange(image, (m, f..., c) -> (m, c, f...))", lambda: image.transpose(0, 3, 1, 2)),
    "space to depth": (
        "rearrange(image, (m, i * 2, j * 2, c) -> (m, i, j, 2 * 2 * c))",
        lambda: image.reshape(4, 3, 2, 3, 2, 3).transpose(0, 1, 3, 2, 4, 5).reshape(4, 3, 3, 12),
    ),
    "examples in an axis": ("rearrange(image, (m, h, w, c) -> (m = m * h, w, c))", lambda: image.reshape(24, 6, 3)),
    "and out again": (
        "rearrange(rearrange(image, (m, h, w, c) -> (m = m * h, w, c)), (m * 6, w, c) -> (m, 6, w, c))",
        lambda: image,
    ),
    "and out again by name": (
        "rearrange(rearrange(image, (m, h, w, c) -> (m = m * h, w, c)), (m = m * h, w, c) -> (m, h, w, c))",
        lambda: image,
    ),
}
BODY = """input x : (12, m, 5)
input y : (2, m, 5)
input image : (m, 6, 6, 3)
sizes = [3, 4]
output Z = {}"""


@pytest.mark.parametrize("case", REARRANGED)
def test_rearrange_has_its_meaning(tmp_path: Path, case: str) -> None:
    text, meaning = REARRANGED[case]
    found = model(tmp_path, BODY.format(text)).forward(**_read(text))["Z"]
    np.testing.assert_array_equal(found, meaning())


def _read(text: str) -> dict[str, np.ndarray]:
    return {name: array for name, array in (("x", x), ("y", y), ("image", image)) if _mentions(text, name)}


def _mentions(text: str, name: str) -> bool:
    return any(f"{left}{name}" in text or text.startswith(name) for left in ("(", " "))


def test_a_result_has_the_names_written() -> None:
    checked = check(
        Path("net.dl"),
        text="""
model Net:
    input x : (12, m, 5)
    S = rearrange(x, (3 * d, m, T) -> (q = T, 3 * d, m))
    Z = sum(softmax(S, over = q), over = q)
    output Z
""",
    ).checked
    assert checked is not None
    assert [axis.name for axis in checked.shapes["S"].axes] == ["q", None, "m"]


def test_the_mark_of_a_written_one_survives_a_rearrangement() -> None:
    broadcast = "input x : (12, m, 5)\ns = sum(x, over = first)\n"
    assert not told(
        broadcast + "output Z = rearrange(x, (n, m, T) -> (m, n, T)) * rearrange(s, (k, m, T) -> (m, k, T))"
    )
    (error,) = told(
        broadcast + "param w : (3, 5) ~ ones\nu = rearrange(w, (a * 3, T) -> (a, 3, T))\n"
        "v = rearrange(x, (k * 3, m, T) -> (k, m, 3, T))\noutput Z = rearrange(v, (k, m, 3, T) -> (k, 3 * m, T)) * u"
    )
    assert error.code in ("D105", "P302")


def test_class_numbers_are_moved_as_they_are(tmp_path: Path) -> None:
    net = model(tmp_path, "input w : (m, 6) index(9)\noutput Z = one_hot(rearrange(w, (m, 2 * k) -> (2, m, k)))")
    words = RNG.integers(0, 9, size=(4, 6))
    expected = np.eye(9)[words.reshape(4, 2, 3).swapaxes(0, 1)]
    np.testing.assert_array_equal(net.forward(w=words)["Z"], np.moveaxis(expected, -1, 0))


# --- einsum ----------------------------------------------------------------------------------------------------

SUMMED: dict[str, tuple[str, Callable[[], np.ndarray]]] = {
    "queries and keys": ("einsum(x, x, (d, m, q), (d, m, k) -> (q, k, m))", lambda: np.einsum("dmq,dmk->qkm", x, x)),
    "in heads": (
        "einsum(x, x, (3 * d, m, q), (3 * d, m, k) -> (3, q, k, m))",
        lambda: np.einsum("hdmq,hdmk->hqkm", *[x.reshape(3, 4, 4, 5)] * 2),
    ),
    "a matrix product": ("einsum(W, x, (k, n), (n, m, T) -> (k, m, T))", lambda: np.einsum("kn,nmT->kmT", W, x)),
    "a transposed one": ("einsum(x, W, (n, m, T), (k, n) -> (m, T, k))", lambda: np.einsum("nmT,kn->mTk", x, W)),
    "a turned result": ("einsum(W, x, (k, n), (n, m, T) -> (T, m, k))", lambda: np.einsum("kn,nmT->Tmk", W, x)),
    "no sum": ("einsum(x, y, (n, m, T), (k, m, T) -> (k, n, m, T))", lambda: np.einsum("nmT,kmT->knmT", x, y)),
    "all but m": ("einsum(x, x, (n, m, T), (n, m, T) -> (m))", lambda: np.einsum("nmT,nmT->m", x, x)),
    "one operand": ("einsum(x, (n, m, T) -> (T, m))", lambda: x.sum(0).T),
    "one operand, moved": ("einsum(x, (n, m, T) -> (T, m, n))", lambda: x.transpose(2, 1, 0)),
    "a sum of one operand alone": (
        "einsum(x, y, (n, m, T), (k, m, T2) -> (n, k, m))",
        lambda: np.einsum("nmT,kmS->nkm", x, y),
    ),
    "three operands": (
        "einsum(W, x, y, (k, n), (n, m, T), (a, m, T) -> (a, k, m))",
        lambda: np.einsum("kn,nmT,amT->akm", W, x, y),
    ),
    "four operands": (
        "einsum(y, W, x, y, (b, m, T), (k, n), (n, m, T), (a, m, T) -> (b, a, k, m))",
        lambda: np.einsum("bmT,kn,nmT,amT->bakm", y, W, x, y),
    ),
    "a new axis and a product": (
        "einsum(W, x, (k, n), (n, m, T) -> (1, k * T, m))",
        lambda: np.einsum("kn,nmT->kTm", W, x).reshape(1, 10, 4),
    ),
    "a removed axis": ("einsum(W, sum(x, over = last), (k, n), (n, m, 1) -> (k, m))", lambda: W @ x.sum(2)),
    "further axes": (
        "einsum(image, image, (m, ..., i), (m, ..., j) -> (m, i, j))",
        lambda: np.einsum("mhwi,mhwj->mij", image, image),
    ),
    "two places of one name": (
        "einsum(x, x, (n, m, k = T), (n, m, q = T) -> (k, q, m))",
        lambda: np.einsum("nmk,nmq->kqm", x, x),
    ),
}
W = RNG.normal(size=(2, 12))


@pytest.mark.parametrize("case", SUMMED)
def test_einsum_has_its_meaning(tmp_path: Path, case: str) -> None:
    text, meaning = SUMMED[case]
    weights = "param W : (2, 12) ~ normal(0, 1)\n" if "W" in text else ""
    net = model(tmp_path, BODY.replace("sizes", weights + "sizes").format(text))
    if weights:
        net.params["W"] = W
    np.testing.assert_allclose(net.forward(**_read(text))["Z"], meaning(), rtol=1e-12, atol=1e-13)


def graph_ops(body: str) -> list[str]:
    checked = check(
        Path("net.dl"), text="\nmodel Net:\n" + "".join(f"    {line}\n" for line in body.splitlines())
    ).checked
    assert checked is not None
    return [node.op for node in checked.evaluation.nodes]


@pytest.mark.parametrize(
    "text",
    [
        "einsum(W, x, (k, n), (n, m) -> (k, m))",
        "einsum(x, W, (n, m), (k, n) -> (k, m))",
        "einsum(W, x, (k, n), (n, m) -> (m, k))",
        "einsum(U, x, (n, k), (n, m) -> (k, m))",
        "einsum(x, U, (n, m), (n, k) -> (m, k))",
    ],
)
def test_a_matrix_product_is_one_for_the_compiler(text: str) -> None:
    ops = graph_ops(f"input x : (3, m)\nparam W : (2, 3) ~ ones\nparam U : (3, 2) ~ ones\noutput Z = {text}")
    assert "matmul" in ops
    assert not {"einsum", "permute"} & set(ops)


def test_fans_of_a_stack_of_products() -> None:
    checked = check(
        Path("net.dl"),
        text="""
model Net:
    input x : (4, m)
    param W : (3, 5, 4) ~ glorot
    param V : (5, 3, 2) ~ glorot
    u = einsum(W, x, (h, d, n), (n, m) -> (h, d, m))
    output Z = einsum(V, u, (d, h, e), (h, d, m) -> (h, e, m))
""",
    ).checked
    assert checked is not None
    fans = {name: (p.initial.fan_in, p.initial.fan_out) for name, p in checked.parameters.items()}
    assert fans == {"W": (4, 15), "V": (5, 2)}


def test_gradients_of_every_move_together(tmp_path: Path) -> None:
    """Central differences of a loss that goes through all of them."""
    net = model(
        tmp_path,
        """input x : (4, m, 3)
target t : (2, m)
param W : (6, 4) ~ normal(0, 1)
param V : (2, 3, 2) ~ normal(0, 1)
K : (2, 2) = [[1, -2], [0, 3]]
z = W @ x
a, b, c = split(z, (1, 2, 3), over = first)
q = rearrange(concat(c, b, a, over = first), (2 * d, m, T) -> (d, 2, m, T))
s = einsum(q, V, q, (d, g, m, T), (g, d, e), (f, g, m, T) -> (e, g, m))
r = einsum(K, s, (k, g), (e, g, m) -> (k * e, m))
u, v = split(r, (2, 2), over = first)
loss squared_error(u * v, t)
output u""",
    )
    data = {"x": RNG.normal(size=(4, 5, 3)), "t": RNG.normal(size=(2, 5))}
    _, gradients = net.loss_and_grads(**data)
    for name, gradient in gradients.items():
        first = np.array(net.params[name])
        numerical = np.zeros_like(first)
        for at in np.ndindex(*first.shape):
            costs = []
            for step in (1e-5, -1e-5):
                moved = first.copy()
                moved[at] += step
                net.params[name] = moved
                costs.append(net.loss(**data))
            numerical[at] = (costs[0] - costs[1]) / 2e-5
        net.params[name] = first
        assert np.linalg.norm(gradient - numerical) <= 1e-6 * np.linalg.norm(numerical)


# --- concat and split ------------------------------------------------------------------------------------------

PARTS: dict[str, tuple[str, Callable[[], np.ndarray]]] = {
    "two": ("concat(x, y, over = first)", lambda: np.concatenate([x, y])),
    "three": ("concat(x, y, x, over = first)", lambda: np.concatenate([x, y, x])),
    "by name": ("concat(x, x, over = T)", lambda: np.concatenate([x, x], 2)),
    "last": ("concat(x, x, over = last)", lambda: np.concatenate([x, x], 2)),
    "truth values count": ("concat(x > 0, y, over = first)", lambda: np.concatenate([x > 0, y])),
}


@pytest.mark.parametrize("case", PARTS)
def test_concat_has_its_meaning(tmp_path: Path, case: str) -> None:
    text, meaning = PARTS[case]
    body = BODY.format(text).replace("(12, m, 5)", "(12, m, T = 5)")
    found = model(tmp_path, body).forward(**_read(text))["Z"]
    np.testing.assert_array_equal(found, meaning())


def test_split_undoes_concat(tmp_path: Path) -> None:
    net = model(
        tmp_path,
        "input x : (12, m, 5)\na, b, c = split(x, (1, 4, 7), over = first)\nk, l = split(a, [2, 3], over = last)\n"
        "output Z = concat(a, b, c, over = first)\noutput k\noutput l\noutput c",
    )
    found = net.forward(x=x)
    np.testing.assert_array_equal(found["Z"], x)
    np.testing.assert_array_equal(found["c"], x[5:])
    np.testing.assert_array_equal(found["k"], x[:1, :, :2])
    np.testing.assert_array_equal(found["l"], x[:1, :, 2:])


def test_a_joined_axis_keeps_its_name() -> None:
    checked = check(
        Path("net.dl"),
        text="""
model Net:
    n = 3
    input a, b : (n, m)
    c = concat(a, b, over = n)
    output Z = softmax(c, over = n)
""",
    ).checked
    assert checked is not None
    assert [(str(axis.size), axis.name) for axis in checked.shapes["c"].axes] == [("6", "n"), ("m", "m")]


def test_class_numbers_are_joined_as_they_are(tmp_path: Path) -> None:
    net = model(tmp_path, "input a, b : (m, 2) index(5)\noutput Z = one_hot(concat(a, b, over = last), over = last)")
    a, b = RNG.integers(0, 5, size=(2, 3, 2))
    np.testing.assert_array_equal(net.forward(a=a, b=b)["Z"], np.eye(5)[np.concatenate([a, b], 1)])


# --- each example's own length ---------------------------------------------------------------------------------


def test_einsum_does_not_see_padding(tmp_path: Path) -> None:
    net = model(tmp_path, "dim T\ninput x : (3, m, T)\noutput Z = einsum(x, x, (i, m, T), (j, m, T) -> (i, j, m))")
    data, steps = RNG.normal(size=(3, 4, 6)), [6, 2, 1, 4]
    found = net.forward(x=data, lengths={"T": steps})["Z"]
    for example, length in enumerate(steps):
        own = data[:, example, :length]
        np.testing.assert_allclose(found[:, :, example], own @ own.T, rtol=1e-12)


def test_a_length_is_merged_only_as_the_slowest_part() -> None:
    above = "dim T\ninput x : (3, m, T)\noutput Z = "
    assert not told(above + "sum(rearrange(x, (n, m, T) -> (T * n, m)), over = first)")
    error = only(above + "sum(rearrange(x, (n, m, T) -> (n * T, m)), over = first)")
    assert (error.code, place(error, above + "sum(rearrange(x, (n, m, T) -> (n * T, m)), over = first)")) == (
        "D119",
        "n * T",
    )


def test_steps_merged_with_features_hide_their_padding(tmp_path: Path) -> None:
    net = model(
        tmp_path,
        "dim T\ninput x : (3, m, T)\noutput Z = max(rearrange(x, (n, m, T) -> (T * n, m)), over = first)",
    )
    data, steps = -RNG.uniform(1, 2, size=(3, 2, 4)), [4, 2]
    data[:, 1, 2:] = 7.0
    found = net.forward(x=data, lengths={"T": steps})["Z"]
    np.testing.assert_array_equal(found, [[data[:, 0].max(), data[:, 1, :2].max()]])


def test_only_the_last_of_joined_sequences_has_its_own_length(tmp_path: Path) -> None:
    above = "dim T\ninput x : (3, m, T)\ninput a : (3, m, 1)\n"
    assert only(above + "output Z = concat(x, a, over = T)").code == "D119"
    net = model(tmp_path, above + "output Z = max(concat(a, x, over = last), over = last)")
    data, steps = RNG.normal(size=(3, 2, 4)), [4, 2]
    data[:, 1, 2:] = 99.0
    head = RNG.normal(size=(3, 2, 1))
    found = net.forward(x=data, a=head, lengths={"T": steps})["Z"]
    np.testing.assert_array_equal(found[:, 0, 0], np.concatenate([head[:, 0], data[:, 0]], 1).max(1))
    np.testing.assert_array_equal(found[:, 1, 0], np.concatenate([head[:, 1], data[:, 1, :2]], 1).max(1))
    assert only("dim T\ninput x : (3, m, T + 1)\na, b = split(x, (T, 1), over = last)\noutput b").code == "D119"


# --- lists -----------------------------------------------------------------------------------------------------


def test_a_list_is_a_tensor_where_a_shape_is_written(tmp_path: Path) -> None:
    net = model(
        tmp_path,
        "n = 4\ninput x : (3, m)\nK : (2, 3) = [[1, 0, -1], [1/2, n, -1e-3]]\nrow = [1, 2, 3]\nr : (3) = row\n"
        "output Z = K @ x\noutput R = r @ x\noutput s = f([[1, 2, 3]]) @ x",
        above="function f(K : (a, b)) = K * b\n",
    )
    data = RNG.normal(size=(3, 4))
    found = net.forward(x=data)
    np.testing.assert_allclose(found["Z"], np.array([[1, 0, -1], [0.5, 4, -1e-3]]) @ data)
    np.testing.assert_allclose(found["R"], np.array([1, 2, 3]) @ data)
    np.testing.assert_allclose(found["s"], np.array([[3, 6, 9]]) @ data)


# --- metrics ---------------------------------------------------------------------------------------------------


def test_a_metric_sums_products_over_the_whole_split(tmp_path: Path) -> None:
    net = model(
        tmp_path,
        "input x : (3, m)\ntarget y : (3, m)\nY_hat = x * 2\nloss squared_error(Y_hat, y)\n"
        "metric c = sum(einsum(Y_hat, y, (i, m), (j, m) -> (i, j)), over = all)^2\noutput Y_hat",
    )
    a, b = RNG.normal(size=(2, 3, 50))
    found = net.evaluate(x=a, y=b)
    assert found["c"] == pytest.approx(float((2 * a @ b.T).sum() ** 2), rel=1e-12)


def test_a_product_of_two_sums_is_no_sum_of_products(tmp_path: Path) -> None:
    """Each operand's own sum over the examples goes on over the batches; the product is taken once."""
    net = model(
        tmp_path,
        "input x : (3, m)\ntarget y : (3, m)\nY_hat = x * 2\nloss squared_error(Y_hat, y)\n"
        "metric c = einsum(Y_hat, y, (i, m), (i, k = m) -> ())\noutput Y_hat",
    )
    a, b = RNG.normal(size=(2, 3, 50))
    assert net.evaluate(x=a, y=b)["c"] == pytest.approx(float(2 * a.sum(1) @ b.sum(1)), rel=1e-12)


# --- layers, for all sizes -------------------------------------------------------------------------------------

HEADS = """
layer Heads(heads):
    input Q : (d_model, m, T)
    require d_model % heads == 0, "heads must divide d_model"
    Q_h : (heads, d_model / heads, m, T) = rearrange(Q, (heads * d, m, T) -> (heads, d, m, T))
    Z : (d_model, m, T) = rearrange(Q_h, (heads, d, m, T) -> (heads * d, m, T))
    output Z
"""


def test_heads_are_put_together_again_for_all_sizes(tmp_path: Path) -> None:
    net = model(tmp_path, "input x : (12, m, 5)\noutput Z = x -> Heads(3)", above=HEADS)
    np.testing.assert_array_equal(net.forward(x=x)["Z"], x)
    error = only("input x : (12, m, 5)\noutput Z = x -> Heads(5)", above=HEADS)
    assert error.code == "D113"


def test_a_definition_that_is_wrong_for_all_sizes_is_told_there() -> None:
    wrong = HEADS.replace("-> (heads * d, m, T))", "-> (heads, d * m, T))").replace("Z : (d_model, m, T)", "Z")
    assert "P302" in {error.code for error in told("input x : (12, m, 5)\noutput Z = x -> Heads(3)", above=wrong)}
    lost = HEADS.replace("-> (heads * d, m, T))", "-> (heads, m, T))")
    assert {error.code for error in told("input x : (12, m, 5)\noutput x", above=lost)} == {"D123"}


def test_names_of_a_pattern_are_its_own() -> None:
    body = (
        "input x : (12, m, 5)\n"
        "a = rearrange(x, (3 * d, m, T) -> (3, d, m, T))\nb = rearrange(x, (n, m, d) -> (d, m, n))"
    )
    assert not told(body + "\noutput a\noutput b")
    assert only(body + "\noutput a * d").code == "N201"


def test_further_axes_of_a_pattern_are_its_own() -> None:
    body = (
        "input x : (12, m, 5)\ninput image : (m, 6, 6, 3)\n"
        "output a = rearrange(x, (n, m, ...) -> (m, ..., n))\noutput b = rearrange(image, (m, ..., c) -> (... * c, m))"
    )
    assert not told(body)


def test_flatten_is_text(tmp_path: Path) -> None:
    net = model(
        tmp_path,
        "input image : (m, 6, 6, 3)\noutput Z = image -> Flat()",
        above="layer Flat():\n    input A : (m, ..., c)\n"
        "    output Z : (... * c, m) = rearrange(A, (m, ..., c) -> (... * c, m))\n",
    )
    np.testing.assert_array_equal(net.forward(image=image)["Z"], image.reshape(4, -1).T)

"""Attention and the Transformer's blocks equal torch's at the same weights, with the gradients of all parameters and
with sequences of different lengths."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc.runtime.engine import Target

torch = pytest.importorskip("torch")
F = torch.nn.functional
RNG = np.random.default_rng(11)
M, N, HEADS = 4, 12, 3
X_LENGTHS, Y_LENGTHS = [7, 3, 1, 5], [2, 6, 4, 1]

Values = dict[str, Any]


def model(tmp_path: Path, body: str, target: Target = "reference") -> dlc.Model:
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    path = tmp_path / "net.dl"
    path.write_text(f"model Net:\n    dim S\n    dim T\n{lines}", encoding="utf-8")
    net = dlc.load(path).compile(dtype="float64", target=target)
    for name, array in net.params.items():
        net.params[name] = RNG.normal(size=np.shape(array)) / 2
    return net


def attention(p: Values, name: str, q: Any, k: Any, v: Any, key_lengths: list[int], causal: bool = False) -> Any:
    """torch's own: steps first there, the features last."""
    layer = torch.nn.MultiheadAttention(N, HEADS, bias=False, kdim=k.shape[0], vdim=v.shape[0], dtype=torch.float64)
    own = torch.nn.functional.multi_head_attention_forward
    turned = [value.permute(2, 1, 0) for value in (q, k, v)]
    steps, keys = turned[0].shape[0], turned[1].shape[0]
    mask = torch.ones(steps, keys, dtype=torch.bool).triu(1) if causal else None
    padding = torch.arange(keys)[None, :] >= torch.tensor(key_lengths)[:, None]
    result, _ = own(
        *turned, N, HEADS, None, None, None, None, False, 0.0, p[f"{name}.W_O"], None, False, padding, False, mask,
        use_separate_proj_weight=True, q_proj_weight=p[f"{name}.W_Q"], k_proj_weight=p[f"{name}.W_K"],
        v_proj_weight=p[f"{name}.W_V"],
    )  # fmt: skip
    assert layer.out_proj.weight.shape == p[f"{name}.W_O"].shape
    return result.permute(2, 1, 0)


def norm(p: Values, name: str, a: Any) -> Any:
    turned = F.layer_norm(a.movedim(0, -1), (a.shape[0],), p[f"{name}.gamma"].flatten(), p[f"{name}.beta"].flatten())
    return turned.movedim(-1, 0)


def dense(p: Values, name: str, a: Any) -> Any:
    return torch.einsum("kn,nmt->kmt", p[f"{name}.W"], a) + p[f"{name}.b"].reshape(-1, 1, 1)


def feed(p: Values, name: str, a: Any) -> Any:
    return dense(p, f"{name}.dense[2]", torch.relu(dense(p, f"{name}.dense[1]", a)))


def encoder(p: Values, name: str, x: Any, lengths: list[int], causal: bool = False) -> Any:
    a = norm(p, f"{name}.norm_1", x + attention(p, f"{name}.attend", x, x, x, lengths, causal))
    return norm(p, f"{name}.norm_2", a + feed(p, f"{name}.feed", a))


def decoder(p: Values, name: str, y: Any, x: Any, y_lengths: list[int], x_lengths: list[int]) -> Any:
    a = norm(p, f"{name}.norm_1", y + attention(p, f"{name}.attend", y, y, y, y_lengths, True))
    b = norm(p, f"{name}.norm_2", a + attention(p, f"{name}.look", a, x, x, x_lengths))
    return norm(p, f"{name}.norm_3", b + feed(p, f"{name}.feed", b))


def additive(p: Values, d: Values) -> Any:
    hidden = torch.einsum("kn,nm->km", p["f.W_s"], d["s"])[:, :, None] + torch.einsum("kn,nmt->kmt", p["f.W_a"], d["x"])
    e = torch.einsum("ok,kmt->omt", p["f.v"], torch.tanh(hidden + p["f.b"]))
    beyond = torch.arange(e.shape[2])[None, :] >= torch.tensor(X_LENGTHS)[:, None]
    alpha = torch.softmax(e.masked_fill(beyond[None], -torch.inf), 2)
    return (alpha * d["x"]).sum(2, keepdim=True)


CASES: dict[str, tuple[str, Callable[[Values, Values], Any], str]] = {
    "attention": (
        "f = MultiHeadAttention(3)\nZ = f(y, x, x)",
        lambda p, d: attention(p, "f", d["y"], d["x"], d["x"], X_LENGTHS),
        "T",
    ),
    "of itself": (
        "f = MultiHeadAttention(3)\nZ = f(y, y, y)",
        lambda p, d: attention(p, "f", d["y"], d["y"], d["y"], Y_LENGTHS),
        "T",
    ),
    "causal": (
        "f = MultiHeadAttention(3, causal = true)\nZ = f(y, y, y)",
        lambda p, d: attention(p, "f", d["y"], d["y"], d["y"], Y_LENGTHS, True),
        "T",
    ),
    "norm": ("f = LayerNorm()\nZ = f(y)", lambda p, d: norm(p, "f", d["y"]), "T"),
    "encoder": (
        "f = EncoderBlock(3, 20)\nZ = f(x)",
        lambda p, d: encoder(p, "f", d["x"], X_LENGTHS),
        "S",
    ),
    "decoder": (
        "f = DecoderBlock(3, 20)\nZ = f(y, x)",
        lambda p, d: decoder(p, "f", d["y"], d["x"], Y_LENGTHS, X_LENGTHS),
        "T",
    ),
    "a stack": (
        "for l in 1..2:\n    e[l] = EncoderBlock(3, 8, causal = true)\n"
        "f = DecoderBlock(3, 8)\nZ = f(y, x -> e[1] -> e[2])",
        lambda p, d: decoder(
            p,
            "f",
            d["y"],
            encoder(p, "e[2]", encoder(p, "e[1]", d["x"], X_LENGTHS, True), X_LENGTHS, True),
            Y_LENGTHS,
            X_LENGTHS,
        ),
        "T",
    ),
    "additive": ("f = AdditiveAttention(5)\nZ = rearrange(f(s, x), (n, m) -> (n, m, 1))", additive, ""),
}


@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_equal_torchs(tmp_path: Path, case: str, target: Target) -> None:
    body, theirs, steps = CASES[case]
    net = model(
        tmp_path,
        "input x : (12, m, S)\ninput y : (12, m, T)\ninput s : (6, m)\n"
        f"{body}\nloss sum(Z * Z + sin(Z), over = (first, last))\noutput Z",
        target,
    )
    data = {
        "x": RNG.normal(size=(N, M, max(X_LENGTHS))),
        "y": RNG.normal(size=(N, M, max(Y_LENGTHS))),
        "s": RNG.normal(size=(6, M)),
    }
    lengths = {"S": X_LENGTHS, "T": Y_LENGTHS}
    given = {name: array for name, array in data.items() if name in net.spec.inputs}
    needed = _reads(body)
    p = {name: torch.tensor(array, requires_grad=True) for name, array in net.params.items()}
    expected = theirs(p, {name: torch.tensor(array) for name, array in data.items()})
    own = np.array(lengths[steps] if steps else [1] * M)
    counts = torch.tensor(np.arange(expected.shape[2])[None, :] < own[:, None])[None]
    value = torch.where(counts, expected, 0.0)
    cost = (value * value + torch.sin(value)).sum() / M
    cost.backward()
    used = {name: given[name] for name in needed}
    own_lengths = {name: lengths[name] for name, array in (("S", "x"), ("T", "y")) if array in needed}
    found = net.forward(lengths=own_lengths, **used)["Z"]
    where = np.broadcast_to(counts.numpy(), found.shape)
    np.testing.assert_allclose(found[where], expected.detach().numpy()[where], rtol=1e-9, atol=1e-9)
    loss, gradients = net.loss_and_grads(lengths=own_lengths, **used)
    assert loss == pytest.approx(float(cost.detach()), rel=1e-9)
    for name, gradient in gradients.items():
        reference = p[name].grad.numpy()
        assert np.linalg.norm(gradient - reference) <= 1e-9 * (np.linalg.norm(reference) + 1), name


def _reads(body: str) -> list[str]:
    return [name for name in ("x", "y", "s") if f"({name}" in body or f" {name})" in body or f", {name}" in body]


def test_positional_encoding_is_the_papers(tmp_path: Path) -> None:
    net = model(tmp_path, "input x : (7, m, S)\noutput Z = x -> PositionalEncoding()")
    data = RNG.normal(size=(7, 2, 9))
    expected = data.copy()
    for position in range(9):
        for row in range(7):
            angle = position / 10_000 ** (2 * (row // 2) / 7)
            expected[row, :, position] += np.sin(angle) if row % 2 == 0 else np.cos(angle)
    found = net.forward(x=data, lengths={"S": [9, 4]})["Z"]
    np.testing.assert_allclose(found[:, 0], expected[:, 0], rtol=1e-12)
    np.testing.assert_allclose(found[:, 1, :4], expected[:, 1, :4], rtol=1e-12)


@pytest.mark.parametrize("block", ["EncoderBlock(3, 20)", "EncoderBlock(3, 20, causal = true)"])
def test_each_sequence_is_as_if_it_were_alone(tmp_path: Path, block: str) -> None:
    net = model(tmp_path, f"input x : (12, m, S)\nf = {block}\noutput Z = x -> PositionalEncoding() -> f")
    data = RNG.normal(size=(N, M, 7))
    found = net.forward(x=data, lengths={"S": X_LENGTHS})["Z"]
    for example, steps in enumerate(X_LENGTHS):
        alone = net.forward(x=data[:, example : example + 1, :steps], lengths={"S": [steps]})["Z"]
        np.testing.assert_allclose(found[:, example, :steps], alone[:, 0], rtol=1e-12, atol=1e-12)


def test_a_causal_block_does_not_see_what_follows(tmp_path: Path) -> None:
    net = model(tmp_path, "input x : (12, m, S)\nf = EncoderBlock(3, 20, causal = true)\noutput Z = f(x)")
    data = RNG.normal(size=(N, 1, 7))
    other = data.copy()
    other[:, :, 4:] += 10.0
    one, two = (net.forward(x=each)["Z"] for each in (data, other))
    np.testing.assert_array_equal(one[:, :, :4], two[:, :, :4])
    assert np.abs(one[:, :, 4:] - two[:, :, 4:]).max() > 0.1

"""A forgotten softmax or sigmoid is warned of where a value is plainly no probability, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlc.compiler.driver import check

LINEAR = "param W : (3, 3) ~ he\nparam b : (3, 1) ~ zeros\nz = W @ X + b\n"


def found(body: str) -> list[tuple[str, str]]:
    """What is said of a model of X : (3, m)."""
    lines = "".join(f"    {line}\n" for line in f"input X : (3, m)\n{body}".splitlines())
    return [(d.severity, d.code) for d in check(Path("net.dl"), text=f"model Net:\n{lines}").diagnostics]


@pytest.mark.parametrize(
    ("prediction", "warned"),
    [
        ("z", True),
        ("-2 * z + 1", True),
        ("b * z", True),
        ("tanh(z)", True),
        ("relu(z)", True),
        ("leaky_relu(z)", True),
        ("X -> BatchNorm() -> Dense(3)", True),
        ("rearrange(z, (a, m) -> (a, m))", True),
        ("softmax(z)", False),
        ("sigmoid(-z)", False),
        ("exp(z) / sum(exp(z), over = first)", False),
        ("max(0, min(1, 0.2 * z + 0.5))", False),
        ("max(z, 0) + min(1 - z, 0)", False),
        ("tanh(relu(z))", False),
        ("0.5 * tanh(z) + 0.5", False),
        ("0 * z + 1/3", False),
        ("softmax(W) @ softmax(z)", False),
        ("X", False),
    ],
)
@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_what_is_no_probability(prediction: str, warned: bool, loss: str) -> None:
    body = f"{LINEAR}target Y : (3, m)\np = {prediction}\nloss {loss}(p, Y)\nloss sum(z^2, over = first)\noutput p"
    said = found(body)
    assert (("warning", "P313") in said) is warned
    assert all(severity == "warning" for severity, _ in said)


def test_a_frozen_table_may_hold_probabilities() -> None:
    """A fixed matrix of transitions is not learned: its product with a distribution is one."""
    body = "{} P : (3, 3) ~ he\ntarget Y : (3, m)\np = P @ softmax(X -> Dense(3))\nloss cross_entropy(p, Y)\noutput p"
    assert ("warning", "P313") in found(body.format("param"))
    assert found(body.format("frozen param")) == []


def test_it_is_followed_a_limited_way() -> None:
    text = "\n".join(["h[0] = X -> Dense(3)", *(f"h[{i}] = h[{i - 1}] + 1" for i in range(1, 3000))])
    assert found(f"{text}\ntarget Y : (3, m)\nloss cross_entropy(h[2999], Y)\noutput h[2999]") == []

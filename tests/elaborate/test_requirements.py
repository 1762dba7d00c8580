"""Run-time dimensions: what the model needs of them is said in its plainest form and checked when data arrives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dlc
from dlc.compiler.diagnostics import Diagnostic
from dlc.compiler.dims import Dim, Relation, Symbol, floordiv, strongest
from dlc.compiler.driver import check
from dlc.compiler.program import CheckedModel
from dlc.compiler.show import accepted

U_NET = """
model UNet:
    dim n_H, n_W
    input  X : (m, n_H, n_W, 2)
    target Y : (m, n_H, n_W, 2)
    A = X -> Conv(3, 2, pad = same, g = relu)
    B = A -> MaxPool(2)
    D = B -> MaxPool(2)
    U = D -> ConvTranspose(2, 2, stride = 2)
    V = (U + B) -> ConvTranspose(2, 2, stride = 2)
    Y_hat = V + A
    loss sum((Y_hat - Y)^2, over = (n_H, n_W, last))
    output Y_hat
"""


def proved(text: str) -> CheckedModel:
    result = check(Path("net.dl"), text=text)
    assert result.checked is not None, [d.message for d in result.diagnostics]
    return result.checked


def refused(text: str) -> Diagnostic:
    (error,) = (d for d in check(Path("net.dl"), text=text).diagnostics if d.severity == "error")
    return error


def needs(body: str, dims: str = "dim T") -> list[str]:
    text = f"model Net:\n    {dims}\n    input X : (4, m, T)\n" + "".join(f"    {line}\n" for line in body.splitlines())
    return [str(r.condition) for r in proved(text).requirements]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("output Z = X", []),
        ("require T % 2 == 0\nrequire T % 3 == 0\noutput Z = X", ["T % 6 == 0"]),
        ("require T % 4 == 0\nrequire T % 2 == 0\noutput Z = X", ["T % 4 == 0"]),
        ("require T >= 5\nrequire T > 2\noutput Z = X", ["T >= 5"]),
        ("require T % 8 == 0\nrequire T >= 5\noutput Z = X", ["T % 8 == 0"]),
        ("output Z : (4, m, 4 * floor(T / 4)) = X", ["T % 4 == 0"]),
        ("output Z : (4, m, 2 * ceil(T / 2) - 1) = X", ["T % 2 == 1"]),
        ('require T % 2 == 0, "in pairs"\noutput Z = X', ["T % 2 == 0"]),
    ],
)
def test_conditions_in_their_plainest_form(body: str, expected: list[str]) -> None:
    assert needs(body) == expected


@pytest.mark.parametrize("chain", [(2,), (2, 2), (3, 2), (4, 3, 2)])
def test_down_and_up_again_needs_the_product_of_the_strides(chain: tuple[int, ...]) -> None:
    n = Symbol("n", "runtime")
    size, whole = Dim.symbol(n), 1
    for stride in chain:
        size, whole = floordiv(size, stride), whole * stride
    (need,) = strongest([Relation("==", size * whole, Dim.symbol(n))])
    for value in range(1, 200):
        down = value
        for stride in chain:
            down //= stride
        assert need.holds({n: value}) == (down * whole == value)


def test_a_u_net_accepts_what_its_strides_divide() -> None:
    checked = proved(U_NET)
    assert accepted(checked) == "this network accepts n_H x n_W exactly when both are divisible by 4"
    lines = {r.span.line for r in checked.requirements if r.span is not None}
    assert lines == {11}


def test_what_is_required_is_checked_when_data_arrives(tmp_path: Path) -> None:
    (tmp_path / "net.dl").write_text(U_NET)
    model = dlc.load(tmp_path / "net.dl").compile(target="reference")
    X = np.random.default_rng(0).standard_normal((2, 8, 12, 2))
    assert model.forward(X=X)["Y_hat"].shape == (2, 8, 12, 2)
    loss, gradients = model.loss_and_grads(X=X, Y=X)
    assert np.isfinite(loss)
    assert gradients
    with pytest.raises(dlc.DataError, match="V511") as found:
        model.forward(X=X[:, :7])
    assert "n_H % 4 == 0" in str(found.value)
    assert "n_H = 4 and n_H = 8 fit" in str(found.value)


MODEL = "model Net:\n    dim T_x, T_y\n    input X : (4, m, T_x)\n    input Y : (4, m, T_y)\n"


def test_two_free_dimensions_are_not_equal_by_themselves() -> None:
    error = refused(MODEL + "    output Z = X + Y\n")
    assert error.code == "D102"
    assert error.rule is not None
    assert error.rule.endswith("unequal when T_x = 1, T_y = 2")
    assert error.help == "if the data keeps it, write `require T_x == T_y`"
    checked = proved(MODEL + "    require T_x == T_y\n    output Z = X + Y\n")
    assert [str(r.condition) for r in checked.requirements] == ["T_x == T_y"]


def test_the_number_of_examples_is_never_required_to_be_something() -> None:
    text = "model Net:\n    input X : (4, m)\n    param W : (64, 3) ~ he\n    output Z = X @ W\n"
    assert refused(text).code == "D101"
    assert refused("model Net:\n    input X : (4, m)\n    require m == 64\n    output Z = X\n").code == "N208"


def test_a_dimension_is_not_a_number() -> None:
    text = "model Net:\n    dim T\n    input X : (4, m, T)\n    output Z : (4, m, 5) = X\n"
    assert (refused(text).rule or "").endswith("unequal when T = 1")
    assert (refused(text.replace("5", "T + 1")).rule or "").endswith("unequal for every T")


def test_requirements_that_exclude_each_other() -> None:
    text = "model Net:\n    dim T\n    input X : (4, m, T)\n    require T % 2 == 0\n    require T % 2 == 1\n"
    assert refused(text + "    output Z = X\n").code == "D113"


def test_each_example_keeps_what_is_required_of_its_length(tmp_path: Path) -> None:
    text = "model Net:\n    dim T\n    input X : (4, m, T)\n    require T % 2 == 0\n    output Z = X * 2\n"
    (tmp_path / "net.dl").write_text(text)
    model = dlc.load(tmp_path / "net.dl").compile(target="reference")
    X = np.ones((4, 3, 6))
    model.forward(X=X, lengths={"T": [2, 4, 6]})
    with pytest.raises(dlc.DataError, match="T = 3 in example 1"):
        model.forward(X=X, lengths={"T": [2, 3, 6]})


SKIP = """
model Skip:
    input X : (m, 250, 250, 3)
    A = X -> MaxPool(2) -> MaxPool(2) -> ConvTranspose(4, 3, stride = 4)
    output Z = A + X
"""


def test_a_skip_that_does_not_fit_names_the_sizes_that_do() -> None:
    error = refused(SKIP)
    assert "248 against 250" in error.message
    assert error.help is not None
    assert "n_H % 4 == 0 and n_W % 4 == 0: 248 or 252 in place of 250" in error.help
    for fits in ("248", "252"):
        proved(SKIP.replace("250", fits))


@pytest.mark.parametrize(
    ("n", "k", "help"),
    [
        (6, 4, "6 can be divided by 3 and 6; 4 and 8 can be divided by 4"),
        (7, 3, "7 can be divided by 1 and 7; 3, 6 and 9 can be divided by 3"),
        (6, 8, "6 can be divided by 6; 8 can be divided by 8"),
        (512, 7, "512 can be divided by 4 and 8; 504, 511 and 518 can be divided by 7"),
        (
            10**12,
            3 * 10**9,
            f"{10**12 - 4 * 10**9}, {10**12 - 10**9} and {10**12 + 2 * 10**9} can be divided by {3 * 10**9}",
        ),
    ],
)
def test_a_remainder_names_the_nearest_numbers_that_divide(n: int, k: int, help: str) -> None:
    """Each of the two may be what is changed; a search for a divisor ends where it is no advice any more."""
    text = f"model Net(n = {n}, k = {k}):\n    require n % k == 0\n    input X : (1, m)\n    output X\n"
    (found,) = check(Path("net.dl"), text=text).diagnostics
    assert found.code == "D113"
    assert found.help == help

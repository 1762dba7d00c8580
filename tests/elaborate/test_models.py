"""What a model's text means: names of parameters, shapes, families, sharing, hypers, programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dlc.compiler.driver import CheckResult, check, programs
from dlc.compiler.program import CheckedModel


def run(text: str, **hypers: Any) -> CheckResult:
    return check(Path("net.dl"), text=text, hypers=hypers)


def proved(text: str, **hypers: Any) -> CheckedModel:
    result = run(text, **hypers)
    assert result.checked is not None, [d.message for d in result.diagnostics]
    return result.checked


def codes(text: str, **hypers: Any) -> list[str]:
    return [d.code for d in run(text, **hypers).diagnostics]


CHAIN = """
model Net(units = 8):
    input X : (3, m)
    Y_hat = X -> Dense(units, relu) -> Dense(4) as middle -> Dropout(0.5) -> Dense(1)
    output Y_hat
"""


def test_parameters_are_named_by_where_they_stand() -> None:
    checked = proved(CHAIN)
    shapes = {name: p.shape for name, p in checked.parameters.items()}
    assert shapes == {
        "dense[1].W": (8, 3),
        "dense[1].b": (8, 1),
        "middle.W": (4, 8),
        "middle.b": (4, 1),
        "dense[2].W": (1, 4),
        "dense[2].b": (1, 1),
    }
    assert checked.parameter_count == 24 + 8 + 32 + 4 + 4 + 1


def test_hypers_change_the_sizes() -> None:
    assert proved(CHAIN, units=5).parameters["dense[1].W"].shape == (5, 3)
    assert proved(CHAIN, units="2 + 1").parameters["dense[1].W"].shape == (3, 3)
    assert codes(CHAIN, unit=5) == ["T406"]
    assert codes(CHAIN, units="[5]") == ["T402"]


def test_a_family_has_one_member_for_each_index() -> None:
    checked = proved("""
model Net(n = [3, 5, 2]):
    input X : (n[0], m)
    A[0] = X
    for l in 1..2:
        param W[l] : (n[l], n[l-1]) ~ he
        A[l] = W[l] @ A[l-1]
    output A[2]
""")
    assert list(checked.parameters) == ["W[1]", "W[2]"]
    assert str(checked.shapes["A[2]"]) == "(2, m)"
    assert checked.parameters["W[2]"].rule == "W[2] : (n[2], n[1])"


def test_a_named_instance_shares_its_parameters() -> None:
    checked = proved("""
model Net:
    input a, b : (3, m)
    f = Dense(4)
    output Z = f(a) + f(b)
""")
    assert list(checked.parameters) == ["f.W", "f.b"]


COMPOSITE = """
layer Inner(n):
    input A : (n_in, m)
    output A -> Dense(n, relu) -> Dense(n) as last

layer Encoder(n):
    input A : (n_in, m)
    output A -> Inner(n) -> Dense(2)

model Net:
    input a, b : (3, m)
    input c : (SIZE, m)
    f = Encoder(4)
    output Z = f(a) + f(b) + f(c)
"""


def test_a_shared_layer_shares_the_layers_in_its_text() -> None:
    checked = proved(COMPOSITE.replace("SIZE", "3"))
    layers = ["f.inner[1].dense[1]", "f.inner[1].last", "f.dense[1]"]
    assert list(checked.parameters) == [f"{layer}.{name}" for layer in layers for name in "Wb"]


def test_a_shared_layer_has_one_size_of_input() -> None:
    (found,) = run(COMPOSITE.replace("SIZE", "5")).diagnostics
    assert found.code == "D108"
    assert found.message.startswith("f is shared, and its uses need different parameters: f.inner[1].dense[1].W")


def test_tied_weights() -> None:
    checked = proved("""
model Net:
    input x : (3, m)
    e = Dense(4)
    h = e(x)
    output y = e.W.T @ h
""")
    assert list(checked.parameters) == ["e.W", "e.b"]
    assert str(checked.shapes["y"]) == "(3, m)"


def test_instances_in_layers_and_arguments() -> None:
    checked = proved("""
layer Twice(inner):
    input A : (n, m)
    output A -> inner -> Dense(2)

model Net:
    input X : (3, m)
    block[1] = Twice(Dense(5))
    output Z = X -> block[1]
""")
    assert list(checked.parameters) == [
        "block[1].inner.W",
        "block[1].inner.b",
        "block[1].dense[1].W",
        "block[1].dense[1].b",
    ]


def test_fans_are_read_from_the_contraction() -> None:
    checked = proved("""
model Net:
    input X : (3, m)
    param w : (3, 2) ~ glorot
    param c : (2, 1) ~ ones
    output Z = w.T @ X + c
""")
    assert (checked.parameters["w"].initial.fan_in, checked.parameters["w"].initial.fan_out) == (3, 2)
    assert checked.parameters["w"].weight
    assert not checked.parameters["c"].weight


@pytest.mark.parametrize(
    ("lines", "used", "fans"),
    [
        ("", "-W @ X", {"W": (8, 2)}),
        ("", "X.T @ (2 * W).T", {"W": (8, 2)}),
        ("param g : ()", "(g * W) @ X", {"W": (8, 2)}),
        ("param g : (2, 1) ~ ones", "(g * W / sqrt(sum(W^2, over = last))) @ X", {"W": (8, 2)}),
        ("", "einsum(rearrange(W, (k, 2 * n) -> (n, k, 2)), X, (n, k, h), (n * 2, m) -> (k, h, m))", {"W": (4, 4)}),
        ("D : (2, 8) ~ bernoulli(0.5)", "(D * W) @ X", {"W": (8, 2)}),
        ("param A : (1, 8) ~ he\nparam B : (2, 1)", "(W + B @ A) @ X", {"W": (8, 2), "A": (1, 8), "B": (1, 2)}),
        ("param b : (8, 1)", "W @ tanh(X + b)", {"W": (8, 2)}),
        # one example alone, drawn: its bias is as large as it is, and no weight
        (
            "param Q : (3, 3)\nparam b : (3, 1)\nz : (3, 1) ~ normal(0, 1)",
            "W @ X + sum(Q @ (Q @ z + b), over = first)",
            {"W": (8, 2), "Q": (3, 3)},
        ),
    ],
)
def test_a_weight_is_found_behind_what_is_no_data(lines: str, used: str, fans: dict[str, tuple[int, int]]) -> None:
    body = "".join(f"    {line}\n" for line in lines.splitlines())
    text = f"model Net:\n    input X : (8, m)\n    param W : (2, 8) ~ he\n{body}    output Z = {used}\n"
    parameters = proved(text).parameters
    weights = {n: (p.initial.fan_in, p.initial.fan_out) for n, p in parameters.items() if p.weight}
    assert weights == fans


def test_frozen_and_freeze() -> None:
    checked = proved("""
model Net:
    input X : (3, m)
    frozen param W : (3, 3) ~ ones
    f = Dense(2)
    freeze f
    output Z = f(W @ X) -> Dense(1)
""")
    assert [name for name, p in checked.parameters.items() if p.frozen] == ["W", "f.W", "f.b"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("", ["conv[1].b", "conv[2].b"]),
        ('load conv from "w.safetensors"', []),
        ('load conv[1].b, conv[3] from "w.safetensors"', ["conv[2].b"]),
        ("freeze conv[2].b", ["conv[1].b"]),
        ("freeze batchnorm[2]", ["conv[1].b"]),
    ],
)
def test_a_bias_before_a_normalization_is_told_once_and_where_it_can_be_left_out(line: str, told: list[str]) -> None:
    """A part that is loaded is written as it was trained; a frozen normalization subtracts no mean of the batch."""
    result = run(f"""
model Net:
    input  X : (m, 8, 8, 3)
    target Y : (1, m)
    A = X -> Conv(3, 4) -> BatchNorm() -> relu
    B = A -> Conv(3, 4) -> BatchNorm() -> relu -> Conv(3, 1)
    {line}
    loss squared_error(B -> Flatten() -> Dense(1), Y)
    output B
""")
    found = [diagnostic for diagnostic in result.diagnostics if diagnostic.code == "P308"]
    assert len(found) == bool(told)
    for diagnostic in found:
        first, _, others = diagnostic.message.partition("; nor has ")
        assert [first.split()[0], *filter(None, [others])] == told
        assert [related.message for related in diagnostic.related] == [f"{name} here" for name in told[1:]]


@pytest.mark.parametrize(
    ("places", "drawn"),
    [("body", 0), ("all", 0), ("body.block[1]", 2), ("body.block[1].dense[1]", 3), ("body.block", 1), ("top", 3)],
)
def test_a_frozen_layer_goes_by_its_otherwise(places: str, drawn: int) -> None:
    """Also where the line stands below the layer's use, and in functions that the layer calls."""
    checked = proved(f"""
function noisy(A : (...)):
    when training:
        D : (...) ~ bernoulli(0.5)
        output A * D
    otherwise:
        output A

layer Block():
    input A : (n, m)
    output A -> Dense(4, relu) -> Dropout(0.5)

layer Body():
    input A : (n, m)
    output noisy(A -> Block() -> Block())

model Net:
    input  X : (3, m)
    target Y : (1, m)
    Y_hat = X -> Body() as body -> Dense(1) as top
    freeze {places}
    param c : (1, 1)
    loss squared_error(c * Y_hat, Y)
    output Y_hat
""")
    draws = [node for node in checked.training.nodes if node.op.startswith("draw_")]
    assert len(draws) == drawn


def test_compile_time_arithmetic_is_exact() -> None:
    checked = proved("""
n_x = 64 * 64 * 3
model Net(k = 7):
    input X : (n_x, m)
    param W : (floor(2 * k / 3) + 10 // 4 + 7 % 4 + 2^3, n_x) ~ he
    output Z = 1/2 * (W @ X)
""")
    assert checked.parameters["W"].shape == (4 + 2 + 3 + 8, 12288)


def test_own_names_win_over_the_library() -> None:
    checked = proved("""
layer Dense(n):
    input A : (k, m)
    param V : (n, k) ~ he
    output V @ A
model Net:
    input X : (3, m)
    output Z = X -> Dense(2)
""")
    assert list(checked.parameters) == ["dense[1].V"]


def test_a_layer_of_several_outputs() -> None:
    checked = proved("""
layer Two():
    input A : (n, m)
    output 2 * A
    output B = A + 1
model Net:
    input X : (3, m)
    a, b = Two()(X)
    output c = X -> Two() -> Dense(1)
    output d = a * b
""")
    assert str(checked.shapes["d"]) == "(3, m)"


def test_the_three_programs() -> None:
    checked = proved("""
model Net:
    input X : (3, m)
    target Y : (3, m)
    A = X -> Dense(3) -> Dropout(0.5)
    loss squared_error(A, Y)
    output A
""")
    ops = {
        mode: {node.op for node in getattr(checked, mode).nodes} for mode in ("training", "deterministic", "evaluation")
    }
    assert "draw_uniform" in ops["training"]
    assert "draw_uniform" not in ops["deterministic"]
    assert "draw_uniform" not in ops["evaluation"]


def test_one_mistake_gives_one_error() -> None:
    assert codes("""
model Net:
    input X : (3, m)
    A = X -> Dense(4, rleu)
    B = A -> Dense(2)
    C = B + A
    output C
""") == ["N201"]


def test_imports_stay_inside_the_folder(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "blocks.dl").write_text("layer Half():\n    input A : (n, m)\n    output A / 2\n")
    (tmp_path / "net.dl").write_text(
        'import "parts/blocks.dl"\nmodel Net:\n    input X : (3, m)\n    output Z = X -> Half()\n'
    )
    assert check(tmp_path / "net.dl").checked is not None
    (tmp_path / "parts" / "net.dl").write_text('import "../net.dl"\nmodel A:\n    input X : (3, m)\n    output X\n')
    assert [d.code for d in check(tmp_path / "parts" / "net.dl").diagnostics] == ["N210"]
    assert check(tmp_path / "parts" / "net.dl", root=tmp_path).checked is not None


def test_two_imports_that_clash(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.dl").write_text("function f(x) = x\n")
    (tmp_path / "net.dl").write_text('import "a.dl"\nimport "b.dl"\nmodel N:\n    input X : (3, m)\n    output X\n')
    assert [d.code for d in check(tmp_path / "net.dl").diagnostics] == ["N211"]


@pytest.mark.parametrize("name", ["missing.dl", "."])
def test_an_unreadable_file_is_a_diagnostic(tmp_path: Path, name: str) -> None:
    assert [d.code for d in check(tmp_path / name).diagnostics] == ["N210"]


def test_metrics_are_totals_and_formulas() -> None:
    checked = proved("""
model Net:
    input X : (2, m)
    target Y : (2, m)
    Y_hat = X -> Dense(2)
    loss squared_error(Y_hat, Y)
    metric R2(Y_hat, Y)
    output Y_hat
""")
    evaluation = programs(checked).evaluation
    assert len(evaluation.levels) == 2
    assert set(evaluation.formulas) == {"loss", "R2"}


def test_the_courses_own_loss_is_the_library_form() -> None:
    """The written-out binary cross-entropy compiles to the same graph as the library's, from sigmoid's formula too."""
    form = """
model Net:
    input X : (3, m)
    target Y : (1, m)
    Z = X -> Dense(1)
    A = {activation}
    loss {loss}
    output A
"""
    library = form.format(activation="sigmoid(Z)", loss="binary_cross_entropy(A, Y)")
    board = form.format(activation="1/(1+exp(-Z))", loss="-(Y*log(A) + (1-Y)*log(1-A))")
    graphs = [programs(proved(text)).graphs["backward"] for text in (library, board)]
    gradients = [[node.op for node in graph.nodes] for graph in graphs]
    assert sorted(set(gradients[0])) == sorted(set(gradients[1]))
    assert not {"log", "exp"} & set(gradients[1])


def test_a_whole_number_over_m_is_known_when_data_arrives() -> None:
    """`l2(1)` is 1 / (2 * m) times a sum: as good as `l2(0.5)`."""
    checked = proved("""
model Net:
    input X : (3, m)
    target Y : (1, m)
    Y_hat = X -> Dense(1)
    loss squared_error(Y_hat, Y) + 1 / (2 * m)
    output Y_hat
""")
    sizes = {str(node.attr("dim")) for node in programs(checked).graphs["backward"].nodes if node.op == "size"}
    assert sizes <= {"m", "2*m"}

"""Layers of convolutional networks: their shapes, names, parameters, and which definition of a name is meant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dlc
from dlc.compiler.driver import CheckResult, check
from dlc.compiler.equations import Printer
from dlc.compiler.program import CheckedModel
from dlc.compiler.show import work
from dlc.runtime.gradcheck import gradcheck


def run(text: str) -> CheckResult:
    return check(Path("net.dl"), text=text)


def proved(text: str) -> CheckedModel:
    result = run(text)
    assert result.checked is not None, [d.message for d in result.diagnostics]
    return result.checked


def chain(layers: str, shape: str = "(m, 12, 9, 4)") -> CheckedModel:
    return proved(f"model Net:\n    input X : {shape}\n    output Z = X -> {layers}\n")


def errors(layers: str, shape: str = "(m, 12, 9, 4)") -> list[str]:
    result = run(f"model Net:\n    input X : {shape}\n    output Z = X -> {layers}\n")
    return [d.code for d in result.diagnostics]


@pytest.mark.parametrize(
    ("layers", "shape"),
    [
        ("Conv(3, 8)", "(m, 10, 7, 8)"),
        ("Conv(3, 8, stride = 2)", "(m, 5, 4, 8)"),
        ("Conv(3, 8, stride = 2, pad = same)", "(m, 6, 5, 8)"),
        ("Conv(3, 8, pad = 1)", "(m, 12, 9, 8)"),
        ("Conv((3, 1), 8, stride = (1, 3), pad = (same, valid))", "(m, 12, 3, 8)"),
        ("Conv(3, 8, 1, same, 2)", "(m, 12, 9, 8)"),
        ("ConvTranspose(2, 8, stride = 2)", "(m, 24, 18, 8)"),
        ("ConvTranspose(3, 8, stride = 2, pad = same)", "(m, 24, 18, 8)"),
        ("ConvTranspose(3, 8, pad = 1)", "(m, 12, 9, 8)"),
        ("DepthwiseConv(3)", "(m, 10, 7, 4)"),
        ("SeparableConv(3, 8, pad = same)", "(m, 12, 9, 8)"),
        ("MaxPool()", "(m, 6, 4, 4)"),
        ("MaxPool(3)", "(m, 4, 3, 4)"),
        ("MaxPool(3, stride = 1, pad = same)", "(m, 12, 9, 4)"),
        ("MaxPool((2, 3))", "(m, 6, 3, 4)"),
        ("AvgPool(3, stride = 2)", "(m, 5, 4, 4)"),
        ("GlobalAvgPool()", "(m, 1, 1, 4)"),
        ("Flatten()", "(432, m)"),
        ("Flatten() -> BatchNorm()", "(432, m)"),
        ("Inception(3, 2, 4, 1, 2, 5)", "(m, 12, 9, 14)"),
        ("BatchNorm()", "(m, 12, 9, 4)"),
        ("LRN()", "(m, 12, 9, 4)"),
        ("Residual(Conv(3, 4, pad = same))", "(m, 12, 9, 4)"),
        ("Residual(Conv(3, 6, pad = same), shortcut = Conv(1, 6))", "(m, 12, 9, 6)"),
        ("BasicBlock(4)", "(m, 12, 9, 4)"),
        ("BasicBlock(8, stride = 2)", "(m, 6, 5, 8)"),
        ("Bottleneck(2, 4)", "(m, 12, 9, 4)"),
        ("Bottleneck(2, 8, stride = 2)", "(m, 6, 5, 8)"),
        ("SqueezeExcite(2)", "(m, 12, 9, 4)"),
        ("InvertedResidual(4)", "(m, 12, 9, 4)"),
        ("InvertedResidual(8, stride = 2, expand = 1)", "(m, 6, 5, 8)"),
        ("MBConv(4)", "(m, 12, 9, 4)"),
        ("MBConv(8, f = 5, stride = 2, expand = 1)", "(m, 6, 5, 8)"),
    ],
)
def test_shapes(layers: str, shape: str) -> None:
    assert str(chain(layers).shapes["Z"]) == shape


def test_axes_keep_their_names() -> None:
    checked = chain("Conv(3, 8) -> MaxPool() -> BatchNorm() -> LRN()", "(m, n_H = 12, n_W = 9, n_C = 4)")
    assert [axis.name for axis in checked.shapes["Z"].axes] == ["m", "n_H", "n_W", "n_C"]


def test_parameters_are_stored_without_the_ones_of_the_further_axes() -> None:
    checked = chain("Conv(3, 8, groups = 2) as c -> BatchNorm() as norm -> DepthwiseConv((1, 2)) as d")
    assert {name: p.shape for name, p in checked.parameters.items()} == {
        "c.W": (3, 3, 2, 8),
        "c.b": (1, 8),
        "norm.gamma": (1, 8),
        "norm.beta": (1, 8),
        "d.W": (1, 2, 1, 8),
        "d.b": (1, 8),
    }
    assert {name: s.shape for name, s in checked.states.items()} == {"norm.mu": (1, 8), "norm.s2": (1, 8)}


def test_one_set_of_weights_for_two_ranks() -> None:
    """`...` is as many 1s as the input needs; they are not stored, so a shared layer may see images and volumes."""
    checked = proved("""
model Net:
    input images  : (m, 6, 6, 2)
    input volumes : (m, 6, 6, 6, 2)
    f = BatchNorm()
    output a = f(images)
    output b = f(volumes)
""")
    assert {name: p.shape for name, p in checked.parameters.items()} == {"f.gamma": (1, 2), "f.beta": (1, 2)}


def test_fans_of_filters() -> None:
    checked = chain("Conv(3, 8, groups = 2, g = relu) -> ConvTranspose(2, 5)")
    assert (checked.parameters["conv[1].W"].initial.fan_in, checked.parameters["conv[1].W"].initial.fan_out) == (18, 36)
    up = checked.parameters["convtranspose[1].W"].initial
    assert (up.fan_in, up.fan_out) == (4 * 8, 4 * 5)
    assert checked.parameters["convtranspose[1].W"].weight
    assert not checked.parameters["conv[1].b"].weight


def test_the_work_of_a_convolution() -> None:
    line = next(line for line in chain("Conv(3, 8)").lines if line.instance)
    products, bias = 2 * 10 * 7 * 8 * 9 * 4, 10 * 7 * 8
    assert str(work(line.nodes)) == f"{products + bias}*m"


@pytest.mark.parametrize(
    ("shape", "text"), [("(4, m)", "n, 1, ..."), ("(4, m, 7)", "n, 1, ..."), ("(m, 7, 4)", "1, ..., n_C")]
)
def test_the_place_of_m_chooses_the_definition(shape: str, text: str) -> None:
    checked = chain("BatchNorm()", shape)
    assert checked.parameters["batchnorm[1].gamma"].rule == f"batchnorm[1].gamma : ({text})"
    assert str(checked.shapes["Z"]) == shape


OVERLOADED = """
layer Center({first}):
    input A : ({one})
    output A - 1
layer Center({second}):
    input A : ({other})
    output A - 2
model Net:
    input X : (3, m)
    output Z = X -> Center(2)
"""


@pytest.mark.parametrize(
    ("first", "second", "one", "other", "expected"),
    [
        ("k", "k", "n, m", "m, ..., n", []),
        ("k", "k", "m, ..., n", "n, m", []),
        ("k", "k", "..., m", "m, ...", []),
        ("k", "k", "n, m", "n, m, ...", ["N202"]),
        ("k", "k", "n, m", "...", []),
        ("k", "k = 2", "n, m", "m, n", ["N202"]),
        ("k", "j", "n, m", "m, n", ["N202"]),
    ],
)
def test_a_file_may_define_a_layer_for_each_place_of_m(
    first: str, second: str, one: str, other: str, expected: list[str]
) -> None:
    result = run(OVERLOADED.format(first=first, second=second, one=one, other=other))
    assert [d.code for d in result.diagnostics] == expected


def test_the_definition_that_fits_is_run() -> None:
    result = run(OVERLOADED.format(first="k", second="k", one="m, ..., n", other="n, m"))
    assert result.checked is not None
    constants = {node.attr("value") for node in result.checked.evaluation.nodes if node.op == "constant"}
    assert 2.0 in constants
    assert 1.0 not in constants


def test_squeeze_and_excitation_needs_no_annotation() -> None:
    """What a global pooling leaves is written 1, and a convolution that is 1 wide keeps it."""
    checked = proved("""
model Net:
    input A : (m, 8, 8, 6)
    s = A -> GlobalAvgPool() -> Conv(1, 2, g = relu) -> Conv(1, 6, g = sigmoid)
    output B = A * s
""")
    assert str(checked.shapes["B"]) == "(m, 8, 8, 6)"
    assert errors("MaxPool((12, 9)) as pool -> Residual(identity, shortcut = Conv(1, 4))") == []


def test_a_size_that_merely_computes_to_1_does_not_broadcast() -> None:
    result = run("""
model Net:
    input A : (m, 8, 8, 6)
    s = A -> MaxPool(8)
    output B = A * s
""")
    assert [d.code for d in result.diagnostics] == ["D105"]


def test_windows_over_any_axes() -> None:
    checked = proved("""
model Net:
    input X : (m, n_H = 12, n_W = 9, n_C = 4)
    output a = sum(X^2, over = n_C, window = 3, pad = same)
    output b = max(X, over = (n_W, n_H), window = (3, 2), stride = (3, 1))
    output c = mean(X, over = (n_H, n_C), window = 2)
    output d = prod(X, over = n_W, window = 9)
""")
    shapes = {name: str(checked.shapes[name]) for name in "abcd"}
    assert shapes == {"a": "(m, 12, 9, 4)", "b": "(m, 11, 3, 4)", "c": "(m, 11, 9, 3)", "d": "(m, 12, 1, 4)"}


def test_predictions_stay_independent_of_other_examples() -> None:
    assert errors("ConvNorm(3, 8) -> MaxPool() -> BatchNorm() -> SqueezeExcite(2)") == []
    result = run("""
model Net:
    input X : (m, 5, 5, 2)
    output Z = max(X, over = m, window = 2, pad = same)
""")
    assert [d.code for d in result.diagnostics] == ["P302"]


def test_own_words_win_over_those_of_padding() -> None:
    checked = proved("""
same = 1
model Net:
    input X : (m, 8, 8, 2)
    output Z = X -> Conv(5, 3, pad = same)
""")
    assert str(checked.shapes["Z"]) == "(m, 6, 6, 3)"


def test_padding_may_be_a_hyper() -> None:
    text = "model Net(p = same):\n    input X : (m, 8, 8, 2)\n    output Z = X -> Conv(3, 3, pad = p)\n"
    assert str(proved(text).shapes["Z"]) == "(m, 8, 8, 3)"
    other = check(Path("net.dl"), text=text, hypers={"p": "valid"}).checked
    assert other is not None
    assert str(other.shapes["Z"]) == "(m, 6, 6, 3)"


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        ("MaxPool(3, stride = 2, pad = 1)", "max(X, over = (n_H, n_W), window = 3, stride = 2, pad = 1)"),
        (
            "MaxPool((2, 3), pad = (same, valid))",
            "max(X, over = (n_H, n_W), window = (2, 3), stride = (2, 3), pad = (same, 0))",
        ),
        ("Conv(3, 4)", "convolve(X, conv[1].W) + conv[1].b"),
        ("Conv(3, 4, 2, same)", "convolve(X, conv[1].W, stride = 2, pad = same) + conv[1].b"),
    ],
)
def test_equations_are_written_as_the_language_writes_them(layer: str, text: str) -> None:
    checked = chain(layer, "(m, n_H = 12, n_W = 9, n_C = 4)")
    assert Printer({}).text(checked.evaluation.roots["output.Z"]) == text


NETWORKS = {
    "a classic network": "Conv(3, 4, g = tanh) -> AvgPool() -> LRN(3, alpha = 0.5) -> Conv(2, 3, stride = 2, g = tanh)",
    "residual blocks": "ConvNorm(3, 4, g = tanh) -> BasicBlock(5, stride = 2) -> Bottleneck(2, 5) -> Bottleneck(2, 3)",
    "mobile blocks": "InvertedResidual(3, expand = 2, g = silu) -> MBConv(3, expand = 2) -> MBConv(4, 2, stride = 2)",
    "up and down": "Conv(3, 3, stride = 2, pad = same, g = tanh) -> ConvTranspose(3, 2, stride = 2, pad = same)",
    "inception": "Inception(2, 2, 3, 1, 2, 1)",
    "separable": "SeparableConv(3, 5, pad = same, g = silu) -> MaxPool(3, stride = 2, pad = same) -> SqueezeExcite(2)",
}


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_of_whole_networks(name: str, tmp_path: Path) -> None:
    path = tmp_path / "net.dl"
    path.write_text(f"""
model Net:
    input  X : (m, 8, 7, 3)
    target Y : (m, 1, 1, 2)
    Y_hat = X -> {NETWORKS[name]} -> GlobalAvgPool() -> Conv(1, 2)
    loss squared_error(Y_hat, Y)
    output Y_hat
""")
    spec = dlc.load(path)
    model = spec.compile(dtype="float64", target="reference")
    checked = list(gradcheck(model.engine, dict(spec.inputs), list(spec.parameters), entries=6))
    assert {one.name: one.verdict for one in checked} == dict.fromkeys(spec.parameters, "great")


def test_a_network_learns(tmp_path: Path) -> None:
    """Horizontal against vertical stripes, with noise."""
    path = tmp_path / "net.dl"
    path.write_text("""
model Stripes:
    input  X : (m, 8, 8, 1)
    target Y : (m, 1, 1, 2) one_hot
    A = X -> Conv(3, 4, g = relu) -> BatchNorm() -> MaxPool() -> GlobalAvgPool()
    Y_hat = A -> Conv(1, 2, g = softmax)
    loss cross_entropy(Y_hat, Y)
    output Y_hat
""")
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, size=(64, 1, 1))
    stripes = np.where(np.arange(8) % 2 == 0, 1.0, -1.0)
    pictures = np.where(labels == 0, stripes[:, None], stripes[None, :])[..., None]
    x = pictures + 0.3 * rng.normal(size=pictures.shape)
    model = dlc.load(path).compile(dtype="float64", target="reference", seed=1)
    first = model.loss(X=x, Y=labels)
    model.fit(X=x, Y=labels, epochs=30, batch=16, optimizer="Adam(lr = 0.02)")
    assert model.loss(X=x, Y=labels) < first / 5
    found = model.forward(X=x)["Y_hat"].argmax(axis=-1)
    assert np.mean(found == labels) > 0.95


def over_time(layers: str, path: Path) -> dlc.Model:
    path.write_text(f"""
model Net:
    dim T
    input X : (m, T, 3)
    output Z = X -> {layers} -> GlobalAvgPool()
""")
    model = dlc.load(path).compile(dtype="float64", target="reference", seed=1)
    for name, value in model.params.items():
        value[...] = np.random.default_rng(len(name)).normal(size=value.shape)
    return model


@pytest.mark.parametrize(
    "layers",
    [
        "Conv(3, 4, pad = same, g = sigmoid) -> Conv(3, 4, pad = same)",
        "Conv(3, 4, stride = 2, pad = 1, g = sigmoid) -> Conv(2, 4)",
        "MaxPool(2, stride = 1) -> AvgPool(3, stride = 1, pad = 1) -> LRN()",
        "BatchNorm() -> ConvTranspose(3, 4, stride = 2) -> MaxPool(2)",
        "BasicBlock(3) -> SqueezeExcite(2)",
    ],
)
def test_padding_cannot_be_observed(layers: str, tmp_path: Path) -> None:
    """Sequences of different lengths in one batch give what each gives alone."""
    model = over_time(layers, tmp_path / "net.dl")
    x, lengths = np.random.default_rng(0).normal(size=(3, 12, 3)), [12, 7, 9]
    together = model.forward(X=x, lengths={"T": lengths})["Z"]
    for i, length in enumerate(lengths):
        np.testing.assert_allclose(together[i], model.forward(X=x[i : i + 1, :length])["Z"][0], rtol=1e-12)


def test_a_sequence_that_is_shorter_than_the_window_is_refused(tmp_path: Path) -> None:
    model = over_time("Conv(3, 4, stride = 2) -> Conv(2, 4)", tmp_path / "net.dl")
    assert model.forward(X=np.ones((2, 5, 3)))["Z"].shape == (2, 1, 4)
    with pytest.raises(dlc.DataError, match="V511"):
        model.forward(X=np.ones((2, 4, 3)))

"""Maps of names: what a line means, which axes go where, and every mistake at its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file
from torch_files import saved

import dlc
from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.runtime.weights.convert import Converted, converted, source_of
from dlc.runtime.weights.names import read_map

SPEC = """
model Net:
    input  X : (m, 8, 8, 3)
    target Y : (2, m) one_hot
    A = X
        -> ConvNorm(3, 4) as first
        -> ConvTranspose(2, 4, stride = 2) as up
        -> Conv(1, 5) as squeeze
        -> DepthwiseConv(3) as each
    Y_hat = A -> MaxPool(7) -> Flatten() -> Dense(6, relu) -> Dense(2, softmax)
    loss   cross_entropy(Y_hat, Y)
    output Y_hat
"""
MAP = """
# a comment
conv1                         -> first            # behind a line too
bn1                           -> first.norm
up.weight (i, o, h, w)        -> up.W (h, w, i, o)
up.bias                       -> up.b
squeeze                       -> squeeze
each                          -> each
head.0.weight (n, c * h * w)  -> dense[1].W (n, h * w * c) where h = 2, w = 2
head.0.bias                   -> dense[1].b
head.{i}                      -> dense[{i - 1}]
aux                           -> -
"""
RNG = np.random.default_rng(1)


def weights() -> dict[str, Any]:
    """As torch has them."""
    shapes = {
        "conv1.weight": (4, 3, 3, 3),
        "bn1.weight": (4,), "bn1.bias": (4,), "bn1.running_mean": (4,), "bn1.running_var": (4,),
        "up.weight": (4, 4, 2, 2), "up.bias": (4,),
        "squeeze.weight": (5, 4), "squeeze.bias": (5,),
        "each.weight": (5, 1, 3, 3), "each.bias": (5,),
        "head.0.weight": (6, 20), "head.0.bias": (6,),
        "head.3.weight": (2, 6), "head.3.bias": (2,),
        "aux.deep.weight": (9,),
    }  # fmt: skip
    arrays: dict[str, Any] = {name: RNG.normal(size=shape).astype("float32") for name, shape in shapes.items()}
    return arrays | {"bn1.num_batches_tracked": np.array(100)}


def convert(folder: Path, arrays: dict[str, Any], text: str = MAP, spec: str = SPEC) -> Converted:
    (folder / "net.dl").write_text(spec, encoding="utf-8")
    (folder / "w.pth").write_bytes(saved(arrays))
    checked = dlc.load(folder / "net.dl").checked
    return converted(source_of(folder / "w.pth"), checked, read_map(text, "net.map"), "w.pth")


def mistakes(folder: Path, arrays: dict[str, Any], text: str = MAP) -> list[Diagnostic]:
    with pytest.raises(DiagnosticError) as caught:
        convert(folder, arrays, text)
    return caught.value.diagnostics


def test_names_and_axes(tmp_path: Path) -> None:
    w = weights()
    found = convert(tmp_path, w)
    a = found.arrays
    assert (a["first.W"] == w["conv1.weight"].transpose(2, 3, 1, 0)).all()
    for ours, theirs in (("gamma", "weight"), ("beta", "bias"), ("mu", "running_mean"), ("s2", "running_var")):
        assert a[f"first.norm.{ours}"].shape == (1, 4)
        assert (a[f"first.norm.{ours}"][0] == w[f"bn1.{theirs}"]).all()
    assert (a["up.W"] == w["up.weight"].transpose(2, 3, 0, 1)).all()
    assert (a["squeeze.W"] == w["squeeze.weight"].T).all(), "a linear layer as a 1x1 convolution"
    assert (a["each.W"][:, :, 0, 3] == w["each.weight"][3, 0]).all()
    pixels = w["head.0.weight"].reshape(6, 5, 2, 2)
    assert (a["dense[1].W"].reshape(6, 2, 2, 5) == pixels.transpose(0, 2, 3, 1)).all()
    assert a["dense[1].b"].shape == (6, 1)
    assert (a["dense[2].W"] == w["head.3.weight"]).all()
    assert found.left_out == ["aux.deep.weight", "bn1.num_batches_tracked"]
    assert found.missing == []
    assert list(a) == list(dlc.load(tmp_path / "net.dl").checked.tensors)
    assert all(array.flags.c_contiguous for array in a.values())


def test_safetensors_files_of_other_frameworks_are_read_too(tmp_path: Path) -> None:
    arrays = weights()
    expected = convert(tmp_path, arrays).arrays
    save_file(arrays, tmp_path / "w.safetensors")
    checked = dlc.load(tmp_path / "net.dl").checked
    found = converted(source_of(tmp_path / "w.safetensors"), checked, read_map(MAP, "net.map"), "w").arrays
    assert {name: array.tobytes() for name, array in found.items()} == {n: a.tobytes() for n, a in expected.items()}


def test_types_are_kept_at_32_bits_or_more(tmp_path: Path) -> None:
    arrays = weights()
    arrays["squeeze.weight"] = arrays["squeeze.weight"].astype("float16")
    arrays["squeeze.bias"] = arrays["squeeze.bias"].astype("float64")
    found = convert(tmp_path, arrays).arrays
    assert {name: found[f"squeeze.{name}"].dtype.name for name in "Wb"} == {"W": "float32", "b": "float64"}
    assert (found["squeeze.W"] == arrays["squeeze.weight"].T).all()


def test_the_first_line_that_fits_counts(tmp_path: Path) -> None:
    text = """
{i}.a -> W[{i + 1}]
{i}.b -> -
{i}   -> b[{i + 1}]
"""
    spec = """
model Deep:
    input  X : (2, m)
    target Y : (2, m)
    A[0] = X
    for l in 1..2:
        param W[l] : (2, 2) ~ he
        param b[l] : (2, 1) ~ zeros
        A[l] = W[l] @ A[l-1] + b[l]
    loss   squared_error(A[2], Y)
    output Y_hat = A[2]
"""
    arrays = {
        f"{i}{end}": np.full((2, 2) if end == ".a" else 2, i, "float32") for i in (0, 1) for end in (".a", ".b", "")
    }
    found = convert(tmp_path, arrays, text, spec)
    assert {name: float(array.max()) for name, array in found.arrays.items()} == {
        "W[1]": 0, "b[1]": 0, "W[2]": 1, "b[2]": 1,
    }  # fmt: skip
    assert found.left_out == ["0.b", "1.b"]


def test_what_no_line_gives_is_told(tmp_path: Path) -> None:
    arrays = {name: array for name, array in weights().items() if not name.startswith("squeeze")}
    found = convert(tmp_path, arrays, MAP.replace("squeeze                       -> squeeze\n", ""))
    assert found.missing == ["squeeze.W", "squeeze.b"]


@pytest.mark.parametrize(
    ("old", "new", "code", "message"),
    [
        ("aux                           -> -", "", "R614", "no line of the map is about aux.deep.weight of w.pth"),
        ("aux ", "axu ", "R614", "no tensor of w.pth falls to this line"),
        ("-> each", "-> eech", "R614", "the spec has nothing called eech"),
        ("-> each", "-> squeeze", "R614", "squeeze.W would be each.weight and squeeze.weight"),
        ("-> first.norm", "-> first", "R614", "bn1.bias is the bias of a layer, and first has first.W"),
        ("up.bias                       -> up.b", "up.bias -> up", "R614", "up.bias is one tensor, and up is a layer"),
        ("(i, o, h, w)        -> up.W (h, w, i, o)", "-> up.W", "R610", "its axes may stand in any order"),
        ("(h, w, i, o)", "(h, w, i * o)", "R610", "as the line says it is (2, 2, 16)"),
        ("(i, o, h, w) ", "(i, h, w, o, p)", "R614", "both sides have the same axes"),
        ("h = 2, w = 2", "h = 3, w = 2", "R610", "c * h * w is not 20"),
        ("conv1  ", "conv1.weight -> first.W\nconv1.{i}", "R614", "no tensor of w.pth falls to this line"),
    ],
)
def test_mistakes_of_a_map(tmp_path: Path, old: str, new: str, code: str, message: str) -> None:
    text = MAP.replace(old, new)
    assert text != MAP
    found = mistakes(tmp_path, weights(), text)
    fitting = [d for d in found if d.code == code and message in d.message]
    assert fitting, [d.message for d in found]
    if "no line" not in message:
        span = fitting[0].span
        assert span is not None
        assert new.strip().split("\n")[-1].strip()[:6] in text.splitlines()[span.line - 1]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("just words", "this is no line of a map"),
        ("a ->", "this is no line of a map"),
        ("-> b", "this is no line of a map"),
        ("a.{i}{j} -> b[{i}]", "with something between two of them"),
        ("a.{i}.{i} -> b[{i}]", "once on the left side"),
        ("a.{i + 1} -> b[{i}]", "a hole is {i}"),
        ("a.{1} -> b", "has a hole that is none"),
        ("a.{i -> b", "has a hole that is none"),
        ("a -> b[{i}]", "{i} stands on the right side alone"),
        ("a.{i} -> b[{2 * i}]", "has a hole that is none"),
        ("a (n, k) -> b", "axes are written on one side alone"),
        ("a (n, k) -> -", "what is left out has no axes"),
        ("a (n, n) -> b (n, n)", "both sides have the same axes"),
        ("a (n, 2) -> b (2, n)", "2 is no axis"),
        ("a (n * k) -> b (n, k)", "of n * k one size may be unknown"),
        ("a (n) -> b (n) where n = x", "`where` gives sizes to axes"),
        ("a -> b where n = 3", "no axes are written"),
    ],
)
def test_lines_that_cannot_be_read(line: str, message: str) -> None:
    with pytest.raises(DiagnosticError) as caught:
        read_map(f"first -> first\n  {line}  # why\n", "net.map")
    (found,) = caught.value.diagnostics
    assert (found.code, message in found.message) == ("R614", True), found.message
    assert found.span is not None
    assert (found.span.line, found.span.column, found.span.end_column) == (2, 3, 3 + len(line))


@given(st.text("ab{}i+-1>() *,=#.[]whre\n", max_size=80))
def test_any_text_is_a_map_or_a_refusal(text: str) -> None:
    codes: set[str] = set()
    try:
        for rule in read_map(text, "net.map"):
            rule.match("a.1.b.weight")
    except DiagnosticError as error:
        codes = {found.code for found in error.diagnostics}
    assert codes <= {"R614"}


@pytest.mark.timeout(20)
def test_a_long_line_ends_soon() -> None:
    """No pattern goes back over a line again and again."""
    for line in (" " * 200_000, "a" * 200_000, "a (" + "b * " * 50_000, "a -> b" + " " * 200_000 + "x"):
        with pytest.raises(DiagnosticError):
            read_map(f"a{line}(\n", "net.map")


def test_values_that_are_no_parameters(tmp_path: Path) -> None:
    arrays = weights()
    arrays["each.bias"][2] = np.inf
    arrays["squeeze.bias"] = np.arange(5)
    found = mistakes(tmp_path, arrays)
    assert [d.code for d in found] == ["R611", "R611"]
    assert "not finite" in found[1].message
    assert "squeeze.bias in w.pth is I64" in found[0].message


def test_another_size_is_told_with_both_shapes(tmp_path: Path) -> None:
    arrays = weights()
    arrays["conv1.weight"] = arrays["conv1.weight"][:, :2]
    (found,) = mistakes(tmp_path, arrays)
    assert found.code == "R610"
    assert found.message == (
        "conv1.weight is (4, 2, 3, 3) and first.W (3, 3, 3, 4): in the order of ours its axes are (3, 3, 2, 4)"
    )


def test_many_mistakes_are_ten_and_a_count(tmp_path: Path) -> None:
    arrays = weights() | {f"more.{i}": np.zeros(1, "float32") for i in range(30)}
    found = mistakes(tmp_path, arrays)
    assert len(found) == 11
    assert found[-1].message == "and 20 more mistakes like these"

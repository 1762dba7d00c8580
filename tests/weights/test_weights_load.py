"""`load … from`: whose values a model begins with, and which files it takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backbones import BACKBONE, data, spec, values, written
from safetensors.numpy import load_file, save, save_file

import dlc
from dlc.runtime.preparation import Request, prepare_all

SPECS = Path(__file__).resolve().parents[2] / "specs"
LOAD = 'load backbone from "backbone.safetensors"'


def tensors(model: dlc.Model) -> dict[str, Any]:
    return {**model.params, **model.state}


def compiled(path: Path, **how: Any) -> dlc.Model:
    return dlc.load(path).compile(target="reference", **how)


def codes(path: Path, severity: str = "error") -> list[str]:
    return [d.code for d in dlc.check(path) if d.severity == severity]


@pytest.mark.parametrize("place", ["backbone.", "", "features.", "stage[2].features."])
def test_values_stand_under_the_place_or_under_bare_names_or_under_one_other_place(tmp_path: Path, place: str) -> None:
    """What is not loaded begins as it would without the line."""
    arrays = values(place)
    written(tmp_path, {**arrays, "other": np.zeros((2, 2), "float32")})
    loaded = tensors(compiled(spec(tmp_path, LOAD), seed=5))
    alone = tensors(compiled(spec(tmp_path, name="alone.dl"), seed=5))
    assert set(loaded) == {*(f"backbone.{name}" for name in BACKBONE), "top.W", "top.b"}
    for name, array in loaded.items():
        inside = name.removeprefix("backbone.")
        assert array.tobytes() == (arrays[place + inside] if inside in BACKBONE else alone[name]).tobytes()


def test_the_place_itself_comes_before_bare_names(tmp_path: Path) -> None:
    own, bare = values("backbone.", seed=1), values("", seed=2)
    written(tmp_path, {**bare, **own})
    assert (compiled(spec(tmp_path, LOAD)).params["backbone.second.W"] == own["backbone.second.W"]).all()


def test_two_other_places_that_fit_are_one_too_many(tmp_path: Path) -> None:
    written(tmp_path, {**values("a."), **values("b.")})
    (found,) = dlc.check(spec(tmp_path, LOAD))
    assert found.code == "R608"
    assert "several parts like backbone: a and b" in found.message


def test_a_line_may_name_a_parameter_a_family_several_places_or_all(tmp_path: Path) -> None:
    text = """
model Deep(n = [3, 4, 2]):
    input  X : (n[0], m)
    target Y : (n[2], m)
    A[0] = X
    for l in 1..2:
        param W[l] : (n[l], n[l-1]) ~ he
        param b[l] : (n[l], 1) ~ zeros
        A[l] = tanh(W[l] @ A[l-1] + b[l])
    {line} from "w.safetensors"
    loss squared_error(A[2], Y)
    output Y_hat = A[2]
"""
    ones = {
        "W[1]": np.ones((4, 3), "float32"),
        "W[2]": np.ones((2, 4), "float32"),
        "b[1]": np.ones((4, 1), "float32"),
        "b[2]": np.ones((2, 1), "float32"),
    }
    save_file(ones, tmp_path / "w.safetensors")
    for line, expected in (
        ("load W", {"W[1]", "W[2]"}),
        ("load W[2]", {"W[2]"}),
        ("load b, W[1]", {"b[1]", "b[2]", "W[1]"}),
        ("load all", set(ones)),
    ):
        (tmp_path / "deep.dl").write_text(text.format(line=line), encoding="utf-8")
        assert codes(tmp_path / "deep.dl") == []
        model = compiled(tmp_path / "deep.dl")
        assert {name for name, array in model.params.items() if (array == 1).all()} == expected, line


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("stored", ["float64", "float32", "float16", "bfloat16"])
def test_other_real_types_are_rounded_once(tmp_path: Path, stored: str, dtype: str) -> None:
    values64 = {name: np.random.default_rng(4).normal(size=shape) for name, shape in BACKBONE.items()}
    if stored == "bfloat16":
        kept = {name: array.astype("<f4").view("<u4") >> 16 for name, array in values64.items()}
        expected = {name: (array << 16).view("<f4") for name, array in kept.items()}
        content = _with_type({name: array.astype("<u2") for name, array in kept.items()}, "BF16")
    else:
        expected = {name: array.astype(stored) for name, array in values64.items()}
        content = save(expected)
    (tmp_path / "backbone.safetensors").write_bytes(content)
    model = compiled(spec(tmp_path, LOAD), dtype=dtype)
    for name, array in expected.items():
        assert tensors(model)[f"backbone.{name}"].tobytes() == array.astype(dtype).tobytes()


def _with_type(arrays: dict[str, Any], dtype: str) -> bytes:
    """A file whose arrays bear another type of the same width: NumPy has no bfloat16."""
    content = save(arrays)
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    for name in arrays:
        header[name]["dtype"] = dtype
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def test_what_is_no_finite_number_is_refused_when_the_values_are_read(tmp_path: Path) -> None:
    path = spec(tmp_path, LOAD)
    arrays = values()
    arrays["backbone.second.W"][1, 2] = np.nan
    written(tmp_path, arrays)
    assert codes(path) == []
    with pytest.raises(dlc.SpecError, match=r"R611.*backbone\.second\.W .* holds 1 values that are not finite"):
        compiled(path)
    large = {name: array.astype("float64") for name, array in values().items()}
    large["backbone.second.b"][0] = 1e300
    save_file(large, tmp_path / "backbone.safetensors")
    with pytest.raises(dlc.SpecError, match="1e\\+300, too large for float32"):
        compiled(path)
    assert compiled(path, dtype="float64").params["backbone.second.b"][0] == 1e300


# --- what check says ---------------------------------------------------------------------------------------------


def test_check_reads_the_header_alone(tmp_path: Path) -> None:
    """Sixteen gigabytes of values, of which the disk has none."""
    path = spec(tmp_path, 'load backbone.second.W from "large.safetensors"')
    header = json.dumps(
        {
            "backbone.second.W": {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, 64]},
            "large": {"dtype": "F32", "shape": [4_000_000_000], "data_offsets": [64, 16_000_000_064]},
        }
    ).encode()
    with (tmp_path / "large.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        os.truncate(file.fileno(), 8 + len(header) + 16_000_000_064)
    assert codes(path) == []
    assert (compiled(path).params["backbone.second.W"] == 0).all()


def test_check_needs_no_numpy(tmp_path: Path) -> None:
    written(tmp_path, values())
    path = spec(tmp_path, LOAD)
    program = "import sys, dlc; assert not dlc.check(sys.argv[1]); sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program, str(path)], check=False).returncode == 0


def test_every_kind_of_mistake_has_its_code_and_stands_at_the_line(tmp_path: Path) -> None:
    path = spec(tmp_path, LOAD)
    line = path.read_text().splitlines().index(f"    {LOAD}") + 1
    without = values()
    del without["backbone.second.b"]
    wrong_shape = {**values(), "backbone.second.W": np.zeros((5, 4), "float32")}
    whole = {**values(), "backbone.second.b": np.zeros((4, 1), "int64")}
    beside = {**values(), "backbone.second.scale": np.zeros((4, 1), "float32")}
    cases: list[tuple[dict[str, Any] | None, str]] = [
        (None, "R607"), (without, "R608"), (beside, "R609"), (wrong_shape, "R610"), (whole, "R611"), ({}, "R608"),
    ]  # fmt: skip
    for arrays, code in cases:
        if arrays is not None:
            save_file(arrays, tmp_path / "backbone.safetensors")
        (found,) = dlc.check(path)
        assert (found.code, found.severity) == (code, "error")
        assert found.span is not None
        assert found.span.line == line
        with pytest.raises(dlc.SpecError, match=code):
            dlc.load(path)


def test_further_layers_are_a_warning_and_what_stands_elsewhere_a_note(tmp_path: Path) -> None:
    path = spec(tmp_path, LOAD)
    written(tmp_path, {**values(), "backbone.third.W": np.zeros((4, 4), "float32"), "top.W": np.zeros((9, 9), "f4")})
    assert [(d.code, d.severity) for d in dlc.check(path)] == [("R609", "warning")]
    written(tmp_path, {**values(""), "third.W": np.zeros((4, 4), "float32")})
    assert [(d.code, d.severity) for d in dlc.check(path)] == [("R609", "note")]
    assert "third.W" in dlc.check(path)[0].message


def test_a_part_of_another_name_is_loaded_with_a_warning(tmp_path: Path) -> None:
    """It may be another part of the same shapes. (`dlc check` shows notes only where they are asked for.)"""
    path = spec(tmp_path, LOAD)
    file = written(tmp_path, {**values("features."), "head.W": np.zeros((9, 9), "f4")})
    (found,) = dlc.check(path)
    assert (found.code, found.severity) == ("R609", "warning")
    assert found.message == (
        '"backbone.safetensors" has nothing called backbone; features has all of its names and shapes, and is loaded; '
        "not read: head.W"
    )
    assert found.help == "where it is the same part, call it features here too; else it is another file that is meant"
    with pytest.warns(UserWarning, match="R609: .* features has all of its names and shapes"):
        compiled(spec(tmp_path)).load_weights(file, "backbone")


def test_the_nearest_file_and_the_nearest_name_are_offered(tmp_path: Path) -> None:
    written(tmp_path, values())
    path = spec(tmp_path, 'load backbone from "backbnoe.safetensors"')
    (found,) = dlc.check(path)
    assert found.help == 'did you mean "backbone.safetensors"?'
    assert [edit.text for edit in found.fix] == ['"backbone.safetensors"']
    renamed = values()
    renamed["backbone.second.w"] = renamed.pop("backbone.second.W")
    written(tmp_path, renamed)
    (found,) = dlc.check(spec(tmp_path, LOAD))
    assert found.help is not None
    assert found.help.startswith("did you mean backbone.second.w,")


def test_a_file_lies_in_the_folder_of_the_spec_or_of_the_root(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    written(tmp_path, values())
    path = spec(inner, 'load backbone from "../backbone.safetensors"')
    assert codes(path) == ["R607"]
    assert [d.code for d in dlc.check(path, root=tmp_path)] == []
    (inner / "link.safetensors").symlink_to(tmp_path / "backbone.safetensors")
    assert codes(spec(inner, 'load backbone from "link.safetensors"')) == ["R607"]
    assert codes(spec(inner, f'load backbone from "{tmp_path}/backbone.safetensors"')) == ["R607"]
    assert codes(spec(inner, 'load backbone from "."')) == ["R607"]


def test_several_models_of_a_file_are_checked_against_their_own_files(tmp_path: Path) -> None:
    path = spec(tmp_path, 'load backbone from "missing.safetensors"')
    layer, model = path.read_text().split("model ")
    path.write_text(f"{layer}model {model}\nmodel {model.replace('Tuned', 'Other').replace('missing', 'gone')}")
    found = [d.message for prepared in prepare_all(Request(path)) for d in prepared.diagnostics if d.code == "R607"]
    assert found == ['there is no file "missing.safetensors"', 'there is no file "gone.safetensors"']


# --- where files come from -----------------------------------------------------------------------------------------


def test_the_checkpoint_of_another_spec_with_the_same_backbone(tmp_path: Path) -> None:
    """Its optimizer's state and its own top are no concern of the line; a checksum that does not match is."""
    first = compiled(spec(tmp_path, name="first.dl"), seed=2)
    first.fit(**data())
    first.save(tmp_path / "run")
    text = spec(tmp_path, 'load backbone from "run/best.safetensors"', name="second.dl")
    text.write_text(text.read_text().replace("(1, m)", "(2, m)").replace("Dense(1)", "Dense(2)"))
    second = compiled(text)
    assert second.params["top.W"].shape == (2, 4)
    for name in BACKBONE:
        assert (tensors(second)[f"backbone.{name}"] == tensors(first)[f"backbone.{name}"]).all()
    checkpoint = tmp_path / "run" / "best.safetensors"
    assert any(":" in name for name in load_file(checkpoint)), "the optimizer's state is in the file"
    content = bytearray(checkpoint.read_bytes())
    content[-1] ^= 1
    checkpoint.write_bytes(content)
    assert codes(text) == []
    with pytest.raises(dlc.SpecError, match="R612"):
        compiled(text)


def test_the_style_network_takes_what_it_needs_of_vgg19(tmp_path: Path) -> None:
    """As its own text says; the file has three convolutions and the dense layers more."""
    zoo = dlc.load(SPECS / "convolution" / "vgg19.dl", width=2, fc=4, size=32).checked
    save_file({name: np.zeros(d.shape, "float32") for name, d in zoo.tensors.items()}, tmp_path / "vgg19.safetensors")
    text = (SPECS / "style" / "style_transfer.dl").read_text(encoding="utf-8")
    lines = text.replace("    freeze vgg\n", '    load vgg from "vgg19.safetensors"\n    freeze vgg\n')
    (tmp_path / "style.dl").write_text(lines, encoding="utf-8")
    found = dlc.load(tmp_path / "style.dl", width=2, n_H=32, n_W=32)
    assert [d.severity for d in found.diagnostics] == ["note"]
    assert "conv[14].W" in found.diagnostics[0].message
    assert len(found.prepared.weights[0].names) == 2 * 13


def test_a_run_has_its_own_numbers_and_reads_the_file_no_more(tmp_path: Path) -> None:
    written(tmp_path, values())
    model = compiled(spec(tmp_path, LOAD))
    model.fit(**data())
    model.save(tmp_path / "run")
    (tmp_path / "backbone.safetensors").unlink()
    opened = dlc.open(tmp_path / "run", target="reference")
    for name, array in tensors(model).items():
        assert (tensors(opened)[name] == array).all()
    # Settings that need another engine, and soft labels, do not read it either.
    opened.fit(**data(), optimizer="GradientDescent(lr = 0.1)", epochs=1)


def test_load_weights_does_the_same_from_python(tmp_path: Path) -> None:
    arrays = values("")
    file = written(tmp_path, arrays)
    model = compiled(spec(tmp_path))
    before = {name: array.copy() for name, array in tensors(model).items()}
    model.load_weights(file, "backbone")
    for name, array in tensors(model).items():
        inside = name.removeprefix("backbone.")
        assert (array == (arrays[inside] if inside in BACKBONE else before[name])).all()
    for arguments, code in (
        ((file,), "R608"),
        ((file, "backbon"), "N201"),
        ((tmp_path / "gone.safetensors",), "R607"),
        ((spec(tmp_path),), "R612"),
    ):
        with pytest.raises(dlc.SpecError, match=code):
            model.load_weights(*arguments)


# --- fine-tuning -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["reference", "native"])
def test_what_is_frozen_stays_to_the_bit_and_has_no_optimizer_state(tmp_path: Path, target: str) -> None:
    arrays = values()
    written(tmp_path, arrays)
    spec_ = dlc.load(spec(tmp_path, LOAD, "freeze backbone.dense[1], backbone.batchnorm"))
    model = spec_.compile(target=target)
    before = {name: array.copy() for name, array in tensors(model).items()}
    model.fit(**data())
    frozen = {name for name, parameter in spec_.parameters.items() if parameter.frozen}
    assert frozen == {f"backbone.{name}" for name in list(BACKBONE)[:4]}
    for name in spec_.parameters:
        same = model.params[name].tobytes() == before[name].tobytes()
        assert same == (name in frozen), name
        if name in frozen:
            assert before[name].tobytes() == arrays[name].tobytes()
    assert {slot.partition(":")[0] for slot in model.engine.slots} == set(spec_.parameters) - frozen
    _, gradients = model.loss_and_grads(**data())
    assert set(gradients) == set(spec_.parameters) - frozen


def normalized(z: Any, mean: Any, variance: Any, place: dict[str, Any]) -> Any:
    scale = place["backbone.batchnorm[1].gamma"] / np.sqrt(variance + 1e-5)
    return scale * (z - mean) + place["backbone.batchnorm[1].beta"]


@pytest.mark.parametrize("lines", [(LOAD, "freeze backbone"), (LOAD, "freeze top", "freeze backbone.batchnorm")])
def test_a_frozen_batch_normalization_is_the_function_that_predicts(tmp_path: Path, lines: tuple[str, ...]) -> None:
    """While training too it reads its running averages, and leaves them as they are."""
    written(tmp_path, values())
    model = compiled(spec(tmp_path, *lines), dtype="float64")
    there, x, y = {name: array.copy() for name, array in tensors(model).items()}, data(8)["X"], data(8)["Y"]
    z = np.maximum(there["backbone.dense[1].W"] @ x + there["backbone.dense[1].b"], 0)
    n = normalized(z, there["backbone.batchnorm[1].mu"], there["backbone.batchnorm[1].s2"], there)
    a = np.maximum(there["backbone.second.W"] @ n + there["backbone.second.b"], 0)
    expected = np.mean((there["top.W"] @ a + there["top.b"] - y) ** 2) / 2
    assert np.isclose(model.loss(X=x, Y=y), expected, rtol=1e-12, atol=0)
    model.fit(X=x, Y=y, epochs=2)
    for name, array in model.state.items():
        assert array.tobytes() == there[name].tobytes(), name


def test_frozen_parameters_alone_do_not_freeze_the_running_averages(tmp_path: Path) -> None:
    """`freeze norm.gamma` is about one parameter; the layer goes on as its text says."""
    written(tmp_path, values())
    freeze = "freeze backbone.dense[1], backbone.batchnorm[1].gamma, backbone.batchnorm[1].beta"
    model = compiled(spec(tmp_path, LOAD, freeze), dtype="float64")
    x = data(8)["X"]
    z = model.params["backbone.dense[1].W"] @ x + model.params["backbone.dense[1].b"]
    mu = model.state["backbone.batchnorm[1].mu"].copy()
    model.fit(X=x, Y=data(8)["Y"], epochs=1)
    expected = 0.9 * mu + 0.1 * np.maximum(z, 0).mean(axis=1, keepdims=True)
    assert np.allclose(model.state["backbone.batchnorm[1].mu"], expected, rtol=1e-12, atol=0)

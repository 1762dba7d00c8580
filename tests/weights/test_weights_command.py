"""`dlc convert`, from a file of torch to a network that computes with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from backbones import BACKBONE, spec
from safetensors import safe_open
from torch_files import saved

import dlc
from dlc.runtime.cli import main

LOAD = 'load backbone from "backbone.safetensors"'
MAP = """
body.0 -> backbone.dense[1]
body.2 -> backbone.batchnorm[1]
body.3 -> backbone.second
head   -> -
"""
SHAPES = {
    "body.0.weight": (4, 3), "body.0.bias": (4,),
    "body.2.weight": (4,), "body.2.bias": (4,), "body.2.running_mean": (4,), "body.2.running_var": (4,),
    "body.3.weight": (4, 4), "body.3.bias": (4,),
    "head.weight": (7, 4), "head.bias": (7,),
}  # fmt: skip
ARRAYS = {name: np.random.default_rng(6).uniform(0.1, 1, size=shape).astype("f4") for name, shape in SHAPES.items()}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spec that loads what is yet to be converted, weights and a map."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    spec(tmp_path, LOAD)
    (tmp_path / "w.pth").write_bytes(saved(ARRAYS))
    (tmp_path / "net.map").write_text(MAP, encoding="utf-8")
    return tmp_path


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code


CONVERT = ("convert", "w.pth", "net.dl", "--map", "net.map", "-o", "backbone.safetensors")


def test_the_spec_may_load_what_is_being_made(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*CONVERT) == 0
    told = capsys.readouterr()
    assert told.out == "backbone.safetensors: 8 tensors, 52 values\n"
    assert "warning[R608]: net.map gives no value to top.W, top.b of Tuned" in told.err
    with safe_open(folder / "backbone.safetensors", "numpy") as file:
        assert set(file.keys()) == {f"backbone.{name}" for name in BACKBONE}
        assert file.metadata() == {"source": "w.pth", "map": "net.map"}
    model = dlc.load("net.dl").compile(target="reference")
    assert (model.params["backbone.second.W"] == ARRAYS["body.3.weight"]).all()
    assert (model.state["backbone.batchnorm[1].s2"][:, 0] == ARRAYS["body.2.running_var"]).all()


def test_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*CONVERT, "-q", "--format", "json") == 0
    told = capsys.readouterr()
    assert json.loads(told.out) == {
        "file": "backbone.safetensors",
        "tensors": 8,
        "values": 52,
        "left_out": ["head.weight", "head.bias"],
        "missing": ["top.W", "top.b"],
    }
    assert told.err == ""


def test_a_mistake_stands_at_its_line_of_the_map_and_nothing_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "net.map").write_text(MAP.replace("batchnorm", "batchnrom"), encoding="utf-8")
    assert run(*CONVERT) == 1
    told = capsys.readouterr()
    expected = """
error[R614]: the spec has nothing called backbone.batchnrom[1]
 --> net.map:3:1
  |
3 | body.2 -> backbone.batchnrom[1]
  | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  |
  = help: did you mean backbone.batchnorm[1]?
"""
    assert expected in "\n" + told.err
    assert told.out == ""
    assert not (folder / "backbone.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("convert", "gone.pth", *CONVERT[2:]), 1, "error[R607]: there is no file gone.pth"),
        (("convert", "w.pth", "gone.dl", *CONVERT[3:]), 1, "error[N210]"),
        (("convert", "w.pth", "net.dl", "--map", "gone.map", "-o", "x"), 1, "error[R607]: gone.map cannot be opened"),
        (("convert", "w.pth", "net.dl", "--map", "w.pth", "-o", "x"), 1, "error[R614]: w.pth is no map of names"),
        (("convert", "net.dl", *CONVERT[2:]), 1, "error[R612]: net.dl is no safetensors file"),
        ((*CONVERT[:-1], "gone/backbone.safetensors"), 1, "error[R605]"),
        (("convert", "w.pth", "net.dl", "-o", "x"), 2, "--map"),
        (("convert", ".", *CONVERT[2:]), 1, "error[R607]: there is no file ."),
    ],
)
def test_what_can_be_wrong(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, message: str
) -> None:
    assert run(*arguments) == code
    assert message in capsys.readouterr().err

"""The example loads what `dlc convert` makes of torchvision's weights with the map of the zoo."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

import dlc
from dlc.compiler.driver import check

ROOT = Path(__file__).resolve().parents[2]


def test_the_example_takes_the_weights_of_the_zoos_network(tmp_path: Path) -> None:
    zoo = dlc.load(ROOT / "specs" / "convolution" / "mobilenet_v2.dl").checked
    save_file(
        {name: np.zeros(d.shape, "float32") for name, d in zoo.tensors.items()}, tmp_path / "mobilenet_v2.safetensors"
    )
    shutil.copy(ROOT / "examples" / "mobilenet" / "mobilenet.dl", tmp_path)
    assert [d.message for d in dlc.check(tmp_path / "mobilenet.dl") if d.severity != "note"] == []
    classify = dlc.load(tmp_path / "mobilenet.dl", model="Classify").checked
    assert {name.removeprefix("backbone."): d.shape for name, d in classify.tensors.items()} == {
        name: d.shape for name, d in zoo.tensors.items()
    }
    tune = dlc.load(tmp_path / "mobilenet.dl", model="Tune")
    assert [name for name, parameter in tune.parameters.items() if not parameter.frozen] == ["top.W", "top.b"]


def test_there_is_a_name_for_each_class() -> None:
    names = (ROOT / "examples" / "mobilenet" / "classes.txt").read_text(encoding="utf-8").splitlines()
    (model,) = check(ROOT / "examples" / "mobilenet" / "mobilenet.dl", model="Classify").proved
    assert str(model.evaluation.roots["output.p"].type.sizes[0]) == str(len(set(names))) == "1000"

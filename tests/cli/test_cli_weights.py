"""Weights from files on the command line: `load` in a spec that is checked, shown and trained."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cli_shell import Shell
from safetensors.numpy import load_file, save_file

TUNED = """
model Tuned:
    input  X : (64, m)
    target Y : (10, m) one_hot
    hidden = Dense(64, relu)
    load hidden from "first.safetensors"
    freeze hidden
    Y_hat = X -> hidden -> Dense(64, relu) -> Dense(10, softmax)
    loss   cross_entropy(Y_hat, Y)
    metric accuracy(Y_hat, Y)
    output Y_hat

data:
    source = csv("digits.csv")
    X      = columns("pixel_*") / 16
    Y      = column(label)

train:
    batch  = 64
    epochs = 3
"""


@pytest.fixture
def tuned(trained: tuple[Shell, str], tmp_path: Path) -> Shell:
    """A folder with a network whose first layer is that of the trained digits, under another name."""
    shell, run = trained
    shutil.copy(shell.folder / "digits.csv", tmp_path)
    arrays = load_file(shell.folder / run / "best.safetensors")
    save_file(
        {f"first.{name[9:]}": arrays[name] for name in ("dense[1].W", "dense[1].b")}, tmp_path / "first.safetensors"
    )
    (tmp_path / "tuned.dl").write_text(TUNED, encoding="utf-8")
    return Shell(tmp_path)


def test_a_part_is_loaded_and_frozen_and_a_run_needs_the_file_no_more(tuned: Shell) -> None:
    file = load_file(tuned.folder / "first.safetensors")
    assert tuned("check", "tuned.dl").code == 0
    assert '"first.safetensors" has nothing called hidden; first has all' in tuned("check", "tuned.dl").out
    whole = tuned("train", "tuned.dl", "-q")
    half = tuned("train", "tuned.dl", "-q", "--set", "epochs=2")
    (tuned.folder / "first.safetensors").unlink()
    resumed = tuned("train", "--resume", half.run, "-q", "--set", "epochs=3")
    assert resumed.code == 0, resumed.err
    one, other = (load_file(tuned.folder / run / "last.safetensors") for run in (whole.run, half.run))
    for name, array in one.items():
        assert (array == other[name]).all(), name
    for name in ("W", "b"):
        assert (one[f"hidden.{name}"] == file[f"first.{name}"]).all()
    assert not any(name.startswith("hidden.") and ":" in name for name in one)
    assert tuned("evaluate", whole.run).code == 0


def test_without_the_file_a_network_is_shown_and_derived_but_not_trained(tuned: Shell) -> None:
    (tuned.folder / "first.safetensors").unlink()
    for verb in ("show", "derive", "compile"):
        assert tuned(verb, "tuned.dl").code == 0
    for verb in ("check", "train", "gradcheck"):
        done = tuned(verb, "tuned.dl")
        assert done.code == 1
        assert 'error[R607]: there is no file "first.safetensors"' in done.out + done.err


def test_another_size_is_told_before_anything_is_trained(tuned: Shell) -> None:
    done = tuned("train", "tuned.dl", "--set", "epochs=1", "--format", "json")
    assert done.code == 0
    (tuned.folder / "tuned.dl").write_text(TUNED.replace("Dense(64, relu)\n", "Dense(32, relu)\n", 1))
    (found,) = tuned("check", "tuned.dl", "--format", "json").json
    assert (found["code"], found["start"]["line"]) == ("R610", 6)
    assert found["rule"] == "hidden.W : (n, n_in) = (32, 64)"
    assert found["related"][0]["message"] == "hidden.W : (32, 64)"
    assert tuned("train", "tuned.dl").code == 1

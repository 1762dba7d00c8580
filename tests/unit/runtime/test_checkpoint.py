"""Checkpoints: whole or not at all, checked when they are read; run folders are never written over."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlc.compiler.diagnostics import DiagnosticError
from dlc.runtime.checkpoint import (
    BEST,
    LAST,
    create_run,
    load_checkpoint,
    open_run,
    save_checkpoint,
    spec_copies,
    write_whole,
)
from dlc.runtime.engine import Totals
from dlc.runtime.train import Progress, Snapshot

PROGRESS = Progress(epoch=3, batch=2, step=71, totals=Totals(0.1 + 0.2, 1 / 3, 40), best=0.1, best_epoch=2, waited=1)
SHAPES: dict[str, tuple[int, ...]] = {"W": (2, 3), "mu": (3, 1), "W:v": (2, 3), "a": ()}
SETTINGS: dict[str, Any] = {
    "model": "Net", "spec": "net.dl", "data_folder": ".", "data_root": None, "hypers": {}, "settings": {}, "seed": 1,
    "dtype": "float32",
}  # fmt: skip


def snapshot() -> Snapshot:
    rng = np.random.default_rng(0)
    arrays = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in SHAPES.items()}
    return Snapshot(PROGRESS, {"W": arrays["W"], "a": arrays["a"]}, {"mu": arrays["mu"]}, {"W:v": arrays["W:v"]})


def code_of(error: pytest.ExceptionInfo[DiagnosticError]) -> str:
    return error.value.diagnostics[0].code


def test_what_is_saved_comes_back_to_the_bit(tmp_path: Path) -> None:
    saved, record = snapshot(), {"X": {"mean": [0.1, 1 / 3]}}
    save_checkpoint(tmp_path / LAST, saved, record, seed=5)
    loaded = load_checkpoint(tmp_path / LAST, SHAPES)
    assert (loaded.progress, loaded.preprocessing) == (PROGRESS, record)
    again = loaded.snapshot(["W", "a"], ["mu"], ["W:v"])
    for group in ("parameters", "states", "slots"):
        found, before = getattr(again, group), getattr(saved, group)
        assert found.keys() == before.keys()
        assert all((found[name] == array).all() and found[name].shape == array.shape for name, array in before.items())


def test_arrays_of_any_layout_are_saved(tmp_path: Path) -> None:
    base = np.arange(6, dtype=np.float32).reshape(3, 2)
    save_checkpoint(tmp_path / LAST, Snapshot(PROGRESS, {"W": base.T}, {}, {}), None, 1)
    assert (load_checkpoint(tmp_path / LAST, {"W": (2, 3)}).arrays["W"] == base.T).all()


@pytest.mark.parametrize("position", [-1, -30, 200, 20, 0])
def test_a_changed_byte_is_found(tmp_path: Path, position: int) -> None:
    save_checkpoint(tmp_path / LAST, snapshot(), None, 1)
    content = bytearray((tmp_path / LAST).read_bytes())
    content[position] ^= 4
    (tmp_path / LAST).write_bytes(content)
    with pytest.raises(DiagnosticError) as error:
        load_checkpoint(tmp_path / LAST, SHAPES)
    assert code_of(error) in ("R602", "R603")


def test_a_damaged_checkpoint_points_to_the_other(tmp_path: Path) -> None:
    for name in (LAST, BEST):
        save_checkpoint(tmp_path / name, snapshot(), None, 1)
    (tmp_path / LAST).write_bytes((tmp_path / LAST).read_bytes()[:-9])
    with pytest.raises(DiagnosticError) as error:
        load_checkpoint(tmp_path / LAST, SHAPES)
    assert code_of(error) == "R602"
    assert BEST in str(error.value.diagnostics[0].help)


@pytest.mark.parametrize(
    ("shapes", "told"),
    [
        (SHAPES | {"W": (3, 2)}, "W is (2, 3) there and (3, 2) in the model"),
        (SHAPES | {"V": (1,)}, "V is missing"),
        ({name: shape for name, shape in SHAPES.items() if name != "mu"}, "mu is not in the model"),
    ],
)
def test_a_checkpoint_of_another_model_is_refused(
    tmp_path: Path, shapes: dict[str, tuple[int, ...]], told: str
) -> None:
    save_checkpoint(tmp_path / LAST, snapshot(), None, 1)
    with pytest.raises(DiagnosticError) as error:
        load_checkpoint(tmp_path / LAST, shapes)
    assert code_of(error) == "R603"
    assert told in error.value.diagnostics[0].message


def test_a_file_far_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / LAST).open("wb") as file:
        file.truncate(20_000_000)
    with pytest.raises(DiagnosticError) as error:
        load_checkpoint(tmp_path / LAST, SHAPES)
    assert code_of(error) == "R603"


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / LAST
    write_whole(path, b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiagnosticError) as error:
        write_whole(path, b"new")
    assert code_of(error) == "R605"
    assert "no space left on device" in error.value.diagnostics[0].message
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_runs_of_one_second_lie_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.strftime", lambda form: "20260115-101500")
    runs = [create_run(tmp_path / "runs", "net", {"net.dl": "text"}, "net.dl", SETTINGS) for _ in range(3)]
    assert [run.path.name for run in runs] == [
        "net-20260115-101500", "net-20260115-101500-2", "net-20260115-101500-3",
    ]  # fmt: skip
    assert open_run(runs[1].path).spec.read_text() == "text"
    assert not open_run(runs[1].path).moved
    runs[1].path.rename(tmp_path / "elsewhere")
    assert open_run(tmp_path / "elsewhere").moved


@pytest.mark.parametrize("entry", ["../net.dl", "/etc/passwd", "missing.dl"])
def test_no_path_leads_out_of_a_run(tmp_path: Path, entry: str) -> None:
    (tmp_path / "net.dl").write_text("model Evil:")
    run = create_run(tmp_path / "runs", "net", {"net.dl": "text"}, "net.dl", SETTINGS)
    settings = json.loads((run.path / "settings.json").read_text())
    (run.path / "settings.json").write_text(json.dumps(settings | {"entry": entry}))
    with pytest.raises(DiagnosticError) as error:
        open_run(run.path)
    assert code_of(error) == "R601"


@pytest.mark.parametrize("data", [3, {"train": 3}, {"train": {"examples": "many"}}])
def test_a_record_of_the_data_of_another_form_is_told(tmp_path: Path, data: object) -> None:
    run = create_run(tmp_path / "runs", "net", {"net.dl": "text"}, "net.dl", {**SETTINGS, "data": data})
    with pytest.raises(DiagnosticError, match="no record of splits"):
        open_run(run.path)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": "99"}', "null"])
def test_settings_of_another_form_are_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "settings.json").write_text(text)
    with pytest.raises(DiagnosticError) as error:
        open_run(tmp_path)
    assert code_of(error) == "R601"


def test_imports_lie_beside_the_spec_as_they_did() -> None:
    sources = {"nets/net.dl": "main", "nets/parts/a.dl": "a", "std/layers.dl": "library", "--set batch=2": "batch = 2"}
    assert spec_copies(sources, "nets/net.dl") == {"spec.dl": "main", "parts/a.dl": "a"}


def test_imports_from_outside_keep_their_tree() -> None:
    copies = spec_copies({"nets/net.dl": "main", "nets/../common/a.dl": "a"}, "nets/net.dl")
    assert copies == {"sources/nets/net.dl": "main", "sources/common/a.dl": "a", "spec.dl": "main"}
    assert next(iter(copies)) == "sources/nets/net.dl"
    clash = spec_copies({"net.dl": "main", "spec.dl": "other"}, "net.dl")
    assert clash == {"sources/net.dl": "main", "sources/spec.dl": "other", "spec.dl": "main"}

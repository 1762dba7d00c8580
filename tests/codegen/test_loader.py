"""Compiled code on disk: found again, written anew when damaged, refused where others could have written it."""

from __future__ import annotations

from pathlib import Path

import nets
import numpy as np
import pytest
from against_reference import fill, module

from dlc.compiler.codegen.host.kernels import CacheFolderError
from dlc.runtime import loader
from dlc.runtime.native import Native


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "cache"
    made.mkdir(mode=0o700)
    monkeypatch.setenv("DLC_CACHE_DIR", str(made))
    monkeypatch.setattr(loader, "_compiled", {})
    return made


def output() -> np.ndarray:
    native = Native(module({"forward": nets.programs(nets.dense([4, 3]))["forward"]}))
    fill(native)
    return native.run("forward", {"X": np.ones((2, 4))}, 2)["output.Y_hat"]


def test_a_second_start_compiles_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = output()
    written = {path: path.stat().st_mtime_ns for path in folder.rglob("*.nb?")}
    assert len(written) >= 4
    monkeypatch.setattr(loader, "_compiled", {})
    assert np.array_equal(output(), first)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.nb?")} == written


@pytest.mark.parametrize("pattern", ["*.nbi", "*.nbc", "*.py"])
def test_a_damaged_file_is_written_anew(folder: Path, monkeypatch: pytest.MonkeyPatch, pattern: str) -> None:
    first = output()
    for path in folder.rglob(pattern):
        path.write_bytes(path.read_bytes()[:40] + b"damaged")
    monkeypatch.setattr(loader, "_compiled", {})
    assert np.array_equal(output(), first)


def test_a_folder_that_others_may_write_to_is_refused(folder: Path) -> None:
    folder.chmod(0o777)
    with pytest.raises(CacheFolderError):
        output()

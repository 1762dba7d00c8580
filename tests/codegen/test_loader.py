"""Compiled code on disk: found again, compiled again when damaged, refused where others could have written it."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import nets
import numpy as np
import pytest
from against_reference import fill, module
from moves import einsum

from dlc.compiler.codegen.host import objects
from dlc.compiler.codegen.host.objects import CacheFolderError
from dlc.compiler.diagnostics import DiagnosticError
from dlc.compiler.ir import Graph
from dlc.runtime import compilation, loader
from dlc.runtime.compilation import Job
from dlc.runtime.data import pixel_work
from dlc.runtime.native import Native


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "cache"
    made.mkdir(mode=0o700)
    monkeypatch.setenv("DLC_CACHE_DIR", str(made))
    forget(monkeypatch)
    return made


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the process had just started: nothing is linked."""
    linker = objects.Linker()
    monkeypatch.setattr(objects, "linker", lambda: linker)


def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what is compiled from now on."""
    names: list[str] = []

    def compile_jobs(jobs: Sequence[Job]) -> Iterator[tuple[Job, bytes]]:
        names.extend(job.name for job in jobs)
        return compilation.compile_jobs(jobs)

    monkeypatch.setattr(loader, "compile_jobs", compile_jobs)
    return names


def output() -> np.ndarray:
    native = Native(module({"forward": nets.programs(nets.dense([4, 3]))["forward"]}))
    fill(native)
    return native.run("forward", {"X": np.ones((2, 4))}, 2)["output.Y_hat"]


def test_a_second_start_compiles_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, names = output(), compiled(monkeypatch)
    assert {path.suffix for path in folder.rglob("*.*")} >= {".o", ".py"}
    forget(monkeypatch)
    assert np.array_equal(output(), first)
    assert names == []


def test_a_start_that_compiles_nothing_needs_no_numba(folder: Path) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_loader import output\n"
        "print(*output().ravel(), 'numba' in sys.modules)\n"
    )
    said = [
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
        for _ in range(2)
    ]
    assert said[0][:-1] == said[1][:-1]
    assert [words[-1] for words in said] == ["True", "False"]


@pytest.mark.parametrize("damage", [b"", b"damaged"])
def test_damaged_machine_code_is_compiled_again(folder: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes) -> None:
    first, names = output(), compiled(monkeypatch)
    for path in folder.rglob("*.o"):
        path.write_bytes(path.read_bytes()[:40] + damage)
    forget(monkeypatch)
    assert np.array_equal(output(), first)
    assert {"forward", "launch"} < set(names)


def test_a_folder_that_others_may_write_to_is_refused(folder: Path) -> None:
    folder.chmod(0o777)
    with pytest.raises(CacheFolderError):
        output()


def flipped() -> np.ndarray:
    """Bytes turned by half a turn."""
    images, result = np.arange(18, dtype=np.uint8).reshape(1, 3, 3, 2), np.zeros((1, 3, 3, 2), np.uint8)
    pixel_work.turn_nearest(images, np.array([-1.0]), np.array([0.0]), result)
    return result


def test_what_is_done_to_pixels_is_kept_like_all_machine_code(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the user's own folder, in a file for each kernel that was asked for."""
    monkeypatch.setattr(pixel_work, "_loaded", {})
    names = compiled(monkeypatch)
    assert np.array_equal(flipped()[0], np.arange(18).reshape(3, 3, 2)[::-1, ::-1])
    assert "turn_nearest" in names
    assert {path.stem for path in folder.rglob("*.o") if "pixels" in path.stem} == {"dlc_pixels_turn_nearest"}
    forget(monkeypatch)
    monkeypatch.setattr(pixel_work, "_loaded", {})
    names.clear()
    flipped()
    assert names == []


def test_pixels_too_are_not_changed_by_code_that_others_may_write(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixel_work, "_loaded", {})
    folder.chmod(0o777)
    with pytest.raises(DiagnosticError, match="others may write to the folder for compiled code") as caught:
        flipped()
    assert [diagnostic.code for diagnostic in caught.value.diagnostics] == ["R605"]


def test_programs_of_equal_text_call_their_own_kernels(folder: Path) -> None:
    """Two products of kernels that have one name: nothing but what they are in their files tells the programs apart."""
    gc.disable()  # whatever was compiled before is still there
    try:
        for left, right, result in (("ijk", "ilk", "ijl"), ("ijk", "ikl", "ijl"), ("ijk", "ikl", "ilj")):
            _, _, product = einsum(left, right, result, {"i": nets.M, "j": 4, "k": 4, "l": 4})
            native = Native(module({"forward": Graph.of({"output.Z": product})}))
            given = {"X": np.arange(32.0).reshape(2, 4, 4), "Y": np.arange(32.0).reshape(2, 4, 4) ** 2}
            found = native.run("forward", given, 2)["output.Z"]
            assert np.array_equal(found, np.einsum(f"{left},{right}->{result}", *given.values()))
    finally:
        gc.enable()

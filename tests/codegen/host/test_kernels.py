"""Kernels by symbol, their place on disk, and the folder that may be trusted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba.core import registry

from dlc.compiler.codegen.host.address import call_kernel, float64_at, int64_at
from dlc.compiler.codegen.host.kernels import Kernel, address_of, kernel
from dlc.compiler.codegen.host.lowering import lower
from dlc.compiler.codegen.host.machine_code import OneObject, compiling, definition_of, overloads_under
from dlc.compiler.codegen.host.objects import CacheFolderError, cache_folder, fingerprint
from dlc.compiler.codegen.host.scopes import keep_apart


@kernel(cache=False)
def double_units(args: int, first: int, last: int) -> None:
    x = float64_at(int64_at(args)[0])
    for i in range(first, last):
        x[i] *= 2


@kernel("void(intp)", cache=False)
def twice_and_twice(args: int) -> None:
    double_units(args, 0, 2)
    call_kernel(address_of(double_units), args, 2, 5)


def test_called_by_symbol_and_by_address() -> None:
    x = np.ones(6)
    args = np.array([x.ctypes.data])
    twice_and_twice(args.ctypes.data)
    np.testing.assert_array_equal(x, [2, 2, 2, 2, 2, 1])


def test_pointers_that_reach_different_memory_are_told_to_llvm() -> None:
    """Every access has the scope of its own pointer, and the word that it meets no other; x is read and written."""

    def add(args: int, first: int, last: int) -> None:
        given = int64_at(args)
        x, y = float64_at(given[0]), float64_at(given[1])
        for i in range(first, last):
            x[i] += y[i]

    overloads = overloads_under(frozenset())
    library = OneObject(registry.cpu_target.target_context.codegen(), "add")
    with compiling():
        module = lower(add, definition_of(add), "add", overloads, library)
    keep_apart(module.get_global("add"))
    accesses = [line for line in str(module).splitlines() if "!alias.scope" in line]
    scopes = [re.findall(r"!(alias\.scope|noalias) !(\d+)", line) for line in accesses]
    assert len(accesses) == 5  # both addresses, x and y, and x again
    assert len({dict(pair)["alias.scope"] for pair in scopes}) == 3
    assert all(dict(pair)["alias.scope"] != dict(pair)["noalias"] for pair in scopes)


def test_two_closures_of_one_source_are_two_kernels() -> None:
    def adding(step: int) -> Kernel:
        @kernel("void(intp)", cache=False)
        def add(args: int) -> None:
            int64_at(args)[0] += step

        @kernel("void(intp)", cache=False)
        def add_twice(args: int) -> None:
            add(args)
            add(args)

        return add_twice

    x = np.zeros(1, np.int64)
    for step in (1, 10):
        adding(step)(x.ctypes.data)
    assert x[0] == 22


def test_symbol_carries_the_source(tmp_path: Path) -> None:
    text = "from dlc.compiler.codegen.host.kernels import kernel\n@kernel()\ndef f(a, i, j):\n    {}\n"
    symbols = []
    for number, body in enumerate(["pass", "return None", "pass"]):
        path = tmp_path / f"m{number}.py"
        path.write_text(text.format(body))
        names: dict[str, object] = {"__name__": "m"}
        exec(compile(path.read_text(), str(path), "exec"), names)
        symbols.append(names["f"].symbol)  # type: ignore[attr-defined]
    assert symbols[0] == symbols[2] != symbols[1]


@pytest.mark.parametrize("signature", ["intp(intp)", "void(float64)"])
def test_a_kernel_takes_and_gives_no_other_types(signature: str) -> None:
    @kernel(signature, cache=False)
    def wrong(args: int) -> int:
        return args

    with pytest.raises(ValueError, match="a kernel takes intp alone and gives nothing"):
        wrong.machine_code()


def test_a_kernel_that_would_call_the_interpreter_is_refused() -> None:
    @kernel("void(intp)", cache=False)
    def printing(args: int) -> None:
        print(args)

    with pytest.raises(ValueError, match="a kernel does without the interpreter"):
        printing.machine_code()


MODULE = """
import numpy as np
from dlc.compiler.codegen.host import kernels
from dlc.compiler.codegen.host.address import int64_at, call_kernel

compiled = []
machine_code = kernels.machine_code
kernels.machine_code = lambda *given, **more: compiled.append(given[0].__name__) or machine_code(*given, **more)

@kernels.kernel()
def add(args, first, last):
    x = int64_at(args)
    for i in range(first, last):
        x[i] += i

@kernels.kernel("void(intp, intp)")
def run(args, n):
    add(args, 0, n)
    call_kernel(kernels.address_of(add), args, 0, n)

x = np.zeros(5, np.int64)
run(x.ctypes.data, 5)
print(*x, *compiled)
"""


def test_second_process_loads_what_the_first_compiled(tmp_path: Path) -> None:
    path = tmp_path / "generated.py"
    path.write_text(MODULE)
    environment = os.environ | {"DLC_CACHE_DIR": str(tmp_path / "kept")}

    def said() -> str:
        done = subprocess.run([sys.executable, str(path)], env=environment, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    assert said() == "0 2 4 6 8 add run"
    assert said() == "0 2 4 6 8"
    for file in (tmp_path / "kept").rglob("*.o"):
        file.write_bytes(file.read_bytes()[:-1])
    assert said() == "0 2 4 6 8 add run"


def test_machine_code_is_the_same_each_time() -> None:
    """Numba numbers what it compiles; the numbers are not in the object file."""
    assert double_units.machine_code() == double_units.machine_code()


def test_folder_is_made_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLC_CACHE_DIR", str(tmp_path / "a" / "b"))
    assert cache_folder() == tmp_path / "a" / "b"
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    monkeypatch.delenv("DLC_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert cache_folder() == tmp_path / "x" / "dlc"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "dlc"


@pytest.mark.skipif(os.name != "posix", reason="modes and owners are POSIX")
def test_folder_that_others_can_write_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    monkeypatch.setenv("DLC_CACHE_DIR", str(folder))
    with pytest.raises(CacheFolderError, match=r"others may write .*mode 0777.*chmod 700"):
        cache_folder()
    folder.chmod(0o700)
    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(CacheFolderError, match="belongs to user"):
        cache_folder()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DLC_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(CacheFolderError, match="cannot be made"):
        cache_folder()


def test_fingerprint_names_a_file() -> None:
    assert fingerprint().isalnum()
    assert fingerprint() == fingerprint()

"""Machine code as objects: where they are kept on disk, and how they become addresses in this process.

A kernel's machine code is an object file (what a C compiler calls `.o`) that defines one symbol. It is kept under the
user's own cache folder with a checksum behind it, and linked by LLVM into this process; code that calls another kernel
finds it by its symbol. Nothing here needs Numba, so a start that compiles nothing does not import it.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import stat
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm

__all__ = ["CacheFolderError", "address_of_symbol", "cache_folder", "fingerprint", "keep", "kept", "link"]

NUMBA_SETTINGS = ("CPU_NAME", "CPU_FEATURES", "OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "ENABLE_AVX", "BOUNDSCHECK")
"""The `NUMBA_...` variables of the environment that machine code depends on."""
CHECKSUM = hashlib.sha256().digest_size


class CacheFolderError(Exception):
    """The folder for compiled code cannot be trusted: whoever can write there can run code as this user."""


# --- on disk ---------------------------------------------------------------------------------------------------


def cache_folder() -> Path:
    """The user's own folder for generated modules and their machine code; it is made where missing.

    `$DLC_CACHE_DIR`, else `$XDG_CACHE_HOME/dlc`, else `~/.cache/dlc`. Raises CacheFolderError where it belongs to
    somebody else or where others may write to it: loading a cached kernel is running it.
    """
    chosen = os.environ.get("DLC_CACHE_DIR")
    folder = Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dlc"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as problem:
        raise CacheFolderError(f"the folder for compiled code, {folder}, cannot be made: {problem.strerror}") from None
    if os.name == "posix":
        if found.st_uid != os.getuid():
            raise CacheFolderError(
                f"the folder for compiled code, {folder}, belongs to user {found.st_uid}, and you are user "
                f"{os.getuid()}; set DLC_CACHE_DIR to a folder of your own"
            )
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise CacheFolderError(
                f"others may write to the folder for compiled code, {folder} (mode {stat.S_IMODE(found.st_mode):04o}); "
                f"take that away with: chmod 700 '{folder}'"
            )
    return folder


@functools.cache
def fingerprint() -> str:
    """A name for everything that generated machine code depends on besides its own source.

    What is kept in a folder of this name is compiled anew when Python, Numba, the CPU or these files change.
    """
    features = sorted(name for name, present in llvm.get_host_cpu_features().items() if present)
    parts = [sys.version, importlib.metadata.version("numba"), llvmlite.__version__, llvm.get_host_cpu_name()]
    parts += [f"{name}={os.environ.get(f'NUMBA_{name}')}" for name in NUMBA_SETTINGS]
    digest = hashlib.sha256("\0".join([*parts, *features]).encode())
    here = Path(__file__)
    for path in sorted(here.parent.glob("*.py")) if __name__.startswith("dlc.") else [here]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def kept(path: Path) -> bytes | None:
    """The object in a file; None where there is none or it was damaged."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    code, checksum = data[:-CHECKSUM], data[-CHECKSUM:]
    return code if hashlib.sha256(code).digest() == checksum else None


def keep(path: Path, code: bytes) -> None:
    """Write an object, where that is possible: the file appears whole, under its name, or not at all."""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    except OSError:
        return
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(code + hashlib.sha256(code).digest())
        os.replace(temporary, path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)


# --- in this process -------------------------------------------------------------------------------------------


class Linker:
    """LLVM's linker in this process, and the addresses of all symbols that it was given."""

    def __init__(self) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        target = llvm.Target.from_triple(llvm.get_process_triple())
        # What Numba takes: code may lie anywhere in 64 bits; on x86 it is not position-independent.
        position = "static" if target.name.startswith("x86") else "default"
        machine = target.create_target_machine(reloc=position, codemodel="jitdefault", jit=True)
        self.engine: Any = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        self.addresses: dict[str, int] = {}

    def add(self, objects: Mapping[str, bytes]) -> None:
        fresh = {symbol: code for symbol, code in objects.items() if symbol not in self.addresses}
        for code in fresh.values():
            self.engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        self.engine.finalize_object()
        for symbol in fresh:
            self.addresses[symbol] = self.engine.get_function_address(symbol)


linking = threading.Lock()


@functools.cache
def linker() -> Linker:
    return Linker()


def link(objects: Mapping[str, bytes]) -> None:
    """Make objects part of this process, by symbol. Everything that they call has to be linked before, or with them:
    LLVM ends the process over a symbol that is nowhere. What is linked already is left as it is."""
    with linking:
        linker().add(objects)


def address_of_symbol(symbol: str) -> int | None:
    """Where the code of a symbol lies; None if it was not linked."""
    with linking:
        return linker().addresses.get(symbol)

"""Kernels: functions compiled once each, kept on disk, and called by symbol.

Numba links the code of a called function into every caller and optimises it again, transitively, which makes compiling
a large module take minutes. So each kernel is a C callback of its own: it is compiled once, its machine code is
registered with the linker under a name, and callers see no more than a declaration.

Numba's disk cache needs a real file: the generated module is written into `cache_folder()` and Numba keeps the machine
code in `__pycache__` beside it.
"""

# mypy: allow-untyped-decorators

from __future__ import annotations

import functools
import hashlib
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba import cfunc, njit, types
from numba.core import cgutils, sigutils
from numba.extending import intrinsic, models, register_model

__all__ = ["CacheFolderError", "Kernel", "address_of", "cache_folder", "fingerprint", "kernel", "program"]

KERNEL_SIGNATURE = "void(intp, intp, intp)"

# Sums may be reordered and multiply-adds fused, or no sum would be vectorised. NaN and infinity keep their meaning,
# a division stays a division.
FASTMATH = {"contract", "reassoc", "nsz"}


class CacheFolderError(Exception):
    """The folder for compiled code cannot be trusted: whoever can write there can run code as this user."""


class Kernel(types.ExternalFunction):  # type: ignore[misc]
    """A compiled kernel: jitted code calls it like a function, through its symbol."""

    def __init__(self, symbol: str, signature: Any, compiled: Any) -> None:
        super().__init__(symbol, signature)
        self.compiled = compiled

    @property
    def address(self) -> int:
        """Where the machine code lies in this process. Never write it into jitted code, which outlives the process
        in the cache: use `address_of`."""
        return int(self.compiled.address)


register_model(Kernel)(models.OpaqueModel)


def kernel(
    signature: str = KERNEL_SIGNATURE,
    *,
    cache: bool = True,
    fastmath: set[str] | bool = FASTMATH,
    symbol: str | None = None,
) -> Callable[[Callable[..., Any]], Kernel]:
    """Compile a function to machine code and register it: @kernel().

    A kernel(args, first, last) does the units first .. last - 1 of its work; `args` is the address of a block of int64
    that holds the number of examples and the addresses of its operands. A kernel must not raise: it is called from
    threads that hold no interpreter lock.

    Its symbol carries a hash of its source, so that no caller kept on disk can meet another version of it, unless a
    `symbol` is given.
    """

    def compile_kernel(function: Callable[..., Any]) -> Kernel:
        compiled = cfunc(signature, cache=cache, error_model="numpy", fastmath=fastmath)(function)
        args, result = sigutils.normalize_signature(signature)
        name = symbol or f"dlc_{function.__name__}_{source_hash(function)}"
        llvm.add_symbol(name, compiled.address)
        return Kernel(name, result(*args), compiled)

    return compile_kernel


def program(
    signature: str, *, cache: bool = True, fastmath: set[str] | bool = FASTMATH
) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function that Python calls: a whole step or epoch. It runs without the interpreter lock."""
    compile_program: Callable[[Callable[..., Any]], Any] = njit(
        signature, cache=cache, nogil=True, error_model="numpy", fastmath=fastmath
    )
    return compile_program


@intrinsic
def address_of(typing: Any, called: Any) -> tuple[Any, Any]:
    """The address of a kernel, from inside jitted code; the linker fills it in when the code is loaded."""

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(64)] * len(called.sig.args))
        declared = cgutils.get_or_insert_function(builder.module, kind, called.symbol)
        return builder.ptrtoint(declared, ir.IntType(64))

    return types.intp(called), lower


def source_hash(function: Callable[..., Any]) -> str:
    """A short name for the text a function was written in: two versions of a kernel never share a symbol."""
    code = function.__code__
    try:
        text = file_bytes(code.co_filename)
    except OSError:
        text = code.co_code + repr(code.co_consts).encode()
    return hashlib.sha256(text + f"{code.co_firstlineno}".encode()).hexdigest()[:16]


@functools.cache
def file_bytes(path: str) -> bytes:
    return Path(path).read_bytes()


@functools.cache
def fingerprint() -> str:
    """A name for everything that generated machine code depends on besides its own source.

    A generated module whose file name carries it is compiled anew when Python, Numba, the CPU or these files change.
    """
    features = sorted(name for name, present in llvm.get_host_cpu_features().items() if present)
    parts = [sys.version, numba.__version__, llvmlite.__version__, llvm.get_host_cpu_name(), *features]
    digest = hashlib.sha256("\0".join(parts).encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


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

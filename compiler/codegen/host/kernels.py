"""Kernels: functions compiled once each, kept on disk, and called by symbol.

Numba links the code of a called function into every caller and optimises it again, transitively, which makes compiling
a large module take minutes. So each kernel is an object file of its own (`machine_code.py`), and callers see no more
than a declaration. It is compiled, or read from the disk, when its address is first asked for (`objects.py`).
"""

# mypy: allow-untyped-decorators

from __future__ import annotations

import ctypes
import functools
import hashlib
import inspect
import itertools
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils, sigutils
from numba.extending import intrinsic, models, register_model

from dlc.compiler.codegen.host.machine_code import machine_code
from dlc.compiler.codegen.host.objects import (
    CacheFolderError,
    address_of_symbol,
    cache_folder,
    fingerprint,
    keep,
    kept,
    link,
)

__all__ = ["Declared", "Kernel", "address_of", "declared", "kernel"]

KERNEL_SIGNATURE = "void(intp, intp, intp)"

# Sums may be reordered and multiply-adds fused, or no sum would be vectorised. NaN and infinity keep their meaning,
# a division stays a division.
FASTMATH = {"contract", "reassoc", "nsz"}


class Declared(types.ExternalFunction):  # type: ignore[misc]
    """A kernel known by its symbol: jitted code calls it like a function."""


class Kernel(Declared):
    """A kernel with the function that it is compiled from. Python calls it, too; it runs without the interpreter
    lock. All arguments are int64."""

    def __init__(
        self,
        function: Callable[..., Any],
        signature: str,
        symbol: str,
        fastmath: Collection[str],
        cache: bool,
        apart: bool = False,
    ) -> None:
        arguments, result = sigutils.normalize_signature(signature)
        super().__init__(symbol, result(*arguments))
        self.function, self.signature, self.fastmath, self.cache = function, signature, fastmath, cache
        self.apart = apart

    def machine_code(self) -> bytes:
        """The object file, compiled now."""
        return machine_code(self.function, self.signature, self.symbol, self.fastmath, apart=self.apart)

    @property
    def address(self) -> int:
        """Where the machine code lies in this process. Never write it into jitted code, which outlives the process
        in the cache: use `address_of`."""
        found = address_of_symbol(self.symbol)
        if found is not None:
            return found
        for needed in self.needs():
            _ = needed.address
        link({self.symbol: self.stored() if self.cache else self.machine_code()})
        return self.address

    def needs(self) -> list[Kernel]:
        """The kernels that the function calls."""
        names = inspect.getclosurevars(self.function)
        return [value for value in (*names.globals.values(), *names.nonlocals.values()) if isinstance(value, Kernel)]

    def stored(self) -> bytes:
        """The object file from the cache folder; compiled and written there where it is missing."""
        try:
            folder = cache_folder() / fingerprint()
            folder.mkdir(mode=0o700, exist_ok=True)
        except (CacheFolderError, OSError):
            return self.machine_code()
        path = folder / f"{self.symbol}.o"
        code = kept(path)
        if code is None:
            code = self.machine_code()
            keep(path, code)
        return code

    def __call__(self, *arguments: int) -> None:
        """Run it; every argument is an integer."""
        self.callable(*map(int, arguments))

    @functools.cached_property
    def callable(self) -> Any:
        return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * len(self.sig.args))(self.address)


register_model(Declared)(models.OpaqueModel)
register_model(Kernel)(models.OpaqueModel)


def declared(symbol: str, signature: str = KERNEL_SIGNATURE) -> Declared:
    """A kernel that is compiled elsewhere."""
    arguments, result = sigutils.normalize_signature(signature)
    return Declared(symbol, result(*arguments))


def kernel(
    signature: str = KERNEL_SIGNATURE,
    *,
    cache: bool = True,
    fastmath: Collection[str] = FASTMATH,
    symbol: str | None = None,
    apart: bool = False,
) -> Callable[[Callable[..., Any]], Kernel]:
    """Make a function a kernel: @kernel(). It takes intp alone and gives nothing.

    A kernel(args, first, last) does the units first .. last - 1 of its work; `args` is the address of a block of int64
    that holds the number of examples and the addresses of its operands. A kernel must not raise: it is called from
    threads that hold no interpreter lock. It names the kernels that it calls itself, not through a helper.

    `apart` says that no two of its pointers reach the same memory, but where they are made from one address once.

    Its symbol carries a hash of its source, so that no caller kept on disk can meet another version of it, unless a
    `symbol` is given.
    """

    def make_kernel(function: Callable[..., Any]) -> Kernel:
        name = symbol or f"dlc_{function.__name__}_{source_hash(function)}"
        if not cache:
            name += f"_{next(unkept)}"
        return Kernel(function, signature, name, fastmath, cache, apart)

    return make_kernel


unkept = itertools.count()
"""Numbers of kernels that are not kept: two closures of one source are two kernels."""


@intrinsic
def address_of(typing: Any, called: Any) -> tuple[Any, Any]:
    """The address of a kernel, from inside jitted code; the linker fills it in when the code is loaded."""

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(64)] * len(called.sig.args))
        found = cgutils.get_or_insert_function(builder.module, kind, called.symbol)
        return builder.ptrtoint(found, ir.IntType(64))

    return types.intp(called), lower


def source_hash(function: Callable[..., Any]) -> str:
    """A short name for the text a function was written in: two versions of a kernel never share a symbol."""
    code = function.__code__
    try:
        text = file_bytes(code.co_filename)
    except OSError:  # a generated text, whose file is named after a hash of all of it
        text = code.co_filename.encode() + code.co_code + repr((code.co_consts, code.co_names)).encode()
    return hashlib.sha256(text + f"{code.co_firstlineno}".encode()).hexdigest()[:16]


@functools.cache
def file_bytes(path: str) -> bytes:
    return Path(path).read_bytes()

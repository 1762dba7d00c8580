"""Turns the pieces of a generated module into machine code, kept on disk.

Each kernel and each program is a file of its own in the cache folder, named by a hash of its text, and Numba keeps its
machine code beside it. So a kernel is compiled once for all models and runs that share it, and a program compiles
nothing that it does not call. A file that was damaged is written anew, and so is machine code that does not load.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from dlc.compiler.codegen import Module, support
from dlc.compiler.codegen.host.kernels import Kernel, cache_folder, fingerprint
from dlc.compiler.codegen.module import Piece

_compiled: dict[str, Kernel] = {}
"""Everything loaded in this process, by file name."""


def load_program(module: Module, title: str) -> Kernel:
    """The program of a module, compiled together with the kernels that it calls. Raises `CacheFolderError` where the
    cache folder cannot be trusted."""
    piece = module.programs[title]
    kernels = {name: _load(module, module.kernels[name], {}) for name in piece.needs}
    return _load(module, piece, kernels)


def _load(module: Module, piece: Piece, known: dict[str, Kernel]) -> Kernel:
    """One function, by its file."""
    name = f"{piece.name[:60]}_{module.digest(piece)}"
    if name not in _compiled:
        path = write_once(folder() / f"{name}.py", module.file_text(piece))
        try:
            _compiled[name] = execute(path, piece.name, known)
        except (EOFError, ValueError, KeyError, ImportError, AttributeError, OSError):
            forget(path)  # Numba could not read what it had kept
            _compiled[name] = execute(path, piece.name, known)
        except Exception as problem:
            if type(problem).__module__ not in ("_pickle", "pickle", "zlib"):
                raise
            forget(path)
            _compiled[name] = execute(path, piece.name, known)
    return _compiled[name]


def folder() -> Path:
    """The part of the cache for this version of everything that machine code depends on."""
    own = hashlib.sha256(Path(support.__file__).read_bytes()).hexdigest()[:8]
    made = cache_folder() / f"{fingerprint()}{own}"
    made.mkdir(mode=0o700, exist_ok=True)
    return made


def write_once(path: Path, text: str) -> Path:
    """A file with this text. Another process may write the same one: it appears whole, under its name."""
    data = text.encode()
    if path.exists() and path.read_bytes() == data:
        return path
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    os.replace(temporary, path)
    return path


def execute(path: Path, name: str, known: dict[str, Kernel]) -> Kernel:
    """Run a file, which compiles its function or loads its machine code."""
    # Numba finds the globals of kept machine code through the module's name, so the module must be a known one.
    module = ModuleType(f"dlc_generated.{path.stem}")
    module.__dict__.update({"__file__": str(path), **known})
    sys.modules[module.__name__] = module
    run: Callable[..., None] = exec
    run(compile(path.read_text(), str(path), "exec"), module.__dict__)
    made: Kernel = module.__dict__[name]
    return made


def forget(path: Path) -> None:
    """Remove the machine code of a file."""
    for kept in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
        kept.unlink(missing_ok=True)

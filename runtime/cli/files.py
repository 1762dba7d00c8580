"""Specs as files that a verb changes: read whole, written whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError


def spec_files(paths: Iterable[Path]) -> Iterator[Path]:
    """The files named; of a folder, every `.dl` file below it."""
    for path in paths:
        if path.is_dir():
            yield from sorted(path.rglob("*.dl"))
        else:
            yield path


def read_text(path: Path) -> str:
    """A spec's text, line ends as they are. Raises DiagnosticError N210."""
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        message = f"{path} is not UTF-8 text (byte {error.start})"
    except OSError as error:
        message = f"cannot read {path}: {(error.strerror or str(error)).lower()}"
    raise DiagnosticError(Diagnostic("N210", message, None))


def replace_text(path: Path, text: str) -> None:
    """Writes under a temporary name in the same folder and renames: whoever reads sees the old text or the new one.

    The file keeps its mode; a link goes on pointing to its file. Raises DiagnosticError N210.
    """
    target = path.resolve()
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
        shutil.copymode(target, temporary)
        os.replace(temporary, target)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        message = f"cannot write {path}: {(error.strerror or str(error)).lower()}"
        raise DiagnosticError(Diagnostic("N210", message, None)) from None

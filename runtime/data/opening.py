"""Opens a file or a folder of data: its header, by its format."""

from __future__ import annotations

from pathlib import Path

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.compiler.settings import Format
from dlc.grammar.span import Span
from dlc.runtime.data.formats import Header, Opened, csv_header, npz_header
from dlc.runtime.data.idx import idx_header, is_idx
from dlc.runtime.data.images import SUFFIXES, images_header
from dlc.runtime.data.parquet import parquet_header
from dlc.runtime.data.textfile import text_header


def opened(
    path: Path,
    shown: str,
    format: Format,
    span: Span | None,
    within: Path | None = None,
    labels: tuple[Path, str] | None = None,
) -> Opened:
    """Reads a header. The links of a folder may not lead out of `within`; `labels` is the other file of an IDX source.

    Raises V504, V507, V512, T404, and T407 where the system does not let us.
    """
    try:
        header = idx_header(path, shown, span, labels, within) if format == "idx" else None
        return Opened(path, shown, format, header or _header(path, shown, format, span, within), span)
    except OSError as error:
        message = f"{shown} cannot be opened: {error.strerror}"
        raise DiagnosticError(Diagnostic("T407", message, span)) from None


def _header(path: Path, shown: str, format: Format, span: Span | None, within: Path | None) -> Header:
    match format:
        case "csv":
            return csv_header(path, shown, span)
        case "parquet":
            return parquet_header(path, shown, span)
        case "npz":
            return npz_header(path, shown, span)
        case "text":
            return text_header(path, shown, span)
    return images_header(path, shown, span, within)


def format_of(path: Path) -> Format:
    """The format that a file's name tells; one image is a folder of one."""
    if path.is_dir() or path.suffix.lower() in SUFFIXES:
        return "images"
    if is_idx(path):
        return "idx"
    known: dict[str, Format] = {".npz": "npz", ".parquet": "parquet", ".txt": "text"}
    return known.get(path.suffix, "csv")

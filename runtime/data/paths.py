"""Which files a spec may name: those of its own folder tree, or of the root that the command line widened it to."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.compiler.diagnostics.suggest import did_you_mean
from dlc.compiler.settings import Source

MAX_LISTED = 1000


def resolve(source: Source, folder: Path, root: Path | None = None) -> Path:
    """The real path of a source's file or folder; links and `..` are followed before it is compared.

    Raises T407 for a path outside `root` (by default `folder`), and where there is no such file.
    """
    written, span = source.path, source.span
    kind, other = ("folder", "file") if source.format == "images" else ("file", "folder")
    help = "a .dl file reads files of its own folder only: put the data there, or widen it with --root DIR"
    if Path(written).is_absolute() or PureWindowsPath(written).is_absolute():
        raise DiagnosticError(Diagnostic("T407", f'"{written}" is an absolute path', span, help=help))
    try:
        path = (folder / written).resolve()
        inside = path.is_relative_to((root or folder).resolve())
        found = inside and (path.is_dir() if kind == "folder" else path.is_file())
    except (OSError, ValueError, RuntimeError):
        raise DiagnosticError(Diagnostic("T407", f'"{written}" is not the path of a {kind}', span)) from None
    if not inside:
        raise DiagnosticError(Diagnostic("T407", f'"{written}" lies outside the folder of the spec', span, help=help))
    if found:
        return path
    if path.exists():
        raise DiagnosticError(Diagnostic("T407", f'"{written}" is a {other}, not a {kind}', span))
    raise DiagnosticError(Diagnostic("T407", f'there is no {kind} "{written}"', span, help=_neighbour(path)))


def _neighbour(path: Path) -> str | None:
    if not path.parent.is_dir():
        return f'there is no folder "{path.parent.name}" either'
    names = [entry.name for entry, _ in zip(path.parent.iterdir(), range(MAX_LISTED), strict=False)]
    meant = did_you_mean(path.name, sorted(names))
    return f'did you mean "{meant}"?' if meant else None

"""Which files a spec may name: those of its own folder tree, or of the root that the command line widened it to."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError, Edit
from dlc.compiler.diagnostics.suggest import did_you_mean
from dlc.compiler.settings import Source
from dlc.grammar.span import Span

MAX_LISTED = 1000


def resolve(source: Source, folder: Path, root: Path | None = None) -> Path:
    """The real path of a source's file or folder. Raises T407; see `located`."""
    kind = "folder" if source.format == "images" else "file"
    return located(source.path, source.span, folder, root, code="T407", what="data", kind=kind)


def located(
    written: str, span: Span, folder: Path, root: Path | None = None, *, code: str, what: str, kind: str = "file"
) -> Path:
    """The real path of a file (or folder) that a spec in `folder` names; links and `..` are followed before it is
    compared.

    Raises DiagnosticError of this `code` for a path outside `root` (by default `folder`), and where there is no such
    file. `what` says in the help what such a file holds.
    """
    other = "folder" if kind == "file" else "file"
    help = f"a .dl file reads files of its own folder only: put the {what} there, or widen it with --root DIR"
    if Path(written).is_absolute() or PureWindowsPath(written).is_absolute():
        raise DiagnosticError(Diagnostic(code, f'"{written}" is an absolute path', span, help=help))
    try:
        path = (folder / written).resolve()
        inside = path.is_relative_to((root or folder).resolve())
        found = inside and (path.is_dir() if kind == "folder" else path.is_file())
    except (OSError, ValueError, RuntimeError):
        raise DiagnosticError(Diagnostic(code, f'"{written}" is not the path of a {kind}', span)) from None
    if not inside:
        raise DiagnosticError(Diagnostic(code, f'"{written}" lies outside the folder of the spec', span, help=help))
    if found:
        return path
    if path.exists():
        raise DiagnosticError(Diagnostic(code, f'"{written}" is a {other}, not a {kind}', span))
    told, meant = neighbour(path)
    fix = (Edit(span, f'"{written.removesuffix(path.name)}{meant}"'),) if meant and written.endswith(path.name) else ()
    raise DiagnosticError(Diagnostic(code, f'there is no {kind} "{written}"', span, help=told, fix=fix))


def neighbour(path: Path) -> tuple[str | None, str | None]:
    """What to say of a file that there is not, and the name of the one beside it that may have been meant."""
    if not path.parent.is_dir():
        return f'there is no folder "{path.parent.name}" either', None
    names = [entry.name for entry, _ in zip(path.parent.iterdir(), range(MAX_LISTED), strict=False)]
    meant = did_you_mean(path.name, sorted(names))
    return f'did you mean "{meant}"?' if meant else None, meant

"""What verbs print with: diagnostics, tables, JSON."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlc.compiler.diagnostics import Diagnostic
from dlc.compiler.diagnostics.display import printable, width_of
from dlc.compiler.diagnostics.render import json_text, render_all

if TYPE_CHECKING:
    from dlc.runtime.cli.options import Common
    from dlc.runtime.preparation import Request
    from dlc.runtime.spec import Spec


def print_mistakes(common: Common, diagnostics: Iterable[Diagnostic], sources: Mapping[str, str]) -> None:
    """Diagnostics that end a verb: as text on stderr, or as the result, a list of JSON, on stdout."""
    found = list(diagnostics)
    if common.json:
        print(json_text(found))
    else:
        print(rendered(common, found, sources, sys.stderr), file=sys.stderr)


def print_warnings(common: Common, diagnostics: Iterable[Diagnostic], sources: Mapping[str, str]) -> None:
    """Warnings beside a result; notes only with -v."""
    levels = ("warning", "note") if common.verbose else ("warning",)
    found = [diagnostic for diagnostic in diagnostics if diagnostic.severity in levels]
    if found and not common.quiet:
        print(rendered(common, found, sources, sys.stderr), file=sys.stderr)


def rendered(common: Common, diagnostics: Iterable[Diagnostic], sources: Mapping[str, str], stream: Any) -> str:
    return render_all(diagnostics, sources, common.colored(stream), _width(stream))


def _width(stream: Any) -> int | None:
    """The terminal's width, None where the output goes elsewhere."""
    import shutil

    return shutil.get_terminal_size().columns if stream.isatty() else None


def print_json(value: Any) -> None:
    import json

    print(json.dumps(_finite(value), indent=2, ensure_ascii=False))


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: null."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def table(rows: Sequence[Sequence[str]], align: str, header: Sequence[str] = (), gap: str = "  ") -> str:
    """Columns of equal width; `align` has `<` or `>` for each."""
    lines = [[printable(cell) for cell in row] for row in ([header] if header else []) + list(rows)]
    if not lines:
        return ""
    widths = [max(width_of(row[i]) for row in lines) for i in range(len(align))]
    return "\n".join(gap.join(map(_padded, row, widths, align)).rstrip() for row in lines)


def _padded(text: str, width: int, side: str) -> str:
    space = " " * (width - width_of(text))
    return text + space if side == "<" else space + text


def numbers(values: Mapping[str, float]) -> str:
    """`loss 0.0962   accuracy 0.9778`"""
    from dlc.runtime.metrics import shown

    return "   ".join(f"{name} {shown(value)}" for name, value in values.items())


def shown_path(path: Path) -> str:
    """The path relative to the current folder where it lies below, as one would type it."""
    try:
        relative = os.path.relpath(path)
    except ValueError:
        return str(path)
    return str(path) if relative.startswith("..") else relative


def number(value: Any) -> float:
    """A value of any precision with the digits that it has there: 0.195 of float32 is not 0.19499999284744263."""
    return float(str(value))


def say(common: Common, text: str) -> None:
    """A line of progress."""
    if not common.quiet:
        print(text, file=sys.stderr, flush=True)


def counted(number: int, one: str) -> str:
    """`1 example`, `1,000 examples`."""
    return f"{number:,} {one}{'s' if number != 1 else ''}"


def request_of(common: Common, file: Path) -> Request:
    """What the command line asks for. Raises DiagnosticError for an unknown name after `--set`."""
    from dlc.runtime.preparation import Request

    if not common.settings:
        return Request(file, common.model, root=common.root)
    from dlc.runtime.assignments import assignments

    hypers, settings = assignments(file, common.model, common.settings)
    return Request(file, common.model, hypers, settings, common.root)


def spec_of(common: Common, file: Path, *, headers: bool = False, weights: bool = True) -> Spec:
    """The checked spec of a verb, its warnings printed; without `weights` its `load` lines read nothing. Raises
    SpecError."""
    from dlc.runtime.spec import load_request

    spec = load_request(replace(request_of(common, file), weights=weights), headers=headers)
    print_warnings(common, spec.diagnostics, spec.prepared.sources)
    return spec


def print_bug() -> None:
    """An exception that no user's text or data should cause."""
    import platform
    import traceback

    from dlc import __version__

    traceback.print_exc()
    where = f"dlc {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    print(f"\nthis is a bug in dlc, not in your file ({where}); please report it with the lines above", file=sys.stderr)

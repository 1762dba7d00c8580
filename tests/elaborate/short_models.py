"""Models in a few lines: made, run by their meaning, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dlc
from dlc.compiler.diagnostics import Diagnostic
from dlc.compiler.driver import check


def model(tmp_path: Path, body: str, hypers: dict[str, Any] | None = None, above: str = "") -> dlc.Model:
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    path = tmp_path / "net.dl"
    path.write_text(f"{above}\nmodel Net:\n{lines}", encoding="utf-8")
    return dlc.load(path, **(hypers or {})).compile(dtype="float64", target="reference")


def told(body: str, above: str = "") -> list[Diagnostic]:
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return [d for d in check(Path("net.dl"), text=f"{above}\nmodel Net:\n{lines}").diagnostics if d.severity == "error"]


def only(body: str, above: str = "") -> Diagnostic:
    (diagnostic,) = told(body, above)
    return diagnostic


def place(diagnostic: Diagnostic, body: str) -> str:
    """The text that the diagnostic points at."""
    assert diagnostic.span is not None
    span = diagnostic.span
    return body.splitlines()[span.line - 3][span.column - 5 : span.end_column - 5]

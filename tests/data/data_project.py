"""Declarations made by hand, and a small project in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.compiler.dims import tensor
from dlc.compiler.program import InputDeclaration
from dlc.compiler.settings import DataSettings
from dlc.grammar.span import Span
from dlc.runtime.data.dataset import DataSet, load
from dlc.runtime.data.headers import headers


def declare(name: str, *sizes: Any, role: str = "input", **kind: Any) -> InputDeclaration:
    """`declare("X", 64, M)` stands in line 2 of the file; a one_hot's class axis is its first."""
    if kind.get("one_hot"):
        kind = {"classes": sizes[0], "class_axis": 0, **kind}
    return InputDeclaration(name, role, tensor(*sizes), Span("net.dl", 2, 12, 2, 13), **kind)


@dataclass(frozen=True)
class Project:
    folder: Path
    settings: DataSettings
    inputs: Mapping[str, InputDeclaration]

    def headers(self, root: Path | None = None) -> list[Diagnostic]:
        return headers(self.settings, self.folder, self.inputs, root)

    def load(self, **options: Any) -> DataSet:
        return load(self.settings, self.folder, self.inputs, **options)

    def refused(self) -> list[Diagnostic]:
        """What loading reports instead of data."""
        with pytest.raises(DiagnosticError) as caught:
            self.load()
        return caught.value.diagnostics

"""A small project in a temporary folder: files, a `data:` block, and declarations made by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.compiler.dims import tensor
from dlc.compiler.program import InputDeclaration, M
from dlc.compiler.settings import DataSettings, read_data
from dlc.grammar import ast
from dlc.grammar.parse import parse
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


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Project]:
    """`project(lines of the data block, inputs, files)`: a file is text, bytes, or a dictionary of arrays (NPZ)."""

    def make(lines: str, inputs: list[InputDeclaration], **files: Any) -> Project:
        folder = tmp_path / "spec"
        folder.mkdir(exist_ok=True)
        for name, content in files.items():
            if isinstance(content, dict):
                np.savez(folder / f"{name}.npz", **content)
            elif isinstance(content, bytes):
                (folder / f"{name}.csv").write_bytes(content)
            else:
                (folder / f"{name}.csv").write_text(content, encoding="utf-8", newline="")
        text = "data:\n" + "".join(f"    {line.strip()}\n" for line in lines.strip().splitlines())
        tree, problems = parse(text, "net.dl")
        assert not problems
        (block,) = (item for item in tree.items if isinstance(item, ast.Block))
        settings, found = read_data(block, lambda expr: expr.value)  # type: ignore[union-attr]
        assert settings is not None, found
        return Project(folder, settings, {declaration.name: declaration for declaration in inputs})

    return make


@pytest.fixture
def house(project: Callable[..., Project]) -> Callable[..., Project]:
    """A table with two features and a price."""

    def make(text: str | bytes, steps: str = "", split: str = "", **kind: Any) -> Project:
        lines = f'source = csv("housing.csv")\nX = columns(size, age){steps}\nY = column(price)\n{split}'
        inputs = [declare("X", 2, M, **kind), declare("Y", 1, M, role="target")]
        return make_project(lines, inputs, housing=text)

    make_project = project
    return make

"""Small projects in a temporary folder: files, and a `data:` block."""

from __future__ import annotations

from ast import literal_eval
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_project import Project, declare

from dlc.compiler.program import InputDeclaration, M
from dlc.compiler.settings import read_data
from dlc.grammar import ast
from dlc.grammar.format import unparse
from dlc.grammar.parse import parse


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
        settings, found = read_data(block, lambda expr: literal_eval(unparse(expr)))
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

"""What a standalone module relies on: the host's files fit into one, and stand on nothing else of dlc."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from dlc.compiler.codegen.host import machine

FILES = sorted(path for path in Path(machine.__file__).parent.glob("*.py") if path.stem != "__init__")
HOST = "dlc.compiler.codegen.host"


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def defined(path: Path) -> set[str]:
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names - {"__all__"}


def test_no_name_is_defined_twice() -> None:
    times = Counter(name for path in FILES for name in defined(path))
    assert [name for name, count in times.items() if count > 1] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_imports_of_dlc_stay_in_the_folder(path: Path) -> None:
    inside = {f"{HOST}.{other.stem}" for other in FILES}
    assert {name for name in imports(path) if name.split(".")[0] == "dlc"} <= inside


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_public_names_exist(path: Path) -> None:
    tree = ast.parse(path.read_text())
    listed = next(
        node for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    assert set(ast.literal_eval(listed.value)) <= defined(path)


def test_reference_of_random_numbers_needs_no_numba() -> None:
    files = {path.stem: imports(path) for path in FILES}
    assert files["random_reference"] <= {"__future__", "collections.abc", "typing", "numpy", f"{HOST}.formulas"}
    assert files["formulas"] <= {"__future__", "math", "typing"}

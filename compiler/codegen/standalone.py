"""One file that needs Numba and NumPy alone: the host's files, the memory plan as a literal, and the generated module.

The host's text is carried over as it is, without its imports of dlc; what it imports from elsewhere stands at the top.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dlc.compiler.codegen.module import Module

PACKAGE = "dlc.compiler.codegen"
NEEDED = "from dlc.compiler.codegen.arena import Arena, Place, ProgramTable, Tables"
"""What the file takes besides what the module imports."""

API = '''
class Model(Arena):
    """The model: {programs}.

    model = Model(threads=1)
    model.parameters[name][...] = values    arrays in the declared shape, views: write into them
    results = model.run("forward", inputs, m)

    Inputs are physical arrays: examples first. `run` gives what a program results in, by name; `update` and `train`
    change parameters and states in place. Scalars such as `t` are given as run(title, inputs, m, scalars={{"t": 1}}).
    """

    def __init__(self, threads=1, seed=0):
        super().__init__(TABLES, lambda title: KERNELS[title].address, threads, seed)


KERNELS = {{{kernels}, "dlc_help_out": help_out}}
'''


def standalone_text(module: Module) -> str:
    """The text of the file."""
    imports: dict[str, None] = {}
    sections: list[str] = []
    for path in carried_files(f"{module.header}\n{NEEDED}\n"):
        text, needed = without_imports(path.read_text())
        imports |= dict.fromkeys(needed)
        sections.append(f"# --- {path.name} {'-' * (110 - len(path.name))}\n\n{text}")
    _, needed = without_imports(module.header)
    imports |= dict.fromkeys(needed)
    first = [line for line in imports if line.startswith("from __future__")]
    rest = sorted(line for line in imports if not line.startswith("from __future__"))
    names = "\n".join(line for line in alias_lines(module.header))
    above = dict.fromkeys(line for piece in module.kernels.values() for line in piece.above)
    pieces = [piece.text for piece in [*module.kernels.values(), *module.programs.values()]]
    api = API.format(
        programs=", ".join(module.programs),
        kernels=", ".join(f'"{title}": {title}' for title in module.programs),
    )
    tables = f"TABLES = {module.tables!a}\n"
    parts = [
        module.opening, "\n".join([*first, "", *rest]) + "\n", *sections, names, "\n".join(above), *pieces, tables, api,
    ]  # fmt: skip
    return "\n\n".join(part.strip("\n") for part in parts if part.strip()) + "\n"


def carried_files(text: str) -> list[Path]:
    """The files that a text imports from code generation, and those that they do, each after what it needs."""
    found: dict[Path, None] = {}
    for statement in ast.parse(text).body:
        name = statement.module or "" if isinstance(statement, ast.ImportFrom) else ""
        if name.startswith(PACKAGE):
            path = Path(__file__).parent.joinpath(*name.removeprefix(PACKAGE).split(".")).with_suffix(".py")
            found |= dict.fromkeys([*carried_files(path.read_text()), path])
    return list(found)


def without_imports(text: str) -> tuple[str, list[str]]:
    """A file's text without its docstring, imports and `__all__`; and the imports that are not of dlc."""
    lines = text.splitlines()
    dropped: set[int] = set()
    needed: list[str] = []
    for number, statement in enumerate(ast.parse(text).body):
        is_docstring = number == 0 and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        is_all = isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__"
        is_import = isinstance(statement, ast.Import | ast.ImportFrom)
        if isinstance(statement, ast.Import) or (
            isinstance(statement, ast.ImportFrom) and not (statement.module or "").startswith("dlc.")
        ):
            needed.append(ast.unparse(statement))
        if is_docstring or is_all or is_import:
            dropped |= set(range(statement.lineno, (statement.end_lineno or statement.lineno) + 1))
    kept = [line for number, line in enumerate(lines, 1) if number not in dropped and not line.startswith("# mypy:")]
    return "\n".join(kept).strip("\n") + "\n", needed


def alias_lines(header: str) -> list[str]:
    """The names that a header's imports of dlc give to other things: `matmul_panel = matmul_panel_plain`."""
    found: list[str] = []
    for statement in ast.parse(header).body:
        if isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith("dlc."):
            found += [f"{alias.asname} = {alias.name}" for alias in statement.names if alias.asname]
        elif not isinstance(statement, ast.Import | ast.ImportFrom):
            found.append(ast.unparse(statement))
    return found

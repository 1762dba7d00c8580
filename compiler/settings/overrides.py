"""The settings of the command line: `--set batch=32` reads as the line `batch = 32` of the block."""

from __future__ import annotations

from collections.abc import Mapping

from dlc.compiler.diagnostics import Diagnostic
from dlc.grammar import ast
from dlc.grammar.parse import parse_definitions
from dlc.grammar.span import Span


def parsed(kind: str, overrides: Mapping[str, str], found: list[Diagnostic]) -> list[ast.Setting]:
    """The overrides as settings of a `kind` block (`data` or `train`); what cannot be read goes to `found` as T402.

    Their spans lie in a file called `--set batch=32`, so that a message says where the value comes from.
    """
    settings = []
    for key, text in overrides.items():
        file = f"--set {key}={text}"
        # The header stands on line 0, and the setting on the line that the user wrote.
        tree, problems = parse_definitions(f"{kind}:\n {key} = {text}\n", file, first_line=0)
        lines = [s for item in tree.items if isinstance(item, ast.Block) for s in item.settings]
        if len(lines) == len(tree.items) == 1 and lines[0].name.id == key and not problems:
            settings.append(lines[0])
            continue
        reason = problems[0].message if problems else "it is more than one setting"
        message = f"the value of {key} on the command line cannot be read: {reason}"
        found.append(Diagnostic("T402", message, Span(file, 1, 1, 1, 1 + len(key) + 1 + len(text))))
    return settings

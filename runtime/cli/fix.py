"""`dlc check --fix`: applies the sure fixes to a file, as long as they leave no more errors than there were."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from dlc.compiler.diagnostics import Diagnostic
from dlc.compiler.diagnostics.fixes import fixed
from dlc.runtime.cli.files import read_text, replace_text

MOST_ROUNDS = 10


def fix(file: Path, check: Callable[[], Sequence[Diagnostic]]) -> list[str]:
    """Changes the file until no fix is left, and says in lines what it did. Raises DiagnosticError N210.

    `check` checks the file as it lies on the disk. A fix may uncover mistakes that were hidden behind it: where there
    are more errors after it than before, the text before it is put back.
    """
    said: list[str] = []
    refused: set[tuple[str, str]] = set()
    for _ in range(MOST_ROUNDS):
        found = list(check())
        text = read_text(file)
        able = [diagnostic for diagnostic in found if _key(diagnostic) not in refused]
        done = _together(file, text, able, found, check) or _one_by_one(file, text, able, found, check, refused)
        if not done:
            break
        said += [f"fixed {d.code} at {d.span}: {d.message} ({d.help})" for d in done]
    if refused:
        said.append(f"{len(refused)} more would have made other errors: the text was put back")
    return said


def _together(
    file: Path, text: str, able: list[Diagnostic], found: list[Diagnostic], check: Callable[[], Sequence[Diagnostic]]
) -> list[Diagnostic]:
    """Applies all fixes at once; the text is put back where that makes more errors."""
    new, done = fixed(text, str(file), able)
    if not done or new == text:
        return []
    replace_text(file, new)
    if _errors(check()) <= _errors(found):
        return done
    replace_text(file, text)
    return []


def _one_by_one(
    file: Path,
    text: str,
    able: list[Diagnostic],
    found: list[Diagnostic],
    check: Callable[[], Sequence[Diagnostic]],
    refused: set[tuple[str, str]],
) -> list[Diagnostic]:
    """The first fix that does no harm alone."""
    for diagnostic in able:
        if diagnostic.fix and diagnostic.severity != "note":
            if done := _together(file, text, [diagnostic], found, check):
                return done
            if all(edit.span.file == str(file) for edit in diagnostic.fix):
                refused.add(_key(diagnostic))
    return []


def _key(diagnostic: Diagnostic) -> tuple[str, str]:
    return diagnostic.code, str(diagnostic.span)


def _errors(found: Sequence[Diagnostic]) -> int:
    return sum(diagnostic.severity == "error" for diagnostic in found)

"""Bad values, told one by one up to ten, then counted; those of images and other tables told together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dlc.compiler.diagnostics import Diagnostic, DiagnosticError
from dlc.grammar.span import Span

MAX_SHOWN = 10
MISSING_HELP = "an input or target declared `optional` may have missing values"
FILL_IN = "fill it in, or leave the row out"
CELL_HELP = f"{FILL_IN}; {MISSING_HELP}"


@dataclass(slots=True)
class _Together:
    """What is no finite number in one input: the first of them, how many there are, and in how many examples."""

    first: Diagnostic
    values: int = 0
    examples: int = 0

    def told(self, name: str) -> Diagnostic:
        if self.values == 1:
            return self.first
        examples = f"{self.examples:,} examples" if self.examples > 1 else "this example"
        rest = f"; {self.values:,} values of {name} are not, in {examples}"
        return replace(self.first, message=self.first.message + rest)


class Problems:
    """Collects the bad values of a load; `raise_if_any` ends it."""

    def __init__(self) -> None:
        self.shown: list[Diagnostic] = []
        self.hidden = 0
        self.together: dict[str, _Together] = {}

    def add(self, code: str, message: str, span: Span | None, help: str | None = None) -> None:
        """Keeps the first ten."""
        if self.full:
            self.hidden += 1
        else:
            self.shown.append(Diagnostic(code, message, span, help=help))

    def add_values(
        self, name: str, bad: NDArray[np.bool_], message: Callable[[int, int], Diagnostic], together: bool
    ) -> None:
        """Keeps what is no finite number in an input: `bad` is (examples, values), `message` makes that of one of them.

        Thousands of pixels are one mistake (`together`), while each cell of a table has its own place in the file.
        """
        rows, columns = np.nonzero(bad)
        if together and len(rows):
            found = self.together.setdefault(name, _Together(message(int(rows[0]), int(columns[0]))))
            found.values += len(rows)
            found.examples += int(bad.any(axis=1).sum())
            return
        room = MAX_SHOWN - len(self.shown)
        places = zip(rows[:room].tolist(), columns[:room].tolist(), strict=True)
        self.shown += [message(row, column) for row, column in places]
        self.hidden += max(len(rows) - room, 0)

    @property
    def full(self) -> bool:
        """Whether a further one is only counted, so that nobody need write its message."""
        return len(self.shown) >= MAX_SHOWN

    def raise_if_any(self) -> None:
        """Raises `DiagnosticError` with what was found."""
        if self.hidden:
            last = self.shown[-1]
            rest = f"and {self.hidden:,} more value{'s' if self.hidden > 1 else ''} like these"
            self.shown.append(Diagnostic(last.code, rest, last.span))
        self.shown += [found.told(name) for name, found in self.together.items()]
        if self.shown:
            raise DiagnosticError(*self.shown)

"""The unknowns of dimension expressions, and the limits within which the algebra works."""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_TERMS = 200
MAX_DEGREE = 64
MAX_INT = 10**30
MAX_SIZE = 500


class DimTooLarge(ArithmeticError):
    """A dimension expression left the limits: over MAX_TERMS terms, MAX_DEGREE degrees, MAX_SIZE
    roundings inside each other, or integers beyond MAX_INT."""


@dataclass(frozen=True, slots=True)
class Symbol:
    """An unknown positive integer of a dimension expression.

    `kind` says who chooses its value: `batch` (m), `runtime` (a `dim T`), `rigid` (a layer's size, unknown at its
    definition), `written` (how many steps a generator has written; there is room for `upper`). `lower` and `upper`
    bound it, both inclusive, and are facts of every proof. Two symbols are the same exactly when they are equal as
    records; `uid` tells apart unknowns that share a name.
    """

    name: str
    kind: str = "rigid"
    lower: int = 1
    upper: int | None = None
    uid: int = 0
    _hash: int = field(default=0, init=False, repr=False, compare=False)

    @property
    def key(self) -> tuple[object, ...]:
        """A total order among atoms (see `poly.Term.key`)."""
        return (0, self.name, self.kind, self.uid, self.lower, -1 if self.upper is None else self.upper)

    def __hash__(self) -> int:
        """Computed once: every question about sizes looks symbols up."""
        if not self._hash:
            object.__setattr__(self, "_hash", hash((self.name, self.kind, self.lower, self.upper, self.uid)))
        return self._hash

    def __str__(self) -> str:
        return self.name

"""Which image sizes fit: asked where a network does not fit its own.

On 250 x 250 a skip connection meets 248 against 250, and both numbers are right: four pixels were lost on the way down.
The question is for which sizes nothing is lost, so the network is elaborated once more with its spatial sizes unknown,
and what it then demands of them is the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from dlc.compiler.dims import Axis, Dim, Relation, Symbol, strongest
from dlc.compiler.elaborate.context import Context
from dlc.compiler.elaborate.report import Findings

_CODES = ("D102", "D106")
_NAMES = {1: ("n",), 2: ("n_H", "n_W"), 3: ("n_H", "n_W", "n_D")}


class Freed:
    """Spatial sizes made unknown: equal ones at the same place of several inputs are one unknown."""

    def __init__(self) -> None:
        self.symbols: dict[tuple[int, Dim], Symbol] = {}

    def __call__(self, axes: Sequence[Axis]) -> list[Axis]:
        """The axes of an input (m, n_H, n_W, n_C) with the sizes between examples and channels unknown."""
        middle = axes[1:-1]
        names = _NAMES.get(len(middle))
        if not names or axes[0].name != "m" or any(axis.size.constant in (None, 1) for axis in middle):
            return list(axes)
        freed = list(axes)
        for i, axis in enumerate(middle):
            uid = sum(1 for place, _ in self.symbols if place == i)
            symbol = self.symbols.setdefault((i, axis.size), Symbol(names[i], "runtime", uid=uid))
            freed[i + 1] = replace(axis, size=Dim.symbol(symbol))
        return freed


def advise_sizes(findings: Findings, elaborate: Callable[[Findings, Freed], Context]) -> None:
    """Adds to an error of two sizes that lie near each other which sizes the network accepts."""
    places = [i for i, d in enumerate(findings.found) if d.code in _CODES and d.severity == "error" and d.help is None]
    if not places:
        return
    again, freed = Findings(), Freed()
    e = elaborate(again, freed)
    if not freed.symbols or not e.ledger.taken:
        return
    for i in places:
        found = findings.found[i]
        if not any(other.span == found.span for other in again.found):
            help = _help(freed.symbols, [obligation.relation for obligation in e.ledger.taken])
            findings.found[i] = replace(found, help=help)


def _help(symbols: Mapping[tuple[int, Dim], Symbol], relations: Sequence[Relation]) -> str | None:
    """`n_H % 16 == 0 and n_W % 16 == 0: 240 or 256 in place of 250`."""
    needs, sizes = [], []
    for (_, size), symbol in symbols.items():
        own = [r for r in relations if r.left.symbols | r.right.symbols == {symbol}]
        for need in strongest(own):
            now = int(size.constant or 1)
            needs.append(str(need))
            if not need.holds({symbol: now}):
                near = [n for n in range(symbol.lower, 2 * now + 64) if need.holds({symbol: n})]
                below, above = [n for n in near if n < now][-1:], [n for n in near if n > now][:1]
                sizes.append(f"{' or '.join(map(str, below + above))} in place of {now}")
    if not sizes:
        return None
    return f"all sizes fit where {' and '.join(needs)}: {', '.join(dict.fromkeys(sizes))}; or pad the input"


__all__ = ["Freed", "advise_sizes"]

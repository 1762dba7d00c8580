"""`dlc ops`: the primitives of the language, from their registry."""

from __future__ import annotations

import inspect

import click

from dlc.compiler.ops import OPS, Composite, Contraction, Elementwise, Leaf, Loop, Movement, Op, Reduction, Window
from dlc.runtime.cli.options import Common, verb
from dlc.runtime.cli.output import print_json, table

FAMILIES = (Leaf, Elementwise, Reduction, Contraction, Window, Movement, Loop, Composite)


@verb("ops", "The primitives of the language.")
@click.argument("names", nargs=-1)
def command(common: Common, names: tuple[str, ...]) -> int:
    chosen = {name: op for name, op in OPS.items() if not names or name in names}
    if unknown := [name for name in names if name not in OPS]:
        from dlc.compiler.diagnostics.suggest import did_you_mean

        near = did_you_mean(unknown[0], OPS)
        raise click.UsageError(f"there is no op {unknown[0]}" + (f"; did you mean {near}?" if near else ""))
    rows = [(name, _family(op), _gradient(op), _meaning(op)) for name, op in chosen.items()]
    if common.json:
        keys = ("name", "family", "gradient", "meaning")
        print_json([dict(zip(keys, row, strict=True)) for row in rows])
    else:
        print(table(rows, "<<<<", ("op", "family", "gradient", "meaning")))
    return 0


def _family(op: Op) -> str:
    return next((family.__name__.lower() for family in FAMILIES if isinstance(op, family)), "other")


def _gradient(op: Op) -> str:
    if isinstance(op, Leaf):
        return ""
    return "yes" if op.differentiable else "none"


def _meaning(op: Op) -> str:
    """The first line of its docstring."""
    text = inspect.getdoc(type(op)) if type(op).__doc__ else ""
    return (text or "").partition("\n")[0]

"""The corners of the search domains: a hyper's value that does not fit is found before any search.

A model is proved at its defaults. Every value that `dlc search` may try at the edges of the domains is proved too: each
hyper alone at each of its points, and all hypers together at their ends. A set and a short range have all their values
as points, everything else its two ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from itertools import islice, product
from typing import Any

from dlc.compiler.diagnostics import Diagnostic, Related
from dlc.compiler.elaborate.values import Range
from dlc.compiler.program import CheckedModel, HyperDeclaration
from dlc.grammar import ast
from dlc.grammar.format import unparse
from dlc.grammar.span import Span

MOST_POINTS = 8
"""Values of a range that are all tried; of a longer one the ends are."""
MOST_CORNERS = 64
"""Combinations of ends that are tried."""
MOST_NODES = 40_000
"""Operations that all these proofs elaborate together; what a model too large for that leaves out, a trial proves."""

Point = tuple[Any, ast.Expr | None, Span]
"""A value, its text where it is written alone, and its place."""
Elaborate = Callable[[Mapping[str, Any]], list[Diagnostic]]
"""The errors of the model with some hypers set."""


def prove_corners(
    checked: CheckedModel, body: ast.Definition, given: Mapping[str, Any], elaborate: Elaborate
) -> Iterator[Diagnostic]:
    """One error for each point of a domain that does not fit, else for the first corner that does not. Hypers that are
    `given`, and those that only the `train:` block reads, are not varied."""
    read = _names(body)
    points = {
        name: list(_points(hyper, checked))
        for name, hyper in checked.hypers.items()
        if hyper.domain is not None and name not in given and name in read
    }
    proofs = max(8, MOST_NODES // (300 + len(checked.training.nodes)))
    failed = False
    for name, values in points.items():
        tried = [value for value in values if value[0] != checked.hypers[name].value][:proofs]
        proofs -= len(tried)
        for value, text, place in tried:
            if errors := elaborate({name: value}):
                failed = True
                yield _misfit({name: _shown(value, text)}, place, errors[0])
    if failed or len(points) < 2:
        return
    ends = [[values[0], values[-1]] for values in points.values() if values]
    for corner in islice(product(*ends), min(MOST_CORNERS, proofs)):
        named = dict(zip(points, corner, strict=True))
        if errors := elaborate({name: value for name, (value, _, _) in named.items()}):
            shown = {name: _shown(value, text) for name, (value, text, _) in named.items()}
            yield _misfit(shown, corner[-1][2], errors[0])
            return


def _points(hyper: HyperDeclaration, checked: CheckedModel) -> Iterator[Point]:
    match hyper.domain:
        case ast.SetExpr(items=items):
            for item in items:
                yield checked.evaluate(item), item, item.span
        case ast.Binary(op="..", span=span) as expr:
            values = checked.evaluate(expr)
            assert isinstance(values, Range)
            short = values.last - values.first < MOST_POINTS
            for value in range(values.first, values.last + 1) if short else (values.first, values.last):
                yield value, None, span
        case ast.Call(arguments=arguments):
            for argument in arguments:
                yield checked.evaluate(argument.value), argument.value, argument.span


def _shown(value: Any, text: ast.Expr | None) -> str:
    return unparse(text) if text is not None else str(value)


def _misfit(chosen: Mapping[str, str], place: Span, error: Diagnostic) -> Diagnostic:
    values = " and ".join(f"{name} = {value}" for name, value in chosen.items())
    related = [Related(error.message, error.span)] if error.span is not None else []
    return Diagnostic(
        "T410",
        f"the search may try {values}, and then the model does not fit",
        place,
        related=(*related, *error.related),
        rule=error.rule,
        help="leave the value out of the domain, or make the sizes fit every value of it",
    )


def _names(tree: Any) -> set[str]:
    """Every name in a definition's text, its defaults and domains aside."""
    if isinstance(tree, ast.Name):
        return {tree.id}
    if isinstance(tree, tuple):
        return set().union(*map(_names, tree))
    if isinstance(tree, ast.Hyper) or not isinstance(tree, ast.Tree):
        return set()
    if isinstance(tree, ast.Definition):
        return _names(tree.body or ())
    return set().union(*(_names(getattr(tree, field.name)) for field in fields(tree)))

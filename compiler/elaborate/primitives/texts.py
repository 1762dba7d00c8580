"""Metrics of texts."""

from __future__ import annotations

from typing import Any

from dlc.compiler.elaborate.context import Context
from dlc.compiler.elaborate.padding import lengths_of
from dlc.compiler.elaborate.primitives.registry import REQUIRED, Site, primitive
from dlc.compiler.elaborate.report import stop
from dlc.compiler.elaborate.values import Tensor, describe
from dlc.compiler.ir import Node
from dlc.compiler.ir.formula import formula
from dlc.compiler.ops import ShapeError

LONGEST = 4
"""n-grams of up to four words are compared."""


@primitive("bleu", s=REQUIRED, y=REQUIRED)
def _bleu(e: Context, site: Site) -> Any:
    """Papineni et al. 2002, of all texts together: BP exp(1/4 sum of log p[n]), where p[n] is the share of the n-grams
    of s that y has too, and BP punishes a short s. Sums over m go on over the batches of a split."""
    s, y = (_text(e, site, name) for name in ("s", "y"))
    try:
        return Tensor(_score(e, site, s, y))
    except ShapeError as error:
        given = [site.given["s"], site.given["y"]]
        raise e.refused(error, given, [site.exprs["s"], site.exprs["y"]], site.span, site.scope) from None


def _text(e: Context, site: Site, name: str) -> Node:
    """Class numbers (m, T); one-hot columns (V, m, T) are read as the numbers that they stand for."""
    value = site.given[name]
    if isinstance(value, Tensor) and value.type.kind == "index":
        return value.node
    if not isinstance(value, Tensor) or value.type.rank != 3:
        raise stop(
            "N214",
            f"bleu compares texts, class numbers of shape (m, T), and this is {describe(value)}",
            site.place(name),
        )
    return e.b.add("drop", e.b.add("argmax", value.node, axes=(0,)), axes=(0,))


def _score(e: Context, site: Site, s: Node, y: Node) -> Node:
    b = e.b
    lengths = [_lengths(e, text) for text in (s, y)]
    values = {"zero": b.constant(0.0)}
    for name, own in zip(("c", "r"), lengths, strict=True):
        values[name] = _total(e, own)
    for n in range(1, LONGEST + 1):
        matches = b.add("ngram_matches", s, y, *lengths, n=n, span=e.findings.place(site.span))
        values[f"match{n}"] = _total(e, matches)
        values[f"all{n}"] = _total(e, formula(f"max(x - {n - 1}, zero)").build(b, {"x": lengths[0], **values}))
    logs = " + ".join(f"log(match{n} / max(all{n}, 1))" for n in range(1, LONGEST + 1))
    return formula(f"exp(min(zero, 1 - r / c)) * exp(({logs}) / {LONGEST})").build(b, values)


def _lengths(e: Context, text: Node) -> Node:
    """Each text's own number of words, (m); of one that was generated, with the word that ends it."""
    if text.type.rank != 2:
        raise ShapeError("D103", f"a text is (m, T), and this is {text.type}", [], rule="bleu(s : (m, T), y : (m, S))")
    words = text
    while words.op == "rename":
        (words,) = words.inputs
    if words.op == "generate":
        return e.b.add("generate", *words.inputs, span=words.span, **{**words.keywords, "take": "lengths"})
    own = lengths_of(e.b, e.padded, text.type.axes[1].size)
    return own if own.type.rank else e.b.add("broadcast", own, axes=text.type.axes[:1])


def _total(e: Context, each: Node) -> Node:
    return e.b.add("drop", e.b.add("sum", each, axes=(0,)), axes=(0,))

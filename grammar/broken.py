"""What is left of a statement that could not be read: the names that it would have defined.

With them the rest of the file can be proved all the same: a name that a broken statement was to define is unknown
without being a mistake of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Any

from dlc.grammar import ast
from dlc.grammar.characters import normalised
from dlc.grammar.lexical import Token
from dlc.grammar.lines import CLOSES, DEFINITION_WORDS, STATEMENT_WORDS, keyword
from dlc.grammar.span import Span

_DEFINES = ("=", ":", "~", ":=", "in")
_READS = frozenset({"loss", "metric", "require", "freeze", "load", "if", "else", "when", "otherwise"})


def broken(tokens: Sequence[Token]) -> ast.Broken:
    """The statement of these tokens, which could not be read."""
    word = keyword(list(tokens), 0, len(tokens)) or (tokens[0].type if tokens[0].type in STATEMENT_WORDS else "")
    names = () if word in _READS else tuple(_targets(tokens[1:] if word else tokens, word))
    return ast.Broken(word=word, names=names, span=tokens[0].span.to(tokens[-1].span))


def _targets(tokens: Sequence[Token], word: str) -> Iterator[ast.Name]:
    """The names outside of brackets in front of the first `=`, `:` or `~`; of a definition the first one alone."""
    depth = 0
    for token in tokens:
        if depth == 0 and token.type in _DEFINES:
            return
        depth += (token.type in CLOSES) - (token.type in CLOSES.values())
        if depth == 0 and token.type == "NAME" and token.text not in STATEMENT_WORDS:
            yield ast.Name(id=normalised(token.text), span=token.span)
            if word in DEFINITION_WORDS:
                return


def dropped(nodes: Iterable[Any], span: Span, word: str = "") -> ast.Broken:
    """Statements that have no sense where they stand."""
    names = {name.id: name for node in nodes for name in _defined(node)}
    return ast.Broken(word=word, names=tuple(names.values()), span=span)


def _defined(node: Any) -> Iterator[ast.Name]:
    """Every name that a statement defines, in its blocks too."""
    match node:
        case ast.Broken(names=names) | ast.DimDecl(names=names):
            yield from names
        case ast.Hyper(name=name) | ast.Output(name=ast.Name() as name):
            yield name
        case ast.Definition(name=name):
            yield name
        case ast.Declaration(targets=targets) | ast.Equation(targets=targets) | ast.Draw(targets=targets):
            for target in targets:
                while isinstance(target, ast.Index | ast.TimeIndex):
                    target = target.base
                if isinstance(target, ast.Name):
                    yield target
        case ast.For() | ast.Scan() | ast.If() | ast.When():
            parts = [getattr(node, field.name) for field in fields(node)]
            for part in parts:
                for inner in part if isinstance(part, tuple) else ():
                    yield from _defined(inner)

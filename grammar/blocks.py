"""Hangs the statements of a file below their headers, by indentation.

Needs the statements in order, each with its indentation and what it was read as; leaves the items of the file. It does
not look into statements.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from dlc.grammar import ast
from dlc.grammar.broken import broken, dropped
from dlc.grammar.lexical import Token
from dlc.grammar.lines import DEFINITION_WORDS
from dlc.grammar.problems import Problem
from dlc.grammar.span import Span
from dlc.grammar.tree import Header

MAX_DEPTH = 100

_ITEMS = (ast.Definition, ast.Import, ast.Block)


@dataclass(frozen=True, slots=True)
class Row:
    """One statement, by itself: its words, and what they were read as."""

    indent: int
    tokens: tuple[Token, ...]
    node: Any

    @property
    def span(self) -> Span:
        return self.tokens[0].span.to(self.tokens[-1].span)


class Blocks:
    """Walks over the rows once; `problems` collects what the layout alone shows."""

    def __init__(self, rows: list[Row], problems: list[Problem]) -> None:
        self.rows = rows
        self.problems = problems
        self.at = 0

    def items(self) -> tuple[Any, ...]:
        """The items of the file: definitions, imports, `data:` and `train:` blocks, and constants."""
        return tuple(node for node in self._block(0, depth=0) if not isinstance(node, ast.Setting))

    def _block(self, indent: int, depth: int) -> tuple[Any, ...]:
        """What the rows from here on say that stand at `indent` or deeper."""
        nodes: list[Any] = []
        indents = {indent}
        while (row := self._next()) and row.indent >= indent:
            if row.indent not in indents:
                indents.add(row.indent)
                if not isinstance(row.node, ast.Broken):
                    self._wrong_indent(row, indent, depth)
            self.at += 1
            self._add(nodes, row, depth)
        return tuple(nodes)

    def _add(self, nodes: list[Any], row: Row, depth: int) -> None:
        """Put the statement of `row`, with the block below it, behind `nodes`; what has no sense is `Broken`."""
        node = row.node
        if isinstance(node, ast.Broken):
            below = self._below(row, depth) if self._deeper_than(row) else ()
            # It was to be a header: what stands below was read for its problems, and what it defines is not known.
            local = depth == 0 or not below
            nodes.append(node if local else dropped((node, *below), node.span, node.word))
        elif not isinstance(node, Header):
            nodes.append(self._placed(node, depth))
        elif node.word in ("else", "otherwise"):
            self._second_half(nodes, node, self._below(row, depth))
        else:
            fits, whole = self._header_fits(node, depth), depth == 0 or self._deeper_than(row)
            body, has_settings = self._below(row, depth), node.word in ("data", "train")
            body = tuple(part for part in body if isinstance(part, ast.Setting) == has_settings)
            made = node.build(body) if fits else dropped(body, node.span, node.word)
            nodes.append(made if whole else broken(row.tokens))

    def _second_half(self, nodes: list[Any], header: Header, body: tuple[Any, ...]) -> None:
        first = nodes[-1] if nodes else None
        kind, word = (ast.If, "if") if header.word == "else" else (ast.When, "when training")
        if isinstance(first, kind) and not first.otherwise:
            nodes[-1] = replace(first, otherwise=body)
            return
        if not isinstance(first, ast.Broken):
            message = f"`{header.word}:` has no `{word}` right above it in this column"
            self.problems.append(Problem("S021", message, header.span))
        nodes.append(dropped(body, header.span, header.word))

    def _below(self, row: Row, depth: int) -> tuple[Any, ...]:
        """The block below a header."""
        if self._deeper_than(row):
            if depth >= MAX_DEPTH:
                self._skip(row)
                return ()
            return self._block(self.rows[self.at].indent, depth + 1)
        message = f"`{row.node.word}` opens a block, but no indented line stands below it"
        self.problems.append(Problem("S017", message, row.span, help="indent the lines that belong to it by 4 spaces"))
        if depth > 0:
            return ()
        nodes: list[Any] = []  # the lines below are surely meant: that they are not indented is one mistake
        while (below := self._next()) and below.indent == row.indent and not _begins_item(below.node):
            self.at += 1
            self._add(nodes, below, depth + 1)
        return tuple(nodes)

    def _skip(self, row: Row) -> None:
        deep = self.rows[self.at]
        self.problems.append(Problem("S023", f"blocks nest at most {MAX_DEPTH} deep", deep.span))
        while self._deeper_than(row):
            self.at += 1

    def _next(self) -> Row | None:
        return self.rows[self.at] if self.at < len(self.rows) else None

    def _deeper_than(self, row: Row) -> bool:
        below = self._next()
        return below is not None and below.indent > row.indent

    def _wrong_indent(self, row: Row, indent: int, depth: int) -> None:
        column = indent + 1
        message = f"this line begins in column {row.indent + 1}, the block that it stands in begins in column {column}"
        if depth == 0:
            message = f"this line begins in column {row.indent + 1}, but no block is open above it"
        span = Span(row.span.file, row.span.line, 1, row.span.line, row.indent + 1)
        help = f"begin it in column {column}; a deeper block begins below a line that ends with `:`"
        self.problems.append(Problem("S016", message, row.span, help=help, fix=((span, " " * indent),)))

    def _placed(self, node: Any, depth: int) -> Any:
        """`node` where it may stand here, else what is left of it."""
        if isinstance(node, ast.Setting):
            return node
        if depth == 0 and not isinstance(node, (*_ITEMS, ast.Equation)):
            help = "indent it under the model or layer that it belongs to"
            message = "this statement stands outside of any definition"
            self.problems.append(Problem("S021", message, node.span, help=help))
            return dropped((node,), node.span)
        if depth > 0 and isinstance(node, _ITEMS):
            what = "an import" if isinstance(node, ast.Import) else f"a {getattr(node, 'kind', '')}"
            self._inside(what, node.span)
            return dropped((node,), node.span)
        return node

    def _header_fits(self, header: Header, depth: int) -> bool:
        if depth == 0 and header.word not in (*DEFINITION_WORDS, "data", "train"):
            help = "indent it under the model or layer that it belongs to"
            message = f"`{header.word}` stands outside of any definition"
            self.problems.append(Problem("S021", message, header.span, help=help))
            return False
        if depth > 0 and header.word in (*DEFINITION_WORDS, "data", "train"):
            self._inside(f"a `{header.word}`", header.span)
            return False
        return True

    def _inside(self, what: str, span: Span) -> None:
        help = "begin it in column 1"
        self.problems.append(Problem("S021", f"{what} cannot stand inside another block", span, help=help))


def _begins_item(node: Any) -> bool:
    if isinstance(node, Header):
        return node.word in (*DEFINITION_WORDS, "data", "train")
    return isinstance(node, _ITEMS)

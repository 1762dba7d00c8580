"""Reads a `.dl` file into the syntax tree.

    tokens (lexical) -> statements (lines) -> one tree each (automaton: dl.lark, tree) -> blocks (blocks)

Nothing here raises on what a user wrote: what cannot be read becomes a `Problem`, and reading goes on at the next
statement.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from dlc.grammar import ast
from dlc.grammar.automaton import Automaton, Unexpected
from dlc.grammar.blocks import Blocks, Row
from dlc.grammar.broken import broken
from dlc.grammar.explain import explain, lone_comparison, missing_colon, not_closed, open_brackets
from dlc.grammar.lexical import Scanner, Token
from dlc.grammar.lines import (
    CONTINUES,
    DECLARATION_WORDS,
    HEADER_WORDS,
    MAX_STATEMENT,
    keyword,
    nesting,
    next_statement,
    statement_end,
)
from dlc.grammar.problems import Mistake, Problem
from dlc.grammar.span import Span
from dlc.grammar.tree import Header

MAX_LENGTH = 2_000_000
MAX_PROBLEMS = 100
MAX_NESTING = 100
MAX_TREE_DEPTH = 250


def parse(text: str, file: str) -> tuple[ast.File, list[Problem]]:
    """The tree of a whole file, with every statement that could be read, and the problems in the order of the text."""
    return parse_definitions(text, file)


def parse_definitions(text: str, file: str, first_line: int = 1) -> tuple[ast.File, list[Problem]]:
    """The same for a slice of a file, which begins at line `first_line`."""
    return Reader(text, file, first_line).read()


def comments(text: str) -> list[tuple[int, int, str]]:
    """The comments of a file as (line, column, text)."""
    return Scanner(text.removeprefix("\N{BYTE ORDER MARK}"), "").scan().comments


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything that stands in a file: its tree, and the text that the tree was read from, for a formatter.

    `rows` are the statements in the order of the text; `comments` are (line, column, text).
    """

    file: ast.File
    problems: list[Problem]
    rows: list[Row]
    comments: list[tuple[int, int, str]]


def read(text: str, file: str) -> Reading:
    """The whole file with its statements' tokens and its comments."""
    reader = Reader(text, file, 1)
    tree, problems = reader.read()
    return Reading(tree, problems, reader.rows, reader.comments)


class Reader:
    """Reads one text: cuts it into statements, parses each, and builds the blocks."""

    def __init__(self, text: str, file: str, first_line: int) -> None:
        self.text = text
        self.file = file
        self.first_line = first_line
        self.problems: list[Problem] = []
        self.tokens: list[Token] = []
        self.rows: list[Row] = []
        self.comments: list[tuple[int, int, str]] = []

    def read(self) -> tuple[ast.File, list[Problem]]:
        text, line = self.text.removeprefix("\N{BYTE ORDER MARK}"), self.first_line
        span = Span(self.file, line, 1, line + text.count("\n"), len(text) - text.rfind("\n"))
        if len(text) > MAX_LENGTH:
            message = f"the file has {len(text):,} characters, at most {MAX_LENGTH:,} are read"
            return ast.File(items=(), span=span), [Problem("S024", message, Span(self.file, line, 1, line, 2))]
        scanner = Scanner(text, self.file, line).scan()
        self.tokens, self.problems, self.scanner = scanner.tokens, scanner.problems, scanner
        self.comments = scanner.comments
        self.rows = self._rows()
        items = Blocks(self.rows, self.problems).items()
        return ast.File(items=items, span=span), self._reported()

    def _reported(self) -> list[Problem]:
        self.problems.sort(key=lambda p: (p.span.line, p.span.column))
        if len(self.problems) > MAX_PROBLEMS:
            last = self.problems[MAX_PROBLEMS]
            message = f"more than {MAX_PROBLEMS} mistakes: the rest of the file is not reported"
            return [*self.problems[:MAX_PROBLEMS], Problem("S025", message, last.span)]
        return self.problems

    def _rows(self) -> list[Row]:
        """Every statement, read by itself; the lines of a `data:` or `train:` block by the rule for settings."""
        rows: list[Row] = []
        tokens, start = self.tokens, 0
        settings: int | None = None  # the least indentation in which the settings of the open block stand
        while start < len(tokens) and len(self.problems) <= MAX_PROBLEMS:
            end = statement_end(tokens, start)
            indent = self._indent(start)
            if settings is not None and (indent < settings or (indent == 0 and keyword(tokens, start, end))):
                settings = None
            node, end = self._statement(start, end, "line" if settings is None else "setting")
            rows.append(Row(indent, tuple(tokens[start:end]), node))
            if isinstance(node, Header) and node.word in ("data", "train"):
                settings = indent + 1 if end < len(tokens) and self._indent(end) > indent else indent
            start = end
        return rows

    def _indent(self, start: int) -> int:
        first = self.tokens[start]
        return self.scanner.indents.get(first.line, first.column - 1)

    def _statement(self, start: int, end: int, rule: str) -> tuple[Any, int]:
        """What the statement `start:end` was read as, and where it ends in truth."""
        if self._is_unreadable(start, end):
            end = next_statement(self.tokens, start, end)
            if self._is_unreadable(start, end):
                return broken(self.tokens[start:end]), end
        tokens = self.tokens[start:end]
        try:
            node = self._parse(tokens, rule)
            if isinstance(node, ast.ExpressionStatement) and (mistaken := lone_comparison(tokens)):
                raise Mistake(mistaken)
            return node, end
        except Stuck as stuck:
            problem, end = self._stuck(stuck, start, end, rule)
        except Mistake as mistake:
            problem = mistake.problem
        except RecursionError:
            problem = _too_deep(tokens)
        self.problems.append(problem)
        return broken(self.tokens[start:end]), end

    def _stuck(self, stuck: Stuck, start: int, end: int, rule: str) -> tuple[Problem, int]:
        """What is wrong with the statement `start:end`, and where it ends in truth."""
        tokens = self.tokens[start:end]
        cut = next_statement(tokens, 0, len(tokens))
        if cut < len(tokens) and (brackets := open_brackets(tokens[:cut])):
            if stuck.at >= cut - 1:
                return not_closed(brackets[-1], tokens[cut - 1]), start + cut
            if open_brackets(tokens):  # nothing below closes it
                return explain(tokens[:cut], stuck.at, stuck.expected, rule), start + cut
        if len(tokens) >= MAX_STATEMENT:
            return _too_deep(tokens), next_statement(self.tokens, start, len(self.tokens))
        if nesting(tokens) > MAX_NESTING:
            return _too_deep(tokens), start + cut
        if stuck.at == len(tokens) and tokens[-1].type in CONTINUES:
            # The deeper lines below were meant to go on with it.
            while end < len(self.tokens) and self._indent(end) > self._indent(start):
                end = statement_end(self.tokens, end)
        return explain(tokens, stuck.at, stuck.expected, rule), end

    def _is_unreadable(self, start: int, end: int) -> bool:
        lines = self.scanner.unreadable
        return bool(lines) and any(token.line in lines for token in self.tokens[start:end])

    def _parse(self, tokens: list[Token], rule: str) -> Any:
        if rule == "line" and (word := keyword(tokens, 0, len(tokens))):
            tokens[0].type = word
            for role in tokens[1:2]:
                if word == "frozen" and role.text in DECLARATION_WORDS:
                    role.type = role.text
        if len(tokens) >= MAX_STATEMENT or (len(tokens) > MAX_NESTING and nesting(tokens) > MAX_NESTING):
            raise Stuck(len(tokens), frozenset())
        automaton = Automaton(rule)
        at, node = 0, None
        try:
            for token in tokens:
                automaton.feed(token)
                at += 1
            node = automaton.finish()
        except Unexpected:
            expected = automaton.acceptable()
            if at == len(tokens) and ":" in expected and tokens[0].type in HEADER_WORDS:
                node = self._with_colon(tokens, automaton)
            if node is None:
                raise Stuck(at, expected) from None
        if len(tokens) > MAX_TREE_DEPTH:
            tree = node.build(()) if isinstance(node, Header) else node
            if depth(tree) > MAX_TREE_DEPTH:
                raise Mistake(_too_deep(tokens))
        return node

    def _with_colon(self, tokens: list[Token], automaton: Automaton) -> Any:
        """The header that `tokens` are but for the `:` at the end, else None."""
        try:
            automaton.feed(_after(tokens, ":"))
            node = automaton.finish()
        except Unexpected:
            return None
        self.problems.append(missing_colon(tokens))
        return node


class Stuck(Exception):
    """The parser does not know how to go on at token number `at`; `expected` are the tokens that it knows there."""

    def __init__(self, at: int, expected: frozenset[str]) -> None:
        super().__init__(at)
        self.at = at
        self.expected = expected


def _after(tokens: list[Token], type: str) -> Token:
    """A token of no length behind the last one."""
    last = tokens[-1]
    return Token(type, "", last.file, last.line, last.column + len(last.text))


def _too_deep(tokens: list[Token]) -> Problem:
    message = f"this is too deep: {MAX_NESTING} brackets or {MAX_TREE_DEPTH} operators inside each other are the most"
    if len(tokens) >= MAX_STATEMENT:
        message = f"a statement has at most {MAX_STATEMENT:,} words and signs"
    return Problem("S023", message, tokens[0].span, help="give parts of the expression names of their own")


def depth(tree: Any) -> int:
    """How deep a tree is; counted without recursion, since that is what a deep tree would break."""
    deepest, todo = 0, [(tree, 1)]
    while todo:
        node, level = todo.pop()
        deepest = max(deepest, level)
        if isinstance(node, tuple):
            todo.extend((part, level) for part in node)
        elif isinstance(node, ast.Tree):
            todo.extend((getattr(node, f.name), level + 1) for f in fields(node))
    return deepest

"""A span covers exactly the text that its node was read from."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator

import pytest
from language_page import EXAMPLES
from tree_text import expression, read, statement, text_of

from dlc.grammar import ast
from dlc.grammar.parse import comments, parse, parse_definitions
from dlc.grammar.span import Span

EXPRESSIONS = typing.get_args(ast.Expr)
# These are read only where they stand: an axis and a set in their places, a shape of rank 1 in a declaration.
ONLY_IN_PLACE = (ast.NamedAxis, ast.SetExpr)
BLOCKS = (ast.For, ast.If, ast.When, ast.Scan)


def covered(text: str, span: Span) -> str:
    lines = text.split("\n")[span.line - 1 : span.end_line]
    lines[-1] = lines[-1][: span.end_column - 1]
    lines[0] = lines[0][span.column - 1 :]
    return "\n".join(lines)


def every_node(tree: object) -> Iterator[ast.Tree]:
    if isinstance(tree, tuple):
        for part in tree:
            yield from every_node(part)
    elif isinstance(tree, ast.Tree):
        yield tree
        for field in dataclasses.fields(tree):
            yield from every_node(getattr(tree, field.name))


SOURCES = {
    **{name: text for name, text in EXAMPLES.items() if not name.startswith("einsum")},
    "spread over lines": "x = (a\n  + b) * f(\n    c,\n    k = 3\n  )\n  -> g as h\n  -> ((d))[1]<t - 1>.T\n",
    "beyond ASCII": 'Ŷ = α<τ-1> + f("ü") @ été  # ü\nβ = Ŷ.T^2\n',
}


@pytest.mark.parametrize("name", SOURCES)
def test_the_text_of_a_span_reads_as_its_node(name: str) -> None:
    source = SOURCES[name]
    checked = 0
    for node in every_node(read(source).items):
        text = covered(source, node.span)
        if isinstance(node, EXPRESSIONS) and not isinstance(node, ONLY_IN_PLACE):
            rank_one = isinstance(node, ast.Shape) and len(node.items) == 1
            if not rank_one:
                assert text_of(expression(text)) == text_of(node), text
                checked += 1
        elif isinstance(node, typing.get_args(ast.Statement)) and not isinstance(node, BLOCKS):
            assert text_of(statement(text)) == text_of(node), text
            checked += 1
        elif isinstance(node, ast.Argument | ast.NamedAxis):
            assert text_of(expression(f"f({text})")) == f"(call f {text_of(node)})", text
            checked += 1
    assert checked > 5


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("model M(n = 3):\n    x = n\n", "model M(n = 3):"),
        ("train :\n  x = 1\n", "train :"),
        ("layer F(\n  n\n):\n    x = n\n", "layer F(\n  n\n):"),
        ("function f(z) = z + 1\n", "function f(z) = z + 1"),
    ],
)
def test_a_block_has_the_span_of_its_header(text: str, header: str) -> None:
    (item,) = read(text).items
    assert covered(text, item.span) == header


@pytest.mark.parametrize("header", ["for l in 1..3:", "if a == b:", "when training:", "scan t in 1..T:"])
def test_a_block_statement_has_the_span_of_its_header(header: str) -> None:
    text = f"model M:\n    {header}\n        x = 1\n"
    (model,) = read(text).items
    assert isinstance(model, ast.Definition)
    assert model.body
    assert model.body[0].span == Span("test.dl", 2, 5, 2, 5 + len(header))


def test_columns_count_characters() -> None:
    node = expression("f(Ŷ, x)")
    assert isinstance(node, ast.Call)
    assert node.arguments[1].span == Span("test.dl", 2, 14, 2, 15)


def test_brackets_belong_to_the_span() -> None:
    node = expression("(a + b) * c")
    assert isinstance(node, ast.Binary)
    assert (node.span.column, node.left.span.column, node.left.span.end_column) == (9, 9, 16)


def test_a_slice_of_a_file_counts_from_its_first_line() -> None:
    whole, _ = parse("\n\nfunction f(z) = z\nfunction g(z) = 2 z\n", "std.dl")
    part, (problem,) = parse_definitions("function f(z) = z\nfunction g(z) = 2 z\n", "std.dl", first_line=3)
    assert part.items == whole.items
    assert str(problem.span) == "std.dl:4:19"


def test_comments_keep_their_places() -> None:
    text = '# one\nx = "#no"  # two\r\n    # three\n'
    assert comments(text) == [(1, 1, "# one"), (2, 12, "# two"), (3, 5, "# three")]

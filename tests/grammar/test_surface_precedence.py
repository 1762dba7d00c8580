"""How tightly operators bind: each text means what it means with all brackets written."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest
from tree_text import expression, text_of

from dlc.grammar import ast
from dlc.grammar.format import unparse, unparse_shape
from dlc.grammar.span import Span

# The page's table, loosest first; each row has one operator for each binary form.
LEVELS = [["->"], ["or"], ["and"], ["==", "<"], [".."], ["+", "-"], ["*", "/", "//", "%"], ["@"], ["^"]]
LEFT = {"->", "or", "and", "+", "-", "*", "/", "//", "%", "@"}

PAIRS = [
    (loose, tight)
    for a, b in itertools.combinations(range(len(LEVELS)), 2)
    for loose in LEVELS[a]
    for tight in LEVELS[b]
]


@pytest.mark.parametrize(("loose", "tight"), PAIRS)
def test_a_tighter_operator_takes_its_operands_first(loose: str, tight: str) -> None:
    assert text_of(expression(f"a {loose} b {tight} c")) == f"({loose} a ({tight} b c))"
    assert text_of(expression(f"a {tight} b {loose} c")) == f"({loose} ({tight} a b) c)"


@pytest.mark.parametrize("operator", sorted(LEFT))
def test_grouping_to_the_left(operator: str) -> None:
    assert text_of(expression(f"a {operator} b {operator} c")) == f"({operator} ({operator} a b) c)"


EXAMPLES = [
    ("-x^2", "(- (^ x 2))"),
    ("2^-x", "(^ 2 (- x))"),
    ("a^b^c", "(^ a (^ b c))"),
    ("(-x)^2", "(^ (- x) 2)"),
    ("A @ B * C", "(* (@ A B) C)"),
    ("2 * W @ X", "(* 2 (@ W X))"),
    ("-A @ B", "(@ (- A) B)"),
    ("A @ -B", "(@ A (- B))"),
    ("W.T @ dZ", "(@ W.T dZ)"),
    ("-W[l].T^2", "(- (^ W[l].T 2))"),
    ("not a == b", "(not (== a b))"),
    ("not a and b", "(and (not a) b)"),
    ("a or b and c", "(or a (and b c))"),
    ("1..L-1", "(.. 1 (- L 1))"),
    ("x -> f + g", "(-> x (+ f g))"),
    ("x -> f if c else g", "(if c (-> x f) g)"),
    ("a if b or c else d -> f", "(if (or b c) a (-> d f))"),
    ("a - b - c", "(- (- a b) c)"),
    ("- - x", "(- (- x))"),
    ("f(x)[0].W^2", "(^ (call f x)[0].W 2)"),
]


@pytest.mark.parametrize(("text", "tree"), EXAMPLES)
def test_example(text: str, tree: str) -> None:
    assert text_of(expression(text)) == tree
    assert text_of(expression(unparse(expression(text)))) == tree


CANONICAL = [
    ("(a+b)*c", "(a + b) * c"),
    ("((a*b))+c", "a * b + c"),
    ("a-(b-c)", "a - (b - c)"),
    ("(a^b)^c", "(a^b)^c"),
    ("-(a+b)", "-(a + b)"),
    ("1 .. (L-1)", "1..L - 1"),
    ("f( x,k = 3 )", "f(x, k = 3)"),
    ("(x -> f)(y)", "(x -> f)(y)"),
    ("(a if c else b) + 1", "(a if c else b) + 1"),
    ("a<t - 1>", "a<t-1>"),
    ("(k=T, ..., m)", "(k = T, ..., m)"),
    ("(n,)", "(n,)"),
    ("not (a and b)", "not (a and b)"),
    ('csv("a\\"b\\n")', 'csv("a\\"b\\n")'),
    ("(a == b) == c", "(a == b) == c"),
    ("f.....3", "f... .. 3"),
    ("(2).T", "(2).T"),
]


@pytest.mark.parametrize(("text", "canonical"), CANONICAL)
def test_canonical_text(text: str, canonical: str) -> None:
    assert unparse(expression(text)) == canonical


def test_a_shape_of_rank_one_as_it_is_declared() -> None:
    shape = expression("(n,)")
    assert isinstance(shape, ast.Shape)
    assert unparse_shape(shape) == "(n)"


HERE = Span("", 1, 1, 1, 1)


def _any_expression(rng: random.Random, depth: int) -> ast.Expr:
    """A random tree of every kind of expression."""

    def part() -> ast.Expr:
        return _any_expression(rng, depth - 1)

    def name() -> ast.Name:
        return ast.Name(id=rng.choice(["a", "x", "W", "from", "in", "Ŷ", "lambda"]), span=HERE)

    def parts(least: int) -> tuple[ast.Expr, ...]:
        return tuple(part() for _ in range(rng.randrange(least, 4)))

    def axis() -> ast.Expr:
        return ast.NamedAxis(name=name(), size=part(), span=HERE) if rng.random() < 0.3 else part()

    def argument() -> ast.Argument:
        return ast.Argument(name=rng.choice([None, name()]), value=part(), span=HERE)

    def time() -> ast.Expr:
        number = ast.Number(value=1, text="1", span=HERE)
        base: ast.Expr = name() if rng.random() < 0.5 else ast.Number(value=0, text="0", span=HERE)
        sign = rng.choice(["+", "-", ""])
        return ast.Binary(op=sign, left=base, right=number, span=HERE) if sign else base

    def binary() -> ast.Expr:
        op = rng.choice([op for level in LEVELS[1:] for op in level])
        return ast.Binary(op=op, left=part(), right=part(), span=HERE)

    leaves: list[Callable[[], ast.Expr]] = [
        name,
        lambda: ast.Number(value=0.5, text="0.5", span=HERE),
        lambda: ast.Number(value=12, text="12", span=HERE),
        lambda: ast.String(value=rng.choice(["", 'a"\\', "x\n\t"]), span=HERE),
        lambda: ast.Rest(span=HERE),
        lambda: ast.Spread(value=name(), span=HERE),
    ]
    inner: list[Callable[[], ast.Expr]] = [
        binary,
        binary,
        binary,
        lambda: ast.Unary(op=rng.choice(["-", "not"]), operand=part(), span=HERE),
        lambda: ast.Conditional(then=part(), condition=part(), otherwise=part(), span=HERE),
        lambda: ast.Apply(value=part(), target=part(), name=rng.choice([None, name()]), span=HERE),
        lambda: ast.ListExpr(items=parts(0), span=HERE),
        lambda: ast.Shape(items=tuple(axis() for _ in range(rng.randrange(4))), span=HERE),
        lambda: ast.Index(base=name(), indices=parts(1), span=HERE),
        lambda: ast.TimeIndex(base=name(), time=time(), span=HERE),
        lambda: ast.Call(function=part(), arguments=tuple(argument() for _ in range(rng.randrange(3))), span=HERE),
        lambda: ast.Attribute(base=part(), name=name(), span=HERE),
        lambda: ast.Transpose(operand=part(), span=HERE),
    ]
    return rng.choice(inner if depth else leaves)()


@pytest.mark.parametrize("seed", range(40))
def test_what_is_written_is_read_again(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(25):
        tree = _any_expression(rng, rng.randrange(4))
        assert text_of(expression(unparse(tree))) == text_of(tree), unparse(tree)

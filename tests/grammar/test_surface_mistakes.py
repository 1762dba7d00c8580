"""What is said about mistakes: the code, the exact place, and an edit that leaves a good text."""

from __future__ import annotations

import re

import pytest
from tree_text import read, text_of

from dlc.grammar import ast
from dlc.grammar.parse import parse
from dlc.grammar.problems import TITLES, Problem
from dlc.grammar.span import Span

# The statement, the code, the marked text ("" is a place between characters), and words of the message or the help.
MISTAKES = [
    ("if a<b:\n    x = 1", "S005", "<", "a < b"),
    ("if a <b:\n    x = 1", "S005", "<", "a < b"),
    ("if a< b:\n    x = 1", "S005", "<", "a < b"),
    ("if a<b and c>d:\n    x = 1", "S005", "<", "a < b"),
    ("if n[0]<3:\n    x = 1", "S005", "<", "space"),
    ("x = a<t-2>", "S006", "<", "plus or minus one"),
    ("x = a<2*t>", "S006", "<", "plus or minus one"),
    ("x = a <t>", "S006", "<", "write a<t>"),
    ("x = a < b < c", "S007", "a < b < c", "a < b and b < c"),
    ("if a == b == c:\n    x = 1", "S007", "a == b == c", "a == b and b == c"),
    ("if a = b:\n    x = 1", "S008", "=", "write =="),
    ('require n = 3, "three"', "S008", "=", "write =="),
    ("y = a if b = c else d", "S008", "=", "write =="),
    ("x = y = 3", "S008", "=", "define y in a line of its own"),
    ("x = a**2", "S009", "**", "write ^"),
    ("x = a && b", "S009", "&&", "write and"),
    ("x = a || b", "S009", "||", "write or"),
    ("x = !a", "S009", "!", "write not"),
    ("x += 1", "S009", "+=", ":="),
    ("x = 3; y = 4", "S009", ";", "new line"),
    ("x = a + \\\n    b", "S009", "\\", "next line"),
    ("x = a ? b : c", "S009", "?", "x if condition else y"),
    ("x = W' @ A", "S009", "'", ".T"),
    ("x = .5 * a", "S010", ".5", "0.5"),
    ("x = 5. * a", "S010", "5.", "5.0"),
    ("x = 2 * 1.e3", "S010", "1.e3", "1.0e3"),
    ("x = 2x", "S010", "2x", "2 * x"),
    ("x = 007", "S010", "007", "write 7"),
    ("x = 0x1F", "S010", "0x1F", "not a number"),
    ("x = 1__0", "S010", "1__0", "not a number"),
    ("x = 123456789012345678901", "S011", "123456789012345678901", "20 digits"),
    ("x = a<123456789012345678901>", "S011", "123456789012345678901", "20 digits"),
    ("x = 1e999", "S011", "1e999", "infinity"),
    ("x = 1e-999", "S011", "1e-999", "0 in double precision"),
    ("s = csv('a.csv')", "S012", "'a.csv'", 'write "a.csv"'),
    ('s = csv("a.csv)', "S012", '"', "not closed"),
    ('s = csv("a\\d.csv")', "S012", "\\d", "write /"),
    ("x = y → f", "S013", "→", "write ->"),
    ("x = a × b", "S013", "×", "write *"),
    ("x = a×b", "S013", "×", "write *"),
    ("x = a\N{NO-BREAK SPACE}+ b", "S013", "\N{NO-BREAK SPACE}", "plain space"),
    ("x = a\x07 + b", "S013", "\x07", "U+0007"),
    ("x = a  # hidden \u202e text", "S013", "\u202e", "reading direction"),
    ('s = csv("\u2066a.csv")', "S013", "\u2066", "reading direction"),
    ("x = a\rb", "S013", "\r", "carriage return"),
    ("x = a\ud800", "S013", "\ud800", "half"),
    ("x = a\u200b", "S013", "\u200b", "zero width space"),
    ("x² = 3", "S014", "²", "x^2"),
    ("y = 2 * x₁", "S014", "₁", "x[1]"),
    ("y = Wᵀ @ x", "S014", "ᵀ", "W.T"),
    ("x = f(a, (b, c)\ny = 3", "S003", "(", "close it with `)`"),
    ("x = [1, 2\ny = 3", "S003", "[", "close it with `]`"),
    ("x = f(a, b]", "S003", "]", "`(` is closed by `]`"),
    ("x = a)", "S004", ")", "closes nothing"),
    ("x = a +\n    b", "S002", "+", "begin that line with the operator"),
    ("x = not", "S002", "not", "nothing stands after"),
    ("x = (a + )", "S002", ")", "between `+` and `)`"),
    ("x = a if c", "S002", "", "else"),
    ("loss", "S002", "", "write loss"),
    ("frozen", "S002", "", "frozen param"),
    ("a, b", "S002", "", "no value"),
    ("Z : (n, m)", "S002", "", "input, target or param"),
    ("load f", "S002", "", "from"),
    ("for l in 1..L\n    x = l", "S018", "", "`:` is missing"),
    ("if a == b\n    x = l", "S018", "", "`:` is missing"),
    ("when training\n    x = l", "S018", "", "`:` is missing"),
    ("if a == b:\nx = 3", "S017", "if a == b:", "no indented line"),
    ("for l in 1..L: x = l", "S017", "x", "new line"),
    ("inputs Y : (3, m)", "S019", "inputs", "did you mean input"),
    ("parm W : (3, m) ~ he", "S019", "parm", "did you mean param"),
    ("If a == b:\n    x = 3", "S019", "If", "did you mean if"),
    ("if q == 0:\n    x = 3\nesle:\n    x = 3", "S019", "esle", "did you mean else"),
    ("softmax Z", "S019", "softmax", "name = …"),
    ("when train:\n    x = 3", "S019", "train", "when training"),
    ("import numpy as np", "S020", "numpy", "leave the line out"),
    ("import blocks", "S020", "blocks", 'import "blocks.dl"'),
    ("x = lambda z: z^2", "S020", "lambda", "function f(x)"),
    ("def f(x):\n    y = x", "S020", "def", "function f(x)"),
    ("return x", "S020", "return", "output"),
    ("while x:\n    y = x", "S020", "while", "for l in 1..L:"),
    ("x = if c then a else b", "S020", "if", "a if condition else b"),
    ("hyper lr in log(1, 2)", "S001", "in", "hyper lr = 1e-3 in"),
    ("mu : (n, 1) := 3", "S001", ":=", "mu := 0.9 * mu"),
    ("loss J = 3", "S001", "=", "metric name"),
    ("dim T < 128", "S001", "<", "dim T <= 128"),
    ("scan t = 1..T:\n    x = t", "S001", "=", "in 1..L"),
    ("frozen W : (n, m)", "S001", "W", "frozen param"),
    ("x = {a, b}", "S001", "{", "list"),
    ("x = f(k: 3)", "S001", ":", "write k = …"),
    ("output a, b", "S001", ",", "a line for each"),
    ("x = a, b", "S001", ",", "brackets"),
    ("param W : n, m ~ he", "S001", "n", ": (n, m)"),
    ("x = a b", "S001", "b", "between `a` and `b`"),
    ("x = f(a b)", "S001", "b", "a comma"),
    ("x = f(a,\n  b\n  c)", "S001", "", "comma"),
    ("x = 2 y", "S001", "y", "2 * y"),
    ("x = +3", "S001", "+", "remove it"),
    ("x = a * * b", "S001", "*", "between `*` and `*`"),
    ("x = 3 ~ he", "S001", "~", "D : (n, m) ~"),
    ("x = a..b..c", "S001", "..", "two ends"),
    ("f(x) = 3", "S022", "f(x)", "function f(x)"),
    ("(a, b) = f(x)", "S022", "(a, b)", "h, c ="),
    ("x.W = 3", "S022", "x.W", "W[l]"),
    ("param W (n, m) ~ he", "S022", "W (n, m)", "write W : (n, m)"),
    ("metric f(x) = 3", "S022", "f(x)", "plain name"),
    ("else:\n    x = 3", "S021", "else:", "`if` right above"),
    ('import "a.dl"', "S021", 'import "a.dl"', "column 1"),
    ("model B:\n    x = 3", "S021", "model B:", "column 1"),
]  # fmt: skip


def in_model(text: str) -> str:
    body = "".join(f"    {line}\n" for line in text.split("\n"))
    return f"model M:\n    q = 0\n{body}    r = 1\n"


def marked(text: str, span: Span) -> str:
    """What the span covers; spans of problems stay within one line here."""
    assert span.line == span.end_line
    return text.split("\n")[span.line - 1][span.column - 1 : span.end_column - 1]


def applied(text: str, problem: Problem) -> str:
    lines = text.split("\n")
    for span, new in sorted(problem.fix, key=lambda edit: (edit[0].line, edit[0].column), reverse=True):
        line = lines[span.line - 1]
        lines[span.line - 1] = line[: span.column - 1] + new + line[span.end_column - 1 :]
    return "\n".join(lines)


@pytest.mark.parametrize(("statement", "code", "mark", "words"), MISTAKES)
def test_mistake(statement: str, code: str, mark: str, words: str) -> None:
    text = in_model(statement)
    file, problems = parse(text, "test.dl")
    assert [p.code for p in problems] == [code], problems
    (problem,) = problems
    assert marked(text, problem.span) == mark
    assert words in f"{problem.message} | {problem.help}"
    if problem.fix:
        fixed, left = parse(applied(text, problem), "test.dl")
        assert left == []
        assert isinstance(fixed.items[0], ast.Definition)
    (model,) = file.items  # and the statements around it are there
    assert isinstance(model, ast.Definition)
    assert model.body
    assert text_of(model.body[0]) == "(Equation targets=[q] value=0)"
    assert text_of(model.body[-1]) == "(Equation targets=[r] value=1)"


def test_every_code_is_met_somewhere() -> None:
    tested = {code for _, code, _, _ in MISTAKES}
    elsewhere = {"S015", "S016", "S023", "S024", "S025"}  # below, and in test_surface_limits.py
    assert tested | elsewhere == set(TITLES)


def test_messages_follow_the_house() -> None:
    for statement, *_ in MISTAKES:
        for problem in parse(in_model(statement), "test.dl")[1]:
            assert not re.match("[A-Z]", problem.message), problem.message
            assert not problem.message.endswith(".")
            assert "illegal" not in problem.message


class TestIndentation:
    def test_tabs_are_one_mistake_with_one_fix(self) -> None:
        text = "model M:\n\tfor l in 1..L:\n\t\tx = l\n\ty = 2\n"
        file, (problem,) = parse(text, "test.dl")
        assert (problem.code, problem.span) == ("S015", Span("test.dl", 2, 1, 2, 2))
        assert text_of(file.items) == text_of(read(applied(text, problem)).items)
        assert len(problem.fix) == 3

    def test_a_tab_between_tokens_is_white_space(self) -> None:
        assert text_of(read("n\t=\t3\t# three\n").items) == "[(Equation targets=[n] value=3)]"

    def test_a_line_too_deep(self) -> None:
        file, (problem,) = parse("model M:\n    x = 1\n      y = 2\n      z = 3\n    w = 4\n", "test.dl")
        assert (problem.code, str(problem.span)) == ("S016", "test.dl:3:7")
        assert "column 7" in problem.message
        assert "column 5" in problem.message
        assert text_of(file.items).count("Equation") == 4

    def test_a_line_between_two_levels(self) -> None:
        _, (problem,) = parse("model M:\n        x = 1\n    y = 2\n", "test.dl")
        assert (problem.code, str(problem.span)) == ("S016", "test.dl:3:5")

    def test_a_model_without_indentation_is_one_mistake(self) -> None:
        text = "model M:\ninput X : (3, m)\nfor l in 1..2:\n    x = l\noutput X\ntrain:\n    epochs = 3\n"
        file, (problem,) = parse(text, "test.dl")
        assert (problem.code, str(problem.span)) == ("S017", "test.dl:1:1")
        model, block = file.items
        assert isinstance(model, ast.Definition)
        assert len(model.body or ()) == 3
        assert isinstance(block, ast.Block)

    def test_settings_without_indentation_are_one_mistake(self) -> None:
        file, (problem,) = parse("data:\nsource = 1\nsplit = 0.8, 0.2\nmodel M:\n    x = 1\n", "test.dl")
        assert problem.code == "S017"
        assert text_of(file.items[0]).count("Setting") == 2

    def test_statements_at_the_top_belong_nowhere(self) -> None:
        for text in ("input X : (3, m)\n", "loss x\n", "for l in 1..3:\n    x = l\n", "x -> f\n"):
            _, problems = parse(text, "test.dl")
            assert [p.code for p in problems] == ["S021"]

    def test_a_second_else(self) -> None:
        text = "model M:\n    if a:\n        x = 1\n    else:\n        x = 2\n    else:\n        x = 3\n"
        _, (problem,) = parse(text, "test.dl")
        assert (problem.code, problem.span.line) == ("S021", 6)


class TestRecovery:
    def test_five_mistakes_give_five_problems(self) -> None:
        text = """\
model A:
    input X : (3, m
    Z = W @ X +
    if a<b:
        c = 2x
    loss x y
    output Z

train:
    epochs 3
    batch = 64
"""
        file, problems = parse(text, "test.dl")
        assert [(p.code, p.span.line) for p in problems] == [
            ("S003", 2), ("S002", 3), ("S005", 4), ("S010", 5), ("S001", 6), ("S001", 10),
        ]  # fmt: skip
        model, block = file.items
        assert isinstance(model, ast.Definition)
        kinds = [type(s).__name__ for s in model.body or ()]
        assert kinds == ["Broken", "Broken", "If", "Broken", "Output"]
        lost = [(s.word, [name.id for name in s.names]) for s in model.body or () if isinstance(s, ast.Broken)]
        assert lost == [("input", ["X"]), ("", ["Z"]), ("loss", [])]
        assert isinstance(block, ast.Block)
        assert [s.name.id for s in block.settings] == ["batch"]

    def test_below_a_broken_header_mistakes_are_still_found(self) -> None:
        text = "model A(n = :\n    x = 2x\n    else:\n        y = 1\nmodel B:\n    z = 1\n"
        file, problems = parse(text, "test.dl")
        assert [(p.code, p.span.line) for p in problems][:2] == [("S003", 1), ("S010", 2)]
        assert [text_of(item) for item in file.items] == [
            "(Broken word=model names=[A])",
            "(Definition kind=model name=B body=[(Equation targets=[z] value=1)])",
        ]

    def test_an_unclosed_bracket_does_not_take_the_block_below(self) -> None:
        text = "model A(n = [1, 2:\n    x = 1 2\nfor l in f(1..3:\n    y = 3\n"
        _, problems = parse(text, "test.dl")
        assert [(p.code, p.span.line) for p in problems] == [("S003", 1), ("S001", 2), ("S003", 3)]

    def test_a_missing_colon_keeps_the_block(self) -> None:
        file, (problem,) = parse("model A\n    x = 1\n", "test.dl")
        assert problem.code == "S018"
        assert text_of(file.items) == "[(Definition kind=model name=A body=[(Equation targets=[x] value=1)])]"

    def test_a_plain_misspelling_keeps_the_statement(self) -> None:
        file, problems = parse("n = .5 + a**2 + f('x')\n", "test.dl")
        assert [p.code for p in problems] == ["S010", "S009", "S012"]
        assert text_of(file.items) == "[(Equation targets=[n] value=(+ (+ .5 (^ a 2)) (call f 'x')))]"

    def test_problems_stand_in_the_order_of_the_text(self) -> None:
        _, problems = parse("x = 1 2\ny = 2x\nz = 'a' 'b'\n", "test.dl")
        places = [(p.span.line, p.span.column) for p in problems]
        assert places == sorted(places)
        assert len(places) == 5

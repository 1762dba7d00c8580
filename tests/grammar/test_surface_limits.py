"""Any text is read: in time in proportion to its length, without an exception, with limits that speak."""

from __future__ import annotations

import random
import re
import time

import pytest
from language_page import EXAMPLES
from tree_text import read

from dlc.grammar import ast
from dlc.grammar.parse import MAX_LENGTH, MAX_PROBLEMS, parse
from dlc.grammar.problems import TITLES


def sound(text: str) -> list[str]:
    """Parse; every problem has a known code and a place in the text; the tree can be walked. Gives the codes."""
    file, problems = parse(text, "test.dl")
    lines = text.split("\n")
    for problem in problems:
        assert problem.code in TITLES
        assert 1 <= problem.span.line <= len(lines)
        assert 1 <= problem.span.column <= len(lines[problem.span.line - 1]) + 1
    assert len(problems) <= MAX_PROBLEMS + 1
    hash(file)
    repr(file)
    return [problem.code for problem in problems]


class TestDepth:
    @pytest.mark.parametrize("depth", [99, 100])
    def test_brackets_up_to_a_hundred(self, depth: int) -> None:
        assert sound("x = " + "f(" * depth + "1" + ")" * depth) == []

    @pytest.mark.parametrize("opener", ["(", "[", "f(", "x["])
    def test_more_brackets_are_a_problem(self, opener: str) -> None:
        closer = {"(": ")", "[": "]"}[opener[-1]]
        assert sound("x = " + opener * 101 + "1" + closer * 101) == ["S023"]

    def test_blocks_up_to_a_hundred(self) -> None:
        text = "model M:\n" + "".join(" " * i + "if a:\n" for i in range(1, 100)) + " " * 100 + "x = 1\n"
        assert sound(text) == []

    def test_more_blocks_are_a_problem(self) -> None:
        text = "model M:\n" + "".join(" " * i + "if a:\n" for i in range(1, 400)) + " " * 400 + "x = 1\n"
        assert sound(text) == ["S023"]

    @pytest.mark.parametrize(
        "text",
        ["x = " + "a + " * 300 + "a", "x = " + "-" * 300 + "a", "x = a" + "^a" * 300, "x = " + "not " * 300 + "a",
         "x = a" + "\n-> f" * 300, "x = " + "a if b else " * 300 + "c", "x = a" + ".b" * 300, "x = f" + "()" * 300,
         "x = a" + "[1]" * 300, "model M(a = " + "-" * 300 + "1):\n    x = 1"],
    )  # fmt: skip
    def test_operators_in_each_other_are_counted_too(self, text: str) -> None:
        assert sound(text) == ["S023"]

    def test_long_and_flat_is_fine(self) -> None:
        assert sound("x = [" + "1, " * 5000 + "1]\n" + "y = f(" + "a + b, " * 500 + "c)\n") == []


class TestSize:
    def test_a_file_that_is_too_long(self) -> None:
        assert sound("#" * (MAX_LENGTH + 1)) == ["S024"]

    def test_a_statement_that_is_too_long(self) -> None:
        codes = sound("x = [" + "1, " * 60_000 + "1]\ny = 2 z\n")
        assert codes == ["S023", "S001"]

    def test_too_many_mistakes(self) -> None:
        codes = sound("x = 1 2\n" * 500)
        assert codes == ["S001"] * MAX_PROBLEMS + ["S025"]

    @pytest.mark.parametrize(
        "text",
        ["x = f(\n" * 40_000, "(" * 300_000, " " * 300_000, "\x01" * 300_000, "\x01\n" * 20_000, "'" * 300_000,
         "x" * 300_000, "1" * 300_000, "x = " + "a<b " * 40_000, "." * 300_000, "1e+1" * 60_000, "²" * 300_000,
         '"' + "\\" * 300_000, "x" + "\N{COMBINING CIRCUMFLEX ACCENT}" * 300_000, "x = a" + "<t>" * 60_000,
         "x = a\n" + "-> f\n" * 24_000, "model A:\n" + "    else:\n" * 20_000, "\N{NO-BREAK SPACE}" * 300_000],
        ids=lambda text: repr(text[:12]),
    )  # fmt: skip
    def test_time_in_proportion_to_the_length(self, text: str) -> None:
        """Three times the text takes about three times as long; a square would take nine times."""
        third = _seconds(text[: len(text) // 3])
        assert _seconds(text) < 6 * third + 1

    def test_a_long_file_is_read_in_seconds(self) -> None:
        text = EXAMPLES["a first file"] + EXAMPLES["the blackboard"]
        lines = len(text.splitlines())
        start = time.perf_counter()
        read(text * (10_000 // lines + 1))
        assert time.perf_counter() - start < 10


def _seconds(text: str) -> float:
    start = time.perf_counter()
    parse(text, "test.dl")
    return time.perf_counter() - start


FRAGMENTS = re.findall(r"\w+|[^\w\s]|\n\s*|[ ]+", "".join(EXAMPLES.values()))
FRAGMENTS += ["\t", "\r", "\x00", "²", "×", "'", '"', "a<b", "**", "\u202e", "\ud800", "9" * 30, "é", "\u0302", "\r\n"]
FRAGMENTS += [
    "((((",
    "))))",
    "{",
    "}",
    "else:",
    "data:",
    "train:\n",
    "…",
    "frozen",
    "\\",
    "\u2028",
    "\ufeff",
    "1.",
    ".5",
]


@pytest.mark.parametrize("seed", range(4))
def test_any_text_is_read(seed: int) -> None:
    """Random words of the language, random bytes in two encodings, and examples with characters changed."""
    rng = random.Random(seed)
    sources = list(EXAMPLES.values())
    for _ in range(250):
        sound("".join(rng.choices(FRAGMENTS, k=rng.randrange(60))))
        sound(rng.randbytes(rng.randrange(200)).decode("latin-1"))
        sound(rng.randbytes(rng.randrange(200)).decode("utf-8", "surrogateescape"))
        text = rng.choice(sources)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(text) + 1)
            text = text[:at] + rng.choice(["", "\n", "    ", rng.choice(FRAGMENTS)]) + text[at + rng.randrange(3) :]
        sound(text)


def test_a_tree_is_only_made_of_what_may_stand_in_it() -> None:
    """However broken the text: settings in blocks, statements in bodies, items in the file."""
    rng = random.Random(7)
    settings_and_more = EXAMPLES["data and training"] + EXAMPLES["the blackboard"]
    for _ in range(300):
        lines = settings_and_more.splitlines()
        for _ in range(4):
            at = rng.randrange(len(lines))
            lines[at] = " " * rng.choice([0, 2, 4, 6, 8]) + lines[at].strip()
        file, _ = parse("\n".join(lines), "test.dl")
        for item in file.items:
            assert isinstance(item, ast.Definition | ast.Import | ast.Block | ast.Equation | ast.Broken)
            if isinstance(item, ast.Block):
                assert all(isinstance(setting, ast.Setting) for setting in item.settings)
            if isinstance(item, ast.Definition):
                assert all(isinstance(part, ast.Statement) for part in item.body or ())

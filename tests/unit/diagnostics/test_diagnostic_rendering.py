"""Whole rendered messages, as a user sees them, and the list of `--format json`."""

from __future__ import annotations

import json
import re
from textwrap import dedent

import pytest

from dlc.compiler.diagnostics import Diagnostic, Edit, Related, json_text, render, render_all
from dlc.grammar.span import Span

NET = {
    "net.dl": dedent("""\
        model Net(n = [64, 32, 16]):
            input X : (n[0], m)
            A[0] = X


            param W[1] : (n[1], n[0]) ~ he
            Z[1] = W[1] @ A[0]
            A[1] = relu(Z[1])
            param W[2] : (n[2], n[0]) ~ he

            Z[2] = W[2] @ A[1] + b[2]
        """)
}
PRODUCT = Span("net.dl", 11, 12, 11, 23)
DECLARED = Span("net.dl", 9, 25, 9, 29)
D101 = Diagnostic(
    "D101",
    "W[2] and A[1] do not fit: the columns of W[2] must equal the rows of A[1]",
    PRODUCT,
    label="(16, 64) @ (32, m)",
    related=(Related("W[2] : (n[2], n[0]) = (16, 64)", DECLARED),),
    rule="W[l] : (n[l], n[l-1]),  so W[2] : (n[2], n[1]) = (16, 32)",
    help="write n[1] in place of n[0] at 9:25",
    fix=(Edit(DECLARED, "n[1]"),),
)


def expect(text: str, rendered: str) -> None:
    assert rendered == dedent(text).strip("\n")


def test_the_example_of_the_language_page() -> None:
    expect(
        """
        error[D101]: W[2] and A[1] do not fit: the columns of W[2] must equal the rows of A[1]
          --> net.dl:11:12
           |
         9 |     param W[2] : (n[2], n[0]) ~ he
           |                         ---- W[2] : (n[2], n[0]) = (16, 64)
        11 |     Z[2] = W[2] @ A[1] + b[2]
           |            ^^^^^^^^^^^ (16, 64) @ (32, m)
           |
           = rule: W[l] : (n[l], n[l-1]),  so W[2] : (n[2], n[1]) = (16, 32)
           = help: write n[1] in place of n[0] at 9:25
        """,
        render(D101, NET),
    )


def test_distant_lines_and_a_place_in_another_file() -> None:
    found = Diagnostic(
        "D108",
        "Pair takes (2, m)",
        PRODUCT,
        related=(
            Related("the input", Span("net.dl", 2, 11, 2, 12)),
            Related("needed here", Span("blocks.dl", 2, 15, 2, 16)),
        ),
    )
    expect(
        """
        error[D108]: Pair takes (2, m)
          --> net.dl:11:12
           |
         2 |     input X : (n[0], m)
           |           - the input
        ...
        11 |     Z[2] = W[2] @ A[1] + b[2]
           |            ^^^^^^^^^^^
          ::: blocks.dl:2:15
           |
         2 |     input A : (2, m)
           |               - needed here
        """,
        render(found, {**NET, "blocks.dl": "layer Pair():\n    input A : (2, m)\n"}),
    )


def test_two_marks_on_one_line_have_a_row_each() -> None:
    found = Diagnostic(
        "D102",
        "sizes differ",
        Span("net.dl", 11, 26, 11, 30),
        label="(3, 1)",
        related=(Related("(16, m)", Span("net.dl", 11, 12, 11, 23)),),
    )
    expect(
        """
        error[D102]: sizes differ
          --> net.dl:11:26
           |
        11 |     Z[2] = W[2] @ A[1] + b[2]
           |            ----------- (16, m)
           |                          ^^^^ (3, 1)
        """,
        render(found, NET),
    )


def test_a_span_of_several_lines_is_marked_at_both_ends() -> None:
    text = "a = (1 +\n     2 +\n     3 +\n     4)\n"
    found = Diagnostic("D106", "a claim fails", Span("x.dl", 1, 5, 4, 8), label="a sum", severity="warning")
    expect(
        """
        warning[D106]: a claim fails
         --> x.dl:1:5
          |
        1 | a = (1 +
          |     ^^^^
        ...
        4 |      4)
          |      ^^ a sum
        """,
        render(found, {"x.dl": text}),
    )


def test_wide_and_combining_characters_keep_the_marks_in_place() -> None:
    text = "名前 = e\u0301 + Ŷ\n"
    found = Diagnostic("N201", "unknown name Ŷ", Span("x.dl", 1, 11, 1, 12))
    *_, line, mark = render(found, {"x.dl": text}).split("\n")
    # Two wide characters take four cells, the accent none: Ŷ stands in cell 11 of the text, counted from 0.
    assert line == "1 | 名前 = e\u0301 + Ŷ"
    assert mark == "  | " + " " * 11 + "^"


def test_tabs_are_shown_as_four_spaces() -> None:
    *_, line, mark = render(Diagnostic("S015", "a tab", Span("x.dl", 1, 1, 1, 2)), {"x.dl": "\tinput X\n"}).split("\n")
    assert line == "1 |     input X"
    assert mark == "  | ^^^^"


def test_terminal_control_never_leaves_the_renderer() -> None:
    found = Diagnostic("S013", "a \x1b[2J character", Span("x\x07.dl", 1, 1, 1, 2), label="\u202e", help="\x1b]0;t\x07")
    shown = render(found, {"x\x07.dl": "\x1b[31m\u202eabc\n"})
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", shown)


@pytest.mark.parametrize(
    "span",
    [Span("x.dl", 1, 2, 1, 2), Span("x.dl", 1, 2, 2, 1), Span("x.dl", 1, 2, 9, 9)],
    ids=["empty", "to the next line", "beyond the file"],
)
def test_marks_at_the_end_of_a_line(span: Span) -> None:
    rows = render(Diagnostic("S002", "ends", span), {"x.dl": "a"}).split("\n")
    assert rows[-2:] == ["1 | a", "  |  ^"]


def test_places_that_cannot_be_shown_are_named() -> None:
    assert render(Diagnostic("T407", "no file", None), {}) == "error[T407]: no file"
    elsewhere = render(Diagnostic("V501", "bad cell", Span("a.csv", 7, 1, 7, 2)), {})
    assert elsewhere == "error[V501]: bad cell\n --> a.csv:7:1"
    beyond = render(Diagnostic("S002", "ends", Span("x.dl", 30, 1, 30, 2)), {"x.dl": "a\n"})
    assert beyond == "error[S002]: ends\n  --> x.dl:30:1"


def test_a_width_is_kept_by_labels_and_footers() -> None:
    for width in (40, 60, 80):
        header, *rest = render(D101, NET, width=width).split("\n")
        assert max(map(len, rest)) <= width, width
        words = " ".join(rest).replace("|", " ").split()
        assert " ".join((D101.help or "").split()) in " ".join(words)
        assert header.startswith("error[D101]")


def test_a_very_long_line_is_cut_around_its_mark() -> None:
    text = "x = " + "a + " * 5000 + "b\n"
    rows = render(Diagnostic("N201", "unknown", Span("x.dl", 1, 20005, 1, 20006)), {"x.dl": text}, width=80).split("\n")
    assert len(rows[-2]) <= 84
    assert rows[-2][rows[-1].index("^")] == "b"


def test_colours_only_add_escapes() -> None:
    plain = re.sub("\x1b\\[[0-9;]*m", "", render(D101, NET, color=True))
    assert plain == render(D101, NET)
    assert render(D101, NET, color=True).startswith("\x1b[1;31merror[D101]\x1b[0m\x1b[1m: ")
    assert "\x1b" not in render(D101, NET)


def test_all_are_ordered_counted_and_said_once() -> None:
    late = Diagnostic("N201", "late", Span("net.dl", 11, 5, 11, 6))
    early = Diagnostic("P303", "early", Span("net.dl", 2, 11, 2, 12), severity="warning")
    nowhere = Diagnostic("T403", "nowhere", None)
    shown = render_all([late, early, late, nowhere], NET)
    assert re.findall(r"(?:error|warning)\[\w+\]: (\w+)", shown) == ["nowhere", "early", "late"]
    assert shown.endswith("\n\n2 errors, 1 warning")
    assert render_all([], NET) == ""
    assert render_all([early], NET).endswith("\n\n1 warning")


def test_json_has_the_documented_form() -> None:
    (found,) = json.loads(json_text([D101, D101]))
    assert found == {
        "code": "D101",
        "severity": "error",
        "message": D101.message,
        "file": "net.dl",
        "start": {"line": 11, "column": 12},
        "end": {"line": 11, "column": 23},
        "related": [
            {
                "message": "W[2] : (n[2], n[0]) = (16, 64)",
                "file": "net.dl",
                "start": {"line": 9, "column": 25},
                "end": {"line": 9, "column": 29},
            }
        ],
        "rule": D101.rule,
        "help": D101.help,
        "fix": [
            {"file": "net.dl", "start": {"line": 9, "column": 25}, "end": {"line": 9, "column": 29}, "text": "n[1]"}
        ],
    }
    assert json.loads(json_text([])) == []

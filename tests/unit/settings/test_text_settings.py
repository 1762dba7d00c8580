"""Texts in the `data:` block: what `chars`, `words`, `labels` and `numbers` take, and every message about them."""

from __future__ import annotations

import pytest

from dlc.compiler.settings import Tokens

TEXT = 'source = text("book.txt")'


def selection(data, expression, source=TEXT):
    settings, found = data(source, f"X = {expression}")
    assert not found, found
    return settings.columns["X"]


@pytest.mark.parametrize(
    ("expression", "kind", "tokens"),
    [
        ("chars", "text", Tokens("chars")),
        ("words(10_000)", "text", Tokens("words", vocabulary=10_000)),
        ("words(lower = on, end = off, window = 20)", "text", Tokens("words", lower=True, end=False, window=20)),
        ("chars(window = 4, step = 1, ahead = 4)", "text", Tokens("chars", window=4, step=1, ahead=4)),
        ("line -> chars", "line", Tokens("chars")),
        ("chars(line, cut = 30)", "line", Tokens("chars", cut=30)),
        ("column(a) -> words(lower = off)", "column", Tokens("words", lower=False)),
        ("words(column(a), pad = on)", "column", Tokens("words", pad=True)),
        ("column(a) -> labels(cut = 9)", "column", Tokens("labels", cut=9)),
        ("numbers(column(a))", "column", Tokens("numbers")),
    ],
)
def test_both_ways_of_writing(data, expression, kind, tokens):
    found = selection(data, expression)
    assert (found.kind, found.tokens, found.steps) == (kind, tokens, ())


def test_a_selection_spans_all_that_was_written(data):
    for expression in ("line -> chars(cut = 3)", "chars(line, cut = 3)", "chars(window = 3)"):
        span = selection(data, expression).span
        assert (span.column, span.end_column) == (9, 9 + len(expression))


@pytest.mark.parametrize(
    ("expression", "code", "message", "place", "help"),
    [
        ("chars(windw = 3)", "T401", "chars has no argument windw", "3:15", "did you mean window?"),
        ("words(lower = of)", "T402", "lower must be on or off, not of", "3:23", "did you mean off?"),
        (
            "words(vocabulary = 0)",
            "T402",
            "vocabulary must be a whole number of classes, at least 1, not 0",
            "3:28",
            None,
        ),
        ("chars(ahead = 1.5)", "T402", "ahead must be a whole number of steps, at least 0, not 1.5", "3:23", None),
        (
            "chars(cut = 9)",
            "T402",
            "cut is for texts that are examples of their own: a whole text is cut by window",
            "3:9",
            None,
        ),
        (
            "words(pad = on)",
            "T402",
            "pad is for texts that are examples of their own: a whole text is cut by window",
            "3:9",
            None,
        ),
        (
            "chars(end = on)",
            "T402",
            "a whole text of characters has no <EOS>",
            "3:9",
            'the end of a line is a character of the text: until = "\\n"',
        ),
        ("labels", "T402", "labels takes a column of texts", "3:9", "write column(name) -> labels"),
        (
            "line -> chars(window = 3)",
            "T402",
            "window is for one whole text: here each line is an example of its own",
            "3:17",
            None,
        ),
        (
            "column(a) -> words(ahead = 3)",
            "T402",
            "ahead is for one whole text: here each row is an example of its own",
            "3:22",
            None,
        ),
        (
            "columns(a, b) -> words",
            "T402",
            "words takes a column of texts or the lines of a text, not columns(a, b)",
            "3:26",
            "write column(name) -> words, or line -> words for the lines of a text",
        ),
        (
            "line -> words -> chars",
            "T402",
            "chars takes a column of texts or the lines of a text, not words",
            "3:26",
            "write column(name) -> chars, or line -> chars for the lines of a text",
        ),
        (
            "column(a) -> words -> standardize",
            "T402",
            "no step stands behind words: it is for numbers of a table",
            "3:9",
            None,
        ),
        ("chars / 2", "T402", "no step stands behind chars: it is for numbers of a table", "3:9", None),
    ],
)
def test_messages(data, expression, code, message, place, help):
    settings, (found,) = data(TEXT, f"X = {expression}")
    assert settings is None
    at = f"{found.span.line}:{found.span.column}"
    assert (found.code, found.message, at, found.help) == (code, message, place, help)

"""The parse tables that ship with the package, and the grammar that they come from."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import Any

import lark
import pytest

from dlc.grammar import automaton as module
from dlc.grammar.build import build_tables
from dlc.grammar.lexical import OPERATOR_WORDS
from dlc.grammar.lines import CONTINUES, STATEMENT_WORDS
from dlc.grammar.parse import parse
from dlc.grammar.tree import Builder


def test_the_tables_are_current() -> None:
    """After a change of the grammar: `python -m dlc.grammar.build`. (Lark numbers the states anew each time.)"""
    shipped, built = json.loads(module.TABLES.read_text("utf-8")), json.loads(build_tables())
    assert shipped["made_from"] == built["made_from"]
    assert _states(shipped) == _states(built)


def _states(stored: Any) -> list[list[tuple[str, bool]]]:
    """Each state as its tokens and whether they reduce there."""
    return sorted(sorted((token, action < 0) for token, action in actions.items()) for actions in stored["states"])


def test_tables_of_another_grammar_are_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    stale = tmp_path / "tables.json"
    stale.write_text('{"made_from": 1}')
    for path in (stale, tmp_path / "missing.json"):
        monkeypatch.setattr(module, "TABLES", path)
        module.tables.cache_clear()
        file, problems = parse("n = 3 + 4\n", "test.dl")
        assert (len(file.items), problems) == (1, [])
    monkeypatch.undo()
    module.tables.cache_clear()


def test_the_grammar_has_no_conflicts(caplog: pytest.LogCaptureFixture) -> None:
    """Lark resolves a shift against a reduction without a word; then a rule would mean what nobody wrote."""
    lark.logger.setLevel(logging.DEBUG)
    try:
        with caplog.at_level(logging.DEBUG, "lark"):
            lark.Lark(module.GRAMMAR.read_text("utf-8"), parser="lalr", start=["line", "setting"], debug=True)
    finally:
        lark.logger.setLevel(logging.CRITICAL)
    assert [r.getMessage() for r in caplog.records if "onflict" in r.getMessage()] == []


def test_every_rule_has_its_method() -> None:
    for name, size, method, repeated in json.loads(module.TABLES.read_text("utf-8"))["rules"]:
        if method is None:
            assert (size, repeated) == (1, False), name  # passes its only value on
        else:
            assert hasattr(Builder, method) or (method == "" and name.startswith("__")), name


def test_tokens_and_rules_have_different_names() -> None:
    """They share the columns of the table."""
    rules = {rule.name for rule in module.tables().rules}
    assert rules.isdisjoint(STATEMENT_WORDS | OPERATOR_WORDS | CONTINUES | {"NAME", "NUMBER", "STRING", "TIME", "$END"})


def test_the_words_of_the_scanner_are_those_of_the_grammar() -> None:
    tokens = {type for state in module.tables().states for type in state}
    assert tokens >= STATEMENT_WORDS | OPERATOR_WORDS | CONTINUES


def test_reading_a_file_needs_neither_lark_nor_numba() -> None:
    code = """
import sys
from dlc.grammar.parse import parse
assert parse("n = 3", "a.dl")[1] == []
assert not {"lark", "numba", "numpy"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)

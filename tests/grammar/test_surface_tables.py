"""The parse tables that ship with the package, and the grammar that they come from."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import Any

import lark
import pytest

from dlc.grammar import parse as module
from dlc.grammar.lexical import OPERATOR_WORDS
from dlc.grammar.lines import CONTINUES, STATEMENT_WORDS
from dlc.grammar.tree import Builder


def test_the_tables_are_current() -> None:
    """After a change of the grammar: `python -m dlc.grammar.build`. (Lark numbers the states anew each time.)"""
    shipped, built = json.loads(module.TABLES.read_text("utf-8")), json.loads(module.build_tables())
    assert shipped["made_from"] == built["made_from"]
    assert _states(shipped) == _states(built)


def _states(stored: Any) -> list[list[tuple[str, int]]]:
    """Each state as its tokens and what happens at them: 0 goes on, 1 reduces."""
    table = stored["data"]["parser"]["parser"]
    return sorted(
        sorted((table["tokens"][token], action) for token, (action, _) in actions.items())
        for actions in table["states"].values()
    )


def test_tables_of_another_lark_are_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    stale = tmp_path / "tables.json"
    stale.write_text('{"made_from": ["0.1", 1]}')
    for path in (stale, tmp_path / "missing.json"):
        monkeypatch.setattr(module, "TABLES", path)
        module.tables.cache_clear()
        file, problems = module.parse("n = 3 + 4\n", "test.dl")
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
    for rule in module.tables().rules:
        name = rule.alias or rule.origin.name
        only_passes_on = rule.options.expand1 and not rule.alias
        assert only_passes_on or name.startswith("__") or hasattr(Builder, name), name


def test_tokens_and_rules_have_different_names() -> None:
    """They share the columns of the table."""
    table = json.loads(module.TABLES.read_text("utf-8"))["data"]["parser"]["parser"]
    names = list(table["tokens"].values())
    assert len(names) == len(set(names))


def test_the_words_of_the_scanner_are_those_of_the_grammar() -> None:
    tokens = set(json.loads(module.TABLES.read_text("utf-8"))["data"]["parser"]["parser"]["tokens"].values())
    assert tokens >= STATEMENT_WORDS | OPERATOR_WORDS | CONTINUES


def test_reading_a_file_builds_no_tables_and_needs_no_numba() -> None:
    code = """
import sys, lark
lark.Lark.__init__ = None  # building the tables calls it, loading them does not
from dlc.grammar.parse import parse
assert parse("n = 3", "a.dl")[1] == []
assert not {"numba", "numpy"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)

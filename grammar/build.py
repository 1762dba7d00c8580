"""`python -m dlc.grammar.build` writes the parse tables anew, after a change of `dl.lark`.

The tables are plain data, so that no start of dlc builds them or unpickles anything; only this module needs Lark.
"""

from __future__ import annotations

import json
from typing import Any

import lark
from lark.parsers.lalr_analysis import Shift

from dlc.grammar.automaton import GRAMMAR, TABLES, made_from

STARTS = ["line", "setting"]


def build_tables() -> str:
    """The parse tables of `dl.lark` as JSON, in the form that `automaton.py` describes.

    The terminals get the names that the tokens have: `->` and not `__ANON_2`.
    """
    options = {"parser": "lalr", "lexer": "basic", "keep_all_tokens": True, "maybe_placeholders": False}
    parser = lark.Lark(GRAMMAR.read_text("utf-8"), start=STARTS, **options)
    spelled = {terminal.name: terminal.pattern.value.replace("\\", "") for terminal in parser.terminals}
    table = parser.parser.parser._parse_table
    number = {state: n for n, state in enumerate(table.states)}
    rules = {rule: n for n, rule in enumerate(parser.rules)}
    states = [
        {
            spelled.get(type, type): number[to] if action is Shift else -1 - rules[to]
            for type, (action, to) in row.items()
        }
        for row in table.states.values()
    ]
    stored = {
        "made_from": made_from(),
        "rules": [_rule(rule) for rule in rules],
        "states": states,
        "start": {name: number[table.start_states[name]] for name in STARTS},
        "end": {name: number[table.end_states[name]] for name in STARTS},
    }
    return json.dumps(stored, separators=(",", ":"))


def _rule(rule: Any) -> tuple[str, int, str | None, bool]:
    """Name, size, method of `tree.Builder` and whether a symbol is a repetition. The method is empty for a repetition
    itself, and None where the only value is passed on (`?expr: arrow`)."""
    name = rule.origin.name
    method = "" if name.startswith("__") else rule.alias or name
    passed_on = rule.options.expand1 and not rule.alias and len(rule.expansion) == 1
    repeated = any(symbol.name.startswith("__") and not symbol.is_term for symbol in rule.expansion)
    return name, len(rule.expansion), None if passed_on else method, repeated


if __name__ == "__main__":
    TABLES.write_text(build_tables(), "utf-8")
    print(f"wrote {TABLES}")

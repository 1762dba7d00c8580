"""The LALR(1) parser that runs the tables of `dl.lark`.

Lark makes the tables (`build.py`), once, when the grammar changes; to run them takes this page, which starts and reads
several times faster than Lark itself. A state is a dict from the type of a token (or the name of a rule, after its
reduction) to a number: `n >= 0` goes on to state n, `-1 - n` reduces by rule n.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from dlc.grammar.lexical import Token
from dlc.grammar.tree import Builder

GRAMMAR = Path(__file__).with_name("dl.lark")
TABLES = Path(__file__).with_name("tables.json")
END = "$END"


class Rule(NamedTuple):
    """One right side of a rule: `size` symbols become one value, which is called `name` in the tables.

    `build` makes the value of those of the symbols; None passes the only one on. Where a symbol is a repetition
    (`repeated`), its values stand in its place.
    """

    name: str
    size: int
    build: Callable[[list[Any]], Any] | None
    repeated: bool


class Tables(NamedTuple):
    states: list[dict[str, int]]
    rules: list[Rule]
    start: Mapping[str, int]
    end: Mapping[str, int]


class Unexpected(Exception):
    """The parser does not know how to go on at a token."""


class Automaton:
    """Reads the tokens of one statement; `feed` them all, then `finish`."""

    def __init__(self, start: str) -> None:
        self._tables = tables()
        self._states = [self._tables.start[start]]
        self._values: list[Any] = []
        self._end = self._tables.end[start]

    def feed(self, token: Token) -> None:
        self._reduce(token.type)
        self._states.append(self._tables.states[self._states[-1]][token.type])
        self._values.append(token)

    def finish(self) -> Any:
        """What the statement was read as."""
        self._reduce(END)
        return self._values[-1]

    def _reduce(self, type: str) -> None:
        """Applies the rules that end before a token of this type, until it can be shifted."""
        states, rules, _, _ = self._tables
        stack, values = self._states, self._values
        while True:
            action = states[stack[-1]].get(type)
            if action is None:
                raise Unexpected
            if action >= 0:
                return
            name, size, build, repeated = rules[-1 - action]
            if build is not None:
                parts = values[len(values) - size :]
                del values[len(values) - size :], stack[len(stack) - size :]
                values.append(build(_spliced(parts) if repeated else parts))
            else:
                del stack[-1]
            stack.append(states[stack[-1]][name])
            if type == END and stack[-1] == self._end:
                return

    def acceptable(self) -> frozenset[str]:
        """The types of the tokens with which a parser that got stuck could have gone on."""
        return frozenset(type for type in self._tables.states[self._states[-1]] if self._accepts(type))

    def _accepts(self, type: str) -> bool:
        """Whether the reductions that the token asks for lead to a state that shifts it."""
        states, stack = self._tables.states, list(self._states)
        while (action := states[stack[-1]].get(type)) is not None:
            if action >= 0:
                return True
            rule = self._tables.rules[-1 - action]
            del stack[len(stack) - rule.size :]
            stack.append(states[stack[-1]][rule.name])
        return False


class Repeated(list[Any]):
    """The values of a repetition, `("," name)*`, until they stand in the rule's own list."""


def _spliced(parts: list[Any]) -> list[Any]:
    result: list[Any] = []
    for part in parts:
        if isinstance(part, Repeated):
            result += part
        else:
            result.append(part)
    return result


@cache
def tables() -> Tables:
    """The prebuilt tables; where another grammar made those, tables built from the grammar."""
    stored = json.loads(TABLES.read_text("utf-8")) if TABLES.exists() else {}
    if stored.get("made_from") != made_from():
        from dlc.grammar.build import build_tables

        stored = json.loads(build_tables())
    rules = [Rule(name, size, _builder(method), repeated) for name, size, method, repeated in stored["rules"]]
    return Tables(stored["states"], rules, stored["start"], stored["end"])


def _builder(method: str | None) -> Callable[[list[Any]], Any] | None:
    if method is None:
        return None
    build: Callable[[list[Any]], Any] = Repeated if method == "" else getattr(Builder, method)
    return build


def made_from() -> int:
    """What tells one grammar from another."""
    return zlib.crc32(GRAMMAR.read_bytes())

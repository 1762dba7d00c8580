"""The table of codes: complete, used, and its examples tell the truth."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import dlc
from dlc.compiler.diagnostics.codes import all_codes, explanation, find
from dlc.compiler.diagnostics.codes.record import Code
from dlc.grammar.parse import parse
from dlc.grammar.problems import TITLES
from dlc.runtime.preparation import Request, prepare_all

SOURCES = Path(dlc.__file__).parent
SPECS = [code for code in all_codes().values() if code.form == "spec"]


def raised() -> set[str]:
    """Every code that stands in the sources as a string of its own, the table excepted."""
    found: set[str] = set()
    for layer in ("grammar", "compiler", "runtime"):
        for path in (SOURCES / layer).rglob("*.py"):
            if "diagnostics/codes" not in path.as_posix():
                found |= set(re.findall(r'"([SNDPTVRU]\d{3})"', path.read_text(encoding="utf-8")))
    return found


# What `dlc check` finds without a data file; the examples of the others are commands, data or several files.
CHECKED = [code for code in SPECS if code.code in raised()]


def test_every_code_that_is_raised_is_in_the_table() -> None:
    assert sorted(raised() - set(all_codes())) == []


def test_the_grammars_codes_are_all_explained() -> None:
    assert {code.code: code.title for code in all_codes().values() if code.code[0] == "S"} == TITLES


@pytest.mark.parametrize("code", all_codes().values(), ids=lambda code: code.code)
def test_every_code_has_its_texts(code: Code) -> None:
    assert re.fullmatch(r"[SNDPTVRU]\d{3}", code.code)
    assert code.severity in ("error", "warning", "note")
    assert code.title
    assert not code.title.endswith(".")
    assert len(code.explanation.split()) >= 10
    assert code.bad.strip()
    assert code.good.strip()
    assert code.bad != code.good
    text = explanation(code)
    assert text.startswith(f"{code.code}: {code.title}\n")
    assert max(map(len, text.splitlines())) <= 120
    for forbidden in ("illegal", "invalid"):
        assert forbidden not in text.lower()


@pytest.mark.parametrize("code", SPECS, ids=lambda code: code.code)
def test_examples_parse_as_they_should(code: Code) -> None:
    found = {problem.code for problem in parse(code.bad, "bad.dl")[1]}
    assert found == ({code.code} if code.code[0] == "S" else set())
    assert parse(code.good, "good.dl")[1] == []


@pytest.mark.parametrize("code", CHECKED, ids=lambda code: code.code)
def test_the_checker_says_so(code: Code, tmp_path: Path) -> None:
    """`dlc explain` shows these two texts: the first gives its code and no other, the second gives nothing."""
    assert codes_of(tmp_path, code.bad) == {code.code}
    assert codes_of(tmp_path, code.good) == set()


def codes_of(folder: Path, text: str) -> set[str]:
    path = folder / "net.dl"
    path.write_text(text, encoding="utf-8")
    return {found.code for prepared in prepare_all(Request(path), headers=False) for found in prepared.diagnostics}


def test_codes_are_found_in_either_case() -> None:
    assert find("d101") is find(" D101") is all_codes()["D101"]
    assert find("D999") is None

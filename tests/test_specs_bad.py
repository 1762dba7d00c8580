"""Every bad spec is refused at the places that it says itself, with exactly the messages that stand beside it.

A comment `# error[D101] 12-23` below a line says that this line has that finding, from column 12 up to 23 (exclusive);
`# error[D101] 3: 12-23` says it of line 3, for lines below which no comment can stand. The file beside, `.txt`, is
what `dlc check` prints.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dlc.compiler.diagnostics import Diagnostic
from dlc.compiler.diagnostics.codes import all_codes
from dlc.compiler.diagnostics.render import render_all
from dlc.runtime.preparation import Request, prepare_all

FOLDER = Path(__file__).parent / "specs_bad"
FILES = sorted(FOLDER.glob("*.dl"))
EXPECTED = re.compile(r"^\s*# (error|warning|note)\[([A-Z]\d+)\](?: (\d+):)?(?: (\d+)-(\d+|…))?$")
"""`12-…` is a span that ends on another line; without columns the finding has no place."""

Place = tuple[str, str, int, str]


def found(path: Path) -> tuple[list[Diagnostic], dict[str, str]]:
    diagnostics: dict[Diagnostic, None] = {}
    sources: dict[str, str] = {}
    for prepared in prepare_all(Request(path)):
        diagnostics |= dict.fromkeys(prepared.diagnostics)
        sources |= prepared.sources
    return list(diagnostics), sources


def expected(text: str) -> list[Place]:
    """What the file says of itself."""
    places, last = [], 0
    for number, line in enumerate(text.splitlines(), 1):
        match = EXPECTED.match(line)
        if match is None:
            last = number
            continue
        severity, code, at, start, end = match.groups()
        places.append((severity, code, int(at or last) if start else 0, f"{start}-{end}" if start else ""))
    return sorted(places)


def place(diagnostic: Diagnostic, name: str) -> Place:
    span = diagnostic.span
    if span is None or Path(span.file).name != name:
        return diagnostic.severity, diagnostic.code, 0, ""
    columns = f"{span.column}-{span.end_column}" if span.end_line == span.line else f"{span.column}-…"
    return diagnostic.severity, diagnostic.code, span.line, columns


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_message(path: Path, update_golden: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)
    path = Path(path.name)
    text = path.read_text(encoding="utf-8")
    if "images(" in text:
        pytest.importorskip("PIL.Image")
    diagnostics, sources = found(path)
    shown = render_all(diagnostics, sources, color=False, width=100) + "\n"
    golden = path.with_suffix(".txt")
    if update_golden:
        golden.write_text(shown, encoding="utf-8")
    assert any(d.severity != "note" for d in diagnostics), shown
    assert shown == golden.read_text(encoding="utf-8")
    assert sorted(place(d, path.name) for d in diagnostics) == expected(text)


def test_every_code_of_check_is_met() -> None:
    """What `check` can find is found in some bad spec; run-time codes (R, V) have tests of their own."""
    met = {
        match.group(2) for path in FILES for line in path.read_text().splitlines() if (match := EXPECTED.match(line))
    }
    missing = {code for code in all_codes() if code[0] in "SNDPTU"} - met
    assert missing == ELSEWHERE


ELSEWHERE = {"N212", "N215", "S024", "S025", "T406", "T409"}
"""What the command line asks for, a note, and files of many megabytes."""

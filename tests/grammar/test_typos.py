"""What is said about the mistakes of `typos.py`: each in full, in `typos.txt` beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typos import texts

from dlc.compiler.diagnostics import Diagnostic
from dlc.compiler.diagnostics.render import render_all
from dlc.compiler.driver import check

GOLDEN = Path(__file__).with_name("typos.txt")
TEXTS = texts()
# Two words of Python are two mistakes, and so are a lost comma and a quote.
SEVERAL = {"a definition in a model": 2, "def": 2, "a setting with a list": 2}
BAR = "=" * 100


def said(text: str) -> str:
    result = check("net.dl", text=text)
    return render_all(result.diagnostics, result.sources, color=False, width=100)


def errors(text: str) -> list[Diagnostic]:
    return [d for d in check("net.dl", text=text).diagnostics if d.severity == "error"]


def test_messages(update_golden: bool) -> None:
    shown = "".join(f"{BAR}\n{name}\n\n{said(text)}\n\n" for name, text in TEXTS.items())
    if update_golden:
        GOLDEN.write_text(shown, encoding="utf-8")
    assert shown == GOLDEN.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", TEXTS)
def test_one_mistake_is_one_error(name: str) -> None:
    assert len(errors(TEXTS[name])) == SEVERAL.get(name, 1)


@pytest.mark.parametrize("name", TEXTS)
def test_a_syntax_error_hides_nothing_else(name: str) -> None:
    """Nor does it make anything else wrong."""
    wrong = "\nmodel Other:\n    input X : (4, m)\n    Z = X @ X\n    output Z\n"
    assert [d.code for d in errors(TEXTS[name] + wrong)] == [*(d.code for d in errors(TEXTS[name])), "D101"]

"""Valid oddities: every file of `specs_ok` is clean, whatever it looks like."""

from pathlib import Path

import pytest

from dlc.compiler.diagnostics.render import render_all
from dlc.compiler.driver import check, programs

FILES = sorted((Path(__file__).parent / "specs_ok").glob("*.dl"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_passes(path: Path) -> None:
    result = check(path, text=path.read_text(encoding="utf-8"))
    told = [d for d in result.diagnostics if d.severity != "note"]
    assert not told, render_all(told, result.sources, color=False)
    if result.checked is not None:
        programs(result.checked)

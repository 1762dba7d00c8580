"""Every bad spec gives exactly the message that stands beside it."""

from pathlib import Path

import pytest

from dlc.compiler.diagnostics.render import render_all
from dlc.compiler.driver import check

FOLDER = Path(__file__).parent / "specs_bad"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.dl")), ids=lambda path: path.stem)
def test_message(path: Path, update_golden: bool) -> None:
    result = check(path, text=path.read_text())
    assert result.checked is None
    assert any(d.severity == "error" for d in result.diagnostics)
    shown = render_all(result.diagnostics, result.sources, color=False, width=100) + "\n"
    golden = path.with_suffix(".txt")
    if update_golden:
        golden.write_text(shown)
    assert shown == golden.read_text()

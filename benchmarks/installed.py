"""What a package weighs once installed: the bytes on disk of the package and of everything it requires.

    python benchmarks/installed.py PACKAGE

Prints one JSON object, distribution -> bytes, for the interpreter that runs it.
"""

from __future__ import annotations

import json
import re
import sys
from importlib import metadata
from pathlib import Path


def size(distribution: metadata.Distribution) -> int:
    """The distribution's files, and those of the folders they lead to where it is installed in place (editable)."""
    files = {Path(str(entry.locate())) for entry in distribution.files or ()}
    for finder in [file for file in files if re.match(r"__editable__.*\.pth$", file.name)]:
        root = Path(finder.read_text(encoding="utf-8").strip())
        package = root / normalised(distribution.name).replace("-", "_")
        files |= {path for folder in [package, *package.iterdir()] if folder.is_dir() for path in folder.rglob("*.*")}
    return sum(file.stat().st_size for file in files if file.is_file() and "__pycache__" not in file.parts)


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(package: str) -> dict[str, int]:
    """The package and what it requires, again and again; extras are left out, and so is what is not installed here."""
    sizes: dict[str, int] = {}
    waiting = [package]
    while waiting:
        name = normalised(waiting.pop())
        if name in sizes:
            continue
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        sizes[name] = size(distribution)
        for requirement in distribution.requires or ():
            if "extra ==" not in requirement:
                waiting += re.findall(r"^[\w.-]+", requirement)
    return sizes


if __name__ == "__main__":
    print(json.dumps(closure(sys.argv[1])))

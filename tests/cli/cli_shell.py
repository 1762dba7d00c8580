"""The commands as a user types them: each in a process of its own, in an empty folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits"


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def run(self) -> str:
        """The folder that `dlc train` names."""
        return next(line.split()[1] for line in self.out.splitlines() if line.startswith("run "))


@dataclass(frozen=True)
class Shell:
    """A folder to work in. No call may end in a traceback."""

    folder: Path

    def environment(self) -> dict[str, str]:
        return {**os.environ, "NO_COLOR": "1", "COLUMNS": "80"}

    def command(self, arguments: Sequence[object]) -> list[str]:
        return [sys.executable, "-m", "dlc", *map(str, arguments)]

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(arguments),
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: object) -> Result:
        command, environment = self.command(arguments), self.environment()
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=200)
        assert "Traceback" not in done.stderr, done.stderr
        return Result(done.returncode, done.stdout, done.stderr)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

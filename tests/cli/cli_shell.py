"""The commands as a user types them, in an empty folder: inside this process, which is quicker, or each in its own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dlc.runtime.cli import main

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

    def __call__(self, *arguments: object) -> Result:
        """A command inside this process: what it prints, and its exit code."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            patch.chdir(self.folder)
            for name, value in SETTINGS.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as end:
                main([str(argument) for argument in arguments])
        assert isinstance(end.value.code, int)
        return _told(end.value.code, out.getvalue(), err.getvalue())

    def process(self, *arguments: object) -> Result:
        """The same in a process of its own."""
        command, environment = self.command(arguments), self.environment()
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=200)
        return _told(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """A process that is running."""
        return subprocess.Popen(
            self.command(arguments),
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def command(self, arguments: Sequence[object]) -> list[str]:
        return [sys.executable, "-m", "dlc", *map(str, arguments)]

    def environment(self) -> dict[str, str]:
        return {**os.environ, **SETTINGS}

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path


SETTINGS = {"NO_COLOR": "1", "COLUMNS": "80"}


def _told(code: int, out: str, err: str) -> Result:
    assert "Traceback" not in err, err
    return Result(code, out, err)

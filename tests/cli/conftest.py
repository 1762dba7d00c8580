"""Folders in which the commands are run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cli_shell import DIGITS, Shell


@pytest.fixture
def dlc(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture
def digits(dlc: Shell) -> Shell:
    """A folder with the digits' spec and data."""
    for name in ("digits.dl", "blackboard.dl", "digits.csv", "new.csv"):
        shutil.copy(DIGITS / name, dlc.folder)
    return dlc


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shell, str]:
    """A folder in which the digits were trained for a few epochs, and the run's name."""
    shell = Shell(tmp_path_factory.mktemp("trained"))
    for name in ("digits.dl", "digits.csv", "new.csv"):
        shutil.copy(DIGITS / name, shell.folder)
    done = shell.process("train", "digits.dl", "--set", "epochs=8", "-q")
    assert done.code == 0, done.err
    return shell, done.run

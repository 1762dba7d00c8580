"""What every run of the tests compiles: a spread of the zoo; with `--whole-zoo` all of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def spread(names: Iterable[str], always: Collection[str]) -> list[Any]:
    """The names as parameters of a test: those of `always` run always, the others with `--whole-zoo` only."""
    return [name if name in always else pytest.param(name, marks=pytest.mark.whole_zoo) for name in names]

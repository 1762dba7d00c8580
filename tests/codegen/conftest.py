"""Every test run compiles into a folder of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = os.environ.get("DLC_CACHE_DIR")
    folder = tmp_path_factory.mktemp("compiled")
    folder.chmod(0o700)
    os.environ["DLC_CACHE_DIR"] = str(folder)
    yield
    if before is None:
        del os.environ["DLC_CACHE_DIR"]
    else:
        os.environ["DLC_CACHE_DIR"] = before

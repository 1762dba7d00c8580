"""Options of the test run."""

import os

import pytest
from hypothesis import settings

# The same examples in every run: what is found elsewhere becomes a test of its own.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="rewrite the golden files; read them before you commit"
    )
    parser.addoption("--whole-zoo", action="store_true", help="compile every network of the zoo, not a spread of them")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--whole-zoo"):
        return
    for item in items:
        if item.get_closest_marker("whole_zoo"):
            item.add_marker(pytest.mark.skip("compiled with --whole-zoo only"))


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    wanted = bool(request.config.getoption("--update-golden"))
    if wanted and os.environ.get("CI"):
        pytest.fail("golden files are not rewritten under CI")
    return wanted

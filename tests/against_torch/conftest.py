"""What the comparisons run on."""

import pytest


@pytest.fixture(params=["reference", "native"])
def target(request: pytest.FixtureRequest) -> str:
    """The reference executor, and with `--whole-zoo` compiled code too: that takes minutes."""
    name = str(request.param)
    if name == "native" and not request.config.getoption("--whole-zoo"):
        pytest.skip("compiled with --whole-zoo only")
    return name

"""What the comparisons run on."""

import pytest


@pytest.fixture(params=["reference", pytest.param("native", marks=pytest.mark.whole_zoo)])
def target(request: pytest.FixtureRequest) -> str:
    """The reference executor, and with `--whole-zoo` compiled code too: that takes minutes."""
    return str(request.param)

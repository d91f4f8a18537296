"""`pytest tests/providers --update` writes the golden readings anew; look at the difference before you commit it."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="rewrite tests/data/*/*/reading.json")


@pytest.fixture
def update(request: pytest.FixtureRequest) -> bool:
    # Not registered where the whole suite runs: pytest knows only the options of the folders it was started with.
    return bool(request.config.getoption("--update", default=False))

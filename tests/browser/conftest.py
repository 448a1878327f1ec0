"""Pages in a real browser: Debian's Chromium. Run by `make browser`, not by `make test`."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.integration.api.conftest import seeded, shown, site

__all__ = ["seeded", "shown", "site"]

_CHROMIUM = "/usr/bin/chromium"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "browser: looks at pages with Debian's Chromium")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without `-m browser` these tests are not selected: they need a browser, which is no part of us."""
    if config.getoption("-m"):
        return
    ours = [item for item in items if item.get_closest_marker("browser")]
    config.hook.pytest_deselected(items=ours)
    items[:] = [item for item in items if item not in ours]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()

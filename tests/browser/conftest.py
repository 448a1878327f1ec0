"""Pages in a real browser: Debian's Chromium. Run by `make browser`, not by `make test`."""

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from playwright.sync_api import Browser, sync_playwright

from core.runtime import service as runtime
from tests.fixtures.controls import seed_codes, seed_controls
from tests.fixtures.site import EVENT_NOW, Seeded, Site, open_site
from tests.integration.api.conftest import copied, seeded, settings_of, site

__all__ = ["seeded", "site"]

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


@pytest.fixture(scope="session")
def shown(
    servers: runtime.Endpoints, seeded: Seeded, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """The application with all that pages can show; no test may change it."""
    with copied(servers, seeded.database) as url:
        settings = settings_of(servers, url, tmp_path_factory.mktemp("shown") / "inbox")
        with psycopg.connect(url) as connection:
            seed_controls(connection, seeded.fleet, wall=EVENT_NOW)
        codes = seed_codes(settings, seeded.fleet, now=EVENT_NOW)
        with open_site(settings, seeded.fleet) as opened:
            yield replace(opened, codes=codes)

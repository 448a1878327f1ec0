from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from core.settings import Settings
from tests.fixtures.site import Site, open_site


@pytest.fixture
def site(runtime_settings: Settings, tmp_path: Path) -> Iterator[Site]:
    """The application with a seeded fleet of twelve heat pumps."""
    settings = replace(runtime_settings, inbox_dir=str(tmp_path / "inbox"))
    with open_site(settings) as opened:
        yield opened

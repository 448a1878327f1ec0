"""Everything that tests share stands in tests/fixtures."""

import pytest
from hypothesis import settings

# Nothing is timed in a test: on a busy machine the first example may take as long as it likes.
settings.register_profile("forecare", deadline=None)
settings.load_profile("forecare")

pytest_plugins = ["tests.fixtures.services", "tests.fixtures.community"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests, so that no worker is alone with one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("begins_early") is None)

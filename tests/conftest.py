"""Everything that tests share stands in tests/fixtures."""

import os
import signal

import pytest
from hypothesis import settings

# Nothing is timed in a test: on a busy machine the first example may take as long as it likes.
settings.register_profile("forecare", deadline=None)
settings.load_profile("forecare")
# Tests run beside each other: threads of boosted trees that wait for each other by spinning would make
# each of them many times slower. Read by OpenMP when it is loaded, after this.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell that starts the tests in the background lets them, and all that they start, ignore Ctrl-C; tests
# that interrupt a process would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["tests.fixtures.services", "tests.fixtures.community"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests, so that no worker is alone with one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("begins_early") is None)

"""Everything that tests share stands in tests/fixtures."""

pytest_plugins = ["tests.fixtures.services"]

"""One package writes each table, and migrations add up."""

import re
from pathlib import Path

import psycopg
import pytest

from core.errors import PermanentError
from core.migrations import migrate, steps
from core.settings import PROJECT_ROOT

_PACKAGES = ("core", "gateway", "ingest", "anomaly", "maintenance", "api", "bench", "firmware_sim")
_WRITE = re.compile(
    r"\b(?:insert\s+into|update|delete\s+from|copy|truncate|merge\s+into)\s+(?:only\s+)?"
    r"\"?(gateway|ingest|anomaly|maintenance|api|telemetry(?:_hour|_day)?)\"?\s*\.",
    re.IGNORECASE,
)
# Rows of telemetry.* are ingest's; every other schema bears the name of its only writer.
_WRITER = {name: name for name in ("gateway", "ingest", "anomaly", "maintenance", "api")} | {
    "telemetry": "ingest",
    "telemetry_hour": "ingest",
    "telemetry_day": "ingest",
}


def _sources(package: str) -> list[Path]:
    root = PROJECT_ROOT / package
    return [*root.rglob("*.sql"), *root.rglob("*.py")]


@pytest.mark.parametrize("package", _PACKAGES)
def test_a_package_writes_only_its_own_tables(package: str) -> None:
    foreign = [
        f"{file.relative_to(PROJECT_ROOT)}: {match.group(0)}"
        for file in _sources(package)
        if "migrations" not in file.parts
        for match in _WRITE.finditer(file.read_text(encoding="utf-8"))
        if _WRITER[match.group(1).lower()] != package
    ]

    assert foreign == []


def test_every_stage_does_write_something() -> None:
    # Without this the test above could pass because its pattern finds nothing at all.
    for package in ("gateway", "ingest", "anomaly", "maintenance", "api"):
        texts = [file.read_text(encoding="utf-8") for file in _sources(package)]
        assert any(_WRITE.search(text) for text in texts), package


def test_migrating_again_changes_nothing(database_url: str) -> None:
    assert migrate(database_url) == ()


def test_a_changed_migration_is_refused(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("update core.migration set checksum = 'other' where number = 1")

    with pytest.raises(PermanentError, match="0001_gateway.sql was changed"):
        migrate(database_url)


def test_steps_are_numbered_without_a_hole() -> None:
    assert [step.number for step in steps()] == list(range(len(steps())))

"""Brings a database from any earlier state to the newest one, one numbered file at a time.

Each file runs in its own transaction together with the row that records it, so a crash in between
leaves the database at a whole step, and running again goes on from there.
"""

import hashlib
import re
from dataclasses import dataclass
from importlib import resources

import procrastinate
import psycopg

from core.clock import wall_now
from core.errors import PermanentError

_LOCK_KEY = 7_305_412_001  # any constant of our own: one migrator at a time
_FILE = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def steps() -> tuple[Step, ...]:
    """Return all steps in order: the job queue's own schema first, then ours."""
    queue = procrastinate.schema.SchemaManager.get_schema()
    found = [Step(number=0, name=f"procrastinate {procrastinate.__version__}", sql=queue)]
    for file in resources.files(__package__).iterdir():
        match = _FILE.fullmatch(file.name)
        if match:
            text = file.read_text(encoding="utf-8")
            found.append(Step(number=int(match[1]), name=file.name, sql=text))
    return tuple(sorted(found, key=lambda step: step.number))


def migrate(database_url: str) -> tuple[str, ...]:
    """Apply what is missing and return the names of the steps that were applied.

    Raises
    ------
    PermanentError
        If a step that was applied earlier has been changed since.
    """
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(%s)", [_LOCK_KEY])
        connection.execute("create extension if not exists timescaledb")
        connection.execute("create schema if not exists core")
        connection.execute(
            "create table if not exists core.migration (number integer primary key, name text not null,"
            " checksum text not null, applied_at timestamptz not null)"
        )
        rows = connection.execute("select number, checksum from core.migration").fetchall()
        applied: dict[int, str] = dict(rows)
        return tuple(_apply(connection, step) for step in steps() if _is_missing(step, applied))


def _is_missing(step: Step, applied: dict[int, str]) -> bool:
    if step.number not in applied:
        return True
    if step.number > 0 and applied[step.number] != step.checksum:
        raise PermanentError(
            f"migration {step.name} was changed after it had been applied to this database",
            hint="write a new numbered file instead, or start with an empty database",
        )
    return False


def _apply(connection: psycopg.Connection[tuple[object, ...]], step: Step) -> str:
    with connection.transaction():
        connection.execute(step.sql.encode())  # bytes: many statements, no parameters
        connection.execute(
            "insert into core.migration values (%s, %s, %s, %s)",
            [step.number, step.name, step.checksum, wall_now()],
        )
    return step.name

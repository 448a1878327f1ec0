"""Runs the SQL of commands to devices: the only writer of gateway.device_command. Never commits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from core.pool import Connection
from core.product import Product, product_from_json
from core.sql import Queries
from gateway.device_commands.life_cycle import FINAL, State, Step
from gateway.device_commands.records import Command, CommandDraft, DueCommand

_queries = Queries("gateway")


@dataclass(frozen=True, slots=True, kw_only=True)
class Commanded:
    """The device that a command is for, locked."""

    device_id: int
    product: Product


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCommand:
    id: str
    state: State
    deadline_at: datetime


def lock_device(connection: Connection, name: str) -> Commanded | None:
    row = connection.execute(_queries["lock_device_to_command"], {"name": name}).fetchone()
    return Commanded(device_id=row[0], product=product_from_json(row[1])) if row else None


def count_open(connection: Connection, device_id: int) -> int:
    row = connection.execute(_queries["count_open_commands"], {"device_id": device_id}).fetchone()
    assert row is not None
    return int(row[0])


def insert(connection: Connection, draft: CommandDraft, *, device_id: int, now: datetime) -> None:
    connection.execute(
        _queries["insert_command"],
        {
            "id": draft.id,
            "device_id": device_id,
            "name": draft.name,
            "args": Jsonb(draft.args),
            "actor": draft.actor,
            "deadline_at": draft.deadline_at,
            "now": now,
        },
    )


def forget_old(connection: Connection, device_id: int, *, keep: int) -> None:
    connection.execute(_queries["forget_old_commands"], {"device_id": device_id, "keep": keep})


def find(
    connection: Connection,
    *,
    device: str | None = None,
    command_id: str | None = None,
    before: datetime | None = None,
    limit: int,
) -> list[Command]:
    values = {"device": device, "id": command_id, "before": before, "limit": limit}
    with connection.cursor(row_factory=class_row(Command)) as cursor:
        return cursor.execute(_queries["find_commands"], values).fetchall()


def lock(connection: Connection, command_id: str, *, device: str) -> OpenCommand | None:
    values = {"id": command_id, "device": device}
    row = connection.execute(_queries["lock_command"], values).fetchone()
    return OpenCommand(id=command_id, state=row[0], deadline_at=row[1]) if row else None


def move(
    connection: Connection, command_id: str, step: Step, *, now: datetime, result: Any = None
) -> None:
    connection.execute(
        _queries["move_command"],
        {
            "id": command_id,
            "state": step.state,
            "reason": step.reason,
            "result": Jsonb(result) if result is not None else None,
            "is_final": step.state in FINAL,
            "now": now,
        },
    )


def note_late_answer(connection: Connection, command_id: str, answer: object) -> None:
    values = {"id": command_id, "answer": Jsonb(answer)}
    connection.execute(_queries["note_late_answer"], values)


def overdue(connection: Connection, *, now: datetime, limit: int) -> list[OpenCommand]:
    values = {"now": now, "limit": limit}
    with connection.cursor(row_factory=class_row(OpenCommand)) as cursor:
        return cursor.execute(_queries["overdue_commands"], values).fetchall()


def born(connection: Connection, names: Sequence[str], *, now: datetime) -> None:
    connection.execute(_queries["commands_born"], {"names": list(names), "now": now})


def due(connection: Connection, *, now: datetime, limit: int) -> list[DueCommand]:
    """Return commands to send, locked until the end of the transaction."""
    values = {"now": now, "limit": limit}
    with connection.cursor(row_factory=class_row(DueCommand)) as cursor:
        return cursor.execute(_queries["due_commands"], values).fetchall()


def note_sent(
    connection: Connection, ids: Sequence[str], next_at: Sequence[datetime], *, now: datetime
) -> None:
    values = {"ids": list(ids), "next_at": list(next_at), "now": now}
    connection.execute(_queries["commands_sent"], values)


def rest(connection: Connection, *, now: datetime) -> None:
    connection.execute(_queries["rest_commands"], {"now": now})

"""Keeps models, the roles they have, and why; part of the only writer of `anomaly`. Never commits."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from psycopg.types.json import Jsonb

from anomaly.evidence import instant
from anomaly.learn.life import Memory
from anomaly.learn.model import ModeModel
from anomaly.learn.remaining import PartMemory
from anomaly.store import to_us
from anomaly.training.records import KeptModel, ModelCard, ModelChange, ModelEvent, ModelRow, Role
from core.errors import NotFoundError
from core.pool import Connection
from core.sql import Queries

_queries = Queries("anomaly")
CODE_VERSION = "1"
"""Of the meaning of a stored model; raise it when features or forecasts change their meaning."""


def lock_product(connection: Connection, *, product_id: int) -> None:
    connection.execute(_queries["lock_product"], {"product_id": product_id})


def read_devices(connection: Connection, *, product_id: int) -> dict[int, str]:
    """Names of a product's devices that have been scored, by device."""
    rows = connection.execute(_queries["product_devices"], {"product_id": product_id}).fetchall()
    return {row[0]: row[1] for row in rows}


def add_model(  # noqa: PLR0913 - one row, named
    connection: Connection,
    *,
    product_id: int,
    model: ModeModel,
    figures: Mapping[str, Any],
    now: datetime,
    training_id: int | None = None,
) -> int:
    """Keep a model; its parameters are plain numbers, nothing in them can run."""
    row = connection.execute(
        _queries["add_model"],
        {
            "product_id": product_id,
            "training_id": training_id,
            "failure_mode": model.mode,
            "data_from": instant(model.seen.from_us),
            "data_through": instant(model.seen.calibrate_until_us),
            "devices": model.seen.devices,
            "failures": model.seen.failures,
            "features": list(model.spec.names),
            "seeds": list(model.seeds),
            "figures": Jsonb(dict(figures)),
            "parameters": msgspec.msgpack.encode(model),
            "code_version": CODE_VERSION,
            "now": now,
        },
    ).fetchone()
    assert row is not None
    return int(row[0])


def set_role(
    connection: Connection, *, product_id: int, kept: KeptModel, role: Role, now: datetime
) -> None:
    connection.execute(
        _queries["set_role"],
        {
            "product_id": product_id,
            "failure_mode": kept.failure_mode,
            "role": role,
            "model_id": kept.id,
            "now": now,
        },
    )


def clear_role(connection: Connection, *, product_id: int, failure_mode: str, role: Role) -> bool:
    """Take a role away; False when nobody had it."""
    key = {"product_id": product_id, "failure_mode": failure_mode, "role": role}
    return connection.execute(_queries["clear_role"], key).rowcount > 0


def add_event(  # noqa: PLR0913 - one row, named
    connection: Connection,
    *,
    product_id: int,
    failure_mode: str,
    model_id: int | None,
    change: ModelChange,
    reason: str,
    now: datetime,
) -> None:
    connection.execute(
        _queries["add_model_event"],
        {
            "product_id": product_id,
            "failure_mode": failure_mode,
            "model_id": model_id,
            "change": change,
            "reason": reason,
            "now": now,
        },
    )


def read_role_ids(connection: Connection, *, product_id: int) -> tuple[tuple[str, Role, int], ...]:
    """Which models have which role: failure mode, role, model."""
    rows = connection.execute(_queries["role_ids"], {"product_id": product_id}).fetchall()
    return tuple((row[0], row[1], row[2]) for row in rows)


def read_roles(connection: Connection, *, product_id: int) -> dict[Role, dict[str, KeptModel]]:
    """Return the models that speak and those in shadow, by failure mode."""
    found: dict[Role, dict[str, KeptModel]] = {"champion": {}, "shadow": {}}
    for row in connection.execute(_queries["roles"], {"product_id": product_id}).fetchall():
        role: Role = row[1]
        found[role][row[0]] = KeptModel(id=row[2], failure_mode=row[0], model=_model(row[3]))
    return found


def read_models(connection: Connection, *, product_id: int) -> list[ModelRow]:
    rows = connection.execute(_queries["models"], {"product_id": product_id}).fetchall()
    return [_model_row(row) for row in rows]


def read_card(connection: Connection, *, model_id: int) -> ModelCard:
    """Return all about a model but its parameters.

    Raises
    ------
    NotFoundError
        If there is none of that number.
    """
    row = connection.execute(_queries["model_card"], {"model_id": model_id}).fetchone()
    if row is None:
        raise _no_model(model_id)
    return ModelCard(
        row=_model_row(row), product=row[11], features=tuple(row[12]), seeds=tuple(row[13]), shadow_forecasts=row[14],
        shadow_newest_at=row[15], shadow_chance=row[16], shadow_chance_said=row[17],
    )  # fmt: skip


def _model_row(row: tuple[Any, ...]) -> ModelRow:
    """Read what queries about models begin with."""
    return ModelRow(
        id=row[0], failure_mode=row[1], revision=row[2], role=row[3], data_from=row[4],
        data_through=row[5], devices=row[6], failures=row[7], figures=row[8],
        code_version=row[9], created_at=row[10],
    )  # fmt: skip


def _no_model(model_id: int) -> NotFoundError:
    return NotFoundError(
        f"there is no model {model_id}", hint="`forecare model list PRODUCT` shows them"
    )


def read_model(connection: Connection, *, model_id: int) -> tuple[int, KeptModel]:
    """Return a model and the product it belongs to.

    Raises
    ------
    NotFoundError
        If there is none of that number.
    """
    row = connection.execute(_queries["model_by_id"], {"model_id": model_id}).fetchone()
    if row is None:
        raise _no_model(model_id)
    return row[1], KeptModel(id=row[0], failure_mode=row[2], model=_model(row[4]))


def read_events(connection: Connection, *, product_id: int, limit: int) -> Sequence[ModelEvent]:
    rows = connection.execute(
        _queries["model_events"], {"product_id": product_id, "limit": limit}
    ).fetchall()
    return [
        ModelEvent(
            at=row[0], failure_mode=row[1], model_id=row[2], revision=row[3], change=row[4],
            reason=row[5],
        )
        for row in rows
    ]  # fmt: skip


def _model(parameters: bytes) -> ModeModel:
    return msgspec.msgpack.decode(bytes(parameters), type=ModeModel)


def read_life_memories(
    connection: Connection, *, device_ids: Sequence[int], model_ids: Sequence[int]
) -> dict[tuple[int, int], PartMemory]:
    """Return where models of remaining life stand, by device and model."""
    if not device_ids or not model_ids:
        return {}
    key = {"device_ids": list(device_ids), "model_ids": list(model_ids)}
    return {
        (row[0], row[1]): PartMemory(memory=Memory(at_us=to_us(row[2]), hours=row[3]), part=row[4])
        for row in connection.execute(_queries["life_memories"], key)
    }


def forget_silent_memories(connection: Connection, *, product_id: int, modes: Sequence[str]) -> int:
    """Forget where models stand that do not speak, nor are in shadow, for any of a sheet's failure modes.

    Returns
    -------
    int
        Rows that went, one per device and model.
    """
    key = {"product_id": product_id, "modes": list(modes)}
    return connection.execute(_queries["forget_silent_memories"], key).rowcount


def keep_life_memories(
    connection: Connection, *, model_id: int, memories: Mapping[int, PartMemory]
) -> None:
    """Keep where a model stands, by device; part of the transaction that writes what it said."""
    rows = [
        {
            "device_id": device_id, "model_id": model_id, "at": instant(kept.memory.at_us),
            "life_hours": kept.memory.hours, "part": kept.part,
        }
        for device_id, kept in sorted(memories.items())
    ]  # fmt: skip
    with connection.cursor() as cursor:
        cursor.executemany(_queries["keep_life_memory"], rows)

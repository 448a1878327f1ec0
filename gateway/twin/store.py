"""Runs the SQL of configurations: the only writer of gateway.twin and its neighbours. Never commits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from core.pool import Connection
from core.product import Product, product_from_json
from core.sql import Queries
from gateway.documents import Document
from gateway.twin.merging import Outcome
from gateway.twin.records import Change, ProductConfiguration, TwinRow

_queries = Queries("gateway")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductLayers:
    version: int
    defaults: Document
    desired: Document


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceProduct:
    product_id: int
    product: Product


def find(connection: Connection, name: str) -> TwinRow | None:
    with connection.cursor(row_factory=class_row(TwinRow)) as cursor:
        return cursor.execute(_queries["find_configuration"], {"name": name}).fetchone()


def find_to_change(connection: Connection, name: str, *, now: datetime) -> TwinRow | None:
    """Return a device's row, which exists from now on and is locked; None: no such device."""
    connection.execute(_queries["ensure_twin"], {"name": name, "now": now})
    connection.execute(_queries["lock_twin"], {"name": name})
    return find(connection, name)


def product_of(connection: Connection, name: str) -> DeviceProduct | None:
    row = connection.execute(_queries["sheet_of_device"], {"name": name}).fetchone()
    return DeviceProduct(product_id=row[0], product=product_from_json(row[1])) if row else None


def set_own(connection: Connection, device_id: int, own: Document, *, now: datetime) -> int:
    """Store what is set for one device; return the new version."""
    values = {"device_id": device_id, "own": Jsonb(own), "now": now}
    row = connection.execute(_queries["set_own_configuration"], values).fetchone()
    assert row is not None
    return int(row[0])


def lock_product(connection: Connection, product_id: int, *, now: datetime) -> ProductLayers:
    values = {"product_id": product_id, "now": now}
    row = connection.execute(_queries["lock_product_configuration"], values).fetchone()
    assert row is not None
    return ProductLayers(version=row[0], defaults=row[1], desired=row[2])


def set_product(
    connection: Connection,
    product_id: int,
    *,
    defaults: Document,
    desired: Document,
    now: datetime,
) -> int:
    """Store what is set for a product, and give all its devices a new version."""
    values = {
        "product_id": product_id,
        "defaults": Jsonb(defaults),
        "desired": Jsonb(desired),
        "now": now,
    }
    row = connection.execute(_queries["set_product_configuration"], values).fetchone()
    assert row is not None
    connection.execute(_queries["touch_twins_of_product"], {"product_id": product_id, "now": now})
    return int(row[0])


def find_product(connection: Connection, name: str) -> ProductConfiguration | None:
    with connection.cursor(row_factory=class_row(ProductConfiguration)) as cursor:
        return cursor.execute(_queries["find_product_configuration"], {"name": name}).fetchone()


def note_change(  # noqa: PLR0913 - a row's columns, by keyword
    connection: Connection,
    *,
    product_id: int,
    device_id: int | None,
    version: int,
    patch: Document,
    actor: str,
    now: datetime,
) -> None:
    connection.execute(
        _queries["note_configuration_change"],
        {
            "product_id": product_id,
            "device_id": device_id,
            "version": version,
            "patch": Jsonb(patch),
            "actor": actor,
            "now": now,
        },
    )


def changes(connection: Connection, name: str, *, before: int | None, limit: int) -> list[Change]:
    values = {"name": name, "before": before, "limit": limit}
    with connection.cursor(row_factory=class_row(Change)) as cursor:
        return cursor.execute(_queries["configuration_changes"], values).fetchall()


def born(connection: Connection, names: Sequence[str], *, now: datetime) -> None:
    """Let everything that these devices do not have yet be sent."""
    values = {"names": list(names), "now": now}
    connection.execute(_queries["twins_born"], values)
    connection.execute(_queries["send_after_birth"], values)


def due(connection: Connection, *, now: datetime, limit: int) -> list[TwinRow]:
    """Return configurations to send, locked until the end of the transaction."""
    values = {"now": now, "limit": limit}
    with connection.cursor(row_factory=class_row(TwinRow)) as cursor:
        return cursor.execute(_queries["due_configurations"], values).fetchall()


def note_sent(
    connection: Connection, rows: Sequence[TwinRow], next_at: Sequence[datetime], *, now: datetime
) -> None:
    ids = [row.device_id for row in rows]
    values = {"device_ids": ids, "next_at": list(next_at), "now": now}
    connection.execute(_queries["configurations_sent"], values)


def rest(connection: Connection, *, now: datetime) -> None:
    connection.execute(_queries["rest_configurations"], {"now": now})


def take_report(connection: Connection, device_id: int, outcome: Outcome, *, now: datetime) -> None:
    connection.execute(
        _queries["take_report"],
        {
            "device_id": device_id,
            "version": outcome.version,
            "reported": Jsonb(outcome.reported),
            "reported_version": outcome.reported_version,
            "differs_at": outcome.differs_at,
            "is_to_send": outcome.is_to_send,
            "now": now,
        },
    )

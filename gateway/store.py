"""Runs the gateway's SQL: the only writer of gateway.* and of the shape of telemetry.*."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from psycopg import sql
from psycopg.rows import class_row

from core.pool import Connection
from core.product import Metric, Product, product_from_json, product_to_json
from core.sql import Queries
from gateway.records import BrokerUser, DeviceDraft, DeviceRow, OwnerDraft, ProductRow, SiteDraft

_queries = Queries("gateway")


def lock_product(connection: Connection, name: str) -> None:
    connection.execute(_queries["lock_product"], {"name": name})


def find_product(connection: Connection, name: str) -> tuple[int, Product, str, int] | None:
    """Return id, records, TOML text and revision."""
    row = connection.execute(_queries["find_product"], {"name": name}).fetchone()
    return (row[0], product_from_json(row[1]), row[2], row[3]) if row else None


def upsert_manufacturer(connection: Connection, name: str) -> int:
    return _one(connection, "upsert_manufacturer", {"name": name})


def insert_product(
    connection: Connection, product: Product, *, manufacturer_id: int, toml_text: str, now: datetime
) -> int:
    return _one(
        connection,
        "insert_product",
        {
            "manufacturer_id": manufacturer_id,
            "name": product.name,
            "title": product.title,
            "sheet": product_to_json(product),
            "sheet_toml": toml_text,
            "now": now,
        },
    )


def update_product(  # noqa: PLR0913 - a row's columns, by keyword
    connection: Connection,
    product: Product,
    *,
    product_id: int,
    manufacturer_id: int,
    revision: int,
    toml_text: str,
    now: datetime,
) -> None:
    connection.execute(
        _queries["update_product"],
        {
            "id": product_id,
            "manufacturer_id": manufacturer_id,
            "title": product.title,
            "sheet": product_to_json(product),
            "sheet_toml": toml_text,
            "revision": revision,
            "now": now,
        },
    )


def create_telemetry(connection: Connection, product: Product, *, chunk: timedelta) -> None:
    """Make the wide table of a product."""
    table = _telemetry(product)
    connection.execute(
        sql.SQL(
            "create table {} (device_id bigint not null, measured_at timestamptz not null,"
            " _flags smallint, primary key (device_id, measured_at))"
        ).format(table)
    )
    connection.execute(
        _queries["create_hypertable"], {"relation": f"telemetry.{product.name}", "chunk": chunk}
    )
    connection.execute(
        sql.SQL("comment on table {} is {}").format(
            table, f"{product.title}: one row per device and instant, a column per metric"
        )
    )
    connection.execute(
        sql.SQL("comment on column {}._flags is {}").format(
            table,
            "null: nothing to say; 1: the time is the platform's, the device's clock was off",
        )
    )


def add_columns(connection: Connection, product: Product, metrics: Sequence[Metric]) -> None:
    table = _telemetry(product)
    for metric in metrics:
        kind = sql.SQL("double precision" if metric.precise else "real")
        column = sql.Identifier(metric.name)
        connection.execute(
            sql.SQL("alter table {} add column if not exists {} {}").format(table, column, kind)
        )
        connection.execute(
            sql.SQL("comment on column {}.{} is {}").format(table, column, metric.unit)
        )


def index_codes(connection: Connection, product: Product, metrics: Sequence[Metric]) -> None:
    """Let codes that devices report be found years back; most samples have none and take no room there."""
    for metric in metrics:
        connection.execute(
            sql.SQL("create index on {} (device_id, measured_at) where {} <> 0").format(
                _telemetry(product), sql.Identifier(metric.name)
            )
        )


def list_products(connection: Connection) -> tuple[ProductRow, ...]:
    with connection.cursor(row_factory=class_row(ProductRow)) as cursor:
        return tuple(cursor.execute(_queries["list_products"]))


def product_toml(connection: Connection, name: str) -> str | None:
    row = connection.execute(_queries["product_toml"], {"name": name}).fetchone()
    return str(row[0]) if row else None


def product_id(connection: Connection, name: str) -> tuple[int, Product] | None:
    row = connection.execute(_queries["product_id"], {"name": name}).fetchone()
    return (row[0], product_from_json(row[1])) if row else None


def products_of_devices(connection: Connection, names: Collection[str]) -> dict[str, Product]:
    """Return the product of each device, by the device's name; those that nobody knows are missing."""
    if not names:
        return {}
    rows = connection.execute(_queries["products_of_devices"], {"names": list(names)}).fetchall()
    found = {}
    for sheet, devices in rows:
        found.update(dict.fromkeys(devices, product_from_json(sheet)))
    return found


def upsert_owner(connection: Connection, owner: OwnerDraft) -> int:
    return _one(
        connection,
        "upsert_owner",
        {
            "name": owner.name,
            "email": owner.email.strip().lower(),
            "phone": owner.phone,
            "locale": owner.locale,
            "timezone": owner.timezone,
        },
    )


def insert_site(connection: Connection, site: SiteDraft, *, owner_id: int | None) -> int:
    return _one(
        connection,
        "insert_site",
        {
            "owner_id": owner_id,
            "name": site.name,
            "address": site.address,
            "city": site.city,
            "timezone": site.timezone,
            "latitude": site.latitude,
            "longitude": site.longitude,
            "access_note": site.access_note,
        },
    )


def insert_device(  # noqa: PLR0913 - a row's columns, by keyword
    connection: Connection,
    draft: DeviceDraft,
    *,
    product_id: int,
    owner_id: int | None,
    site_id: int | None,
    shard: int,
    warranty_until: datetime | None,
    now: datetime,
) -> int:
    return _one(
        connection,
        "insert_device",
        {
            "name": draft.name,
            "product_id": product_id,
            "owner_id": owner_id,
            "site_id": site_id,
            "serial": draft.serial,
            "lot": draft.lot,
            "firmware": draft.firmware,
            "shard": shard,
            "delivered_at": draft.delivered_at,
            "warranty_until": warranty_until,
            "now": now,
        },
    )


def begin_ownership(  # noqa: PLR0913 - a row's columns, by keyword
    connection: Connection, device_id: int, *, owner_id: int, how: str, actor: str, now: datetime
) -> None:
    """Note whose a device is from now on; what was before ends now."""
    connection.execute(_queries["end_ownership"], {"device_id": device_id, "now": now})
    connection.execute(
        _queries["begin_ownership"],
        {"device_id": device_id, "owner_id": owner_id, "how": how, "actor": actor, "now": now},
    )


def insert_credential(
    connection: Connection, *, device_id: int, password_hash: str, now: datetime
) -> None:
    connection.execute(
        _queries["insert_credential"],
        {"device_id": device_id, "password_hash": password_hash, "now": now},
    )


def rotate_credential(
    connection: Connection, name: str, *, password_hash: str, now: datetime
) -> int | None:
    """Store a new hash; return the device's shard, None when there is no such device."""
    row = connection.execute(
        _queries["rotate_credential"], {"name": name, "password_hash": password_hash, "now": now}
    ).fetchone()
    return int(row[0]) if row else None


def revoke_credential(connection: Connection, name: str, *, now: datetime) -> bool:
    row = connection.execute(_queries["revoke_credential"], {"name": name, "now": now}).fetchone()
    return row is not None


def broker_users(connection: Connection) -> tuple[BrokerUser, ...]:
    rows = connection.execute(_queries["broker_users"]).fetchall()
    return tuple(BrokerUser(name=row[0], password_hash=row[1]) for row in rows)


def broker_state(connection: Connection) -> tuple[object, ...]:
    row = connection.execute(_queries["broker_state"]).fetchone()
    assert row is not None
    return tuple(row)


def list_devices(
    connection: Connection, *, product: str | None = None, name: str | None = None, limit: int
) -> tuple[DeviceRow, ...]:
    with connection.cursor(row_factory=class_row(DeviceRow)) as cursor:
        return tuple(
            cursor.execute(
                _queries["list_devices"], {"product": product, "name": name, "limit": limit}
            )
        )


def device_born(  # noqa: PLR0913 - what a birth message says, by keyword
    connection: Connection,
    name: str,
    *,
    boot: int,
    firmware: str,
    event_at: datetime | None = None,
    now: datetime,
) -> bool:
    """Note a session and the version it runs; False when it changed nothing (unknown, older boot)."""
    values = {"name": name, "boot": boot, "firmware": firmware, "now": now}
    changed = connection.execute(_queries["device_born"], values).fetchone() is not None
    if changed and firmware:
        connection.execute(_queries["firmware_seen"], {"name": name, "firmware": firmware})
        connection.execute(_queries["firmware_run"], values | {"event_at": event_at})
    return changed


def device_gone(connection: Connection, name: str, *, boot: int, now: datetime) -> bool:
    values = {"name": name, "boot": boot, "now": now}
    return connection.execute(_queries["device_gone"], values).fetchone() is not None


def _telemetry(product: Product) -> sql.Identifier:
    return sql.Identifier("telemetry", product.name)


def _one(connection: Connection, query: str, values: dict[str, object]) -> int:
    row = connection.execute(_queries[query], values).fetchone()
    assert row is not None
    return int(row[0])

"""What others may ask of the registry: products, devices, credentials.

Each call is one transaction. After a change of credentials call `gateway.broker.sync_broker`; the
gateway process would do it a few seconds later.
"""

import secrets
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from psycopg import errors

from core.errors import ConflictError, InvalidError, NotFoundError
from core.pool import Connection, Pool
from core.product import Metric, Product
from gateway import store
from gateway.passwords import hash_password
from gateway.records import (
    DeviceCredential,
    DeviceDraft,
    DeviceRow,
    ProductRow,
    RegisteredProduct,
)
from gateway.sheet import parse_sheet
from gateway.topics import DEVICE_NAME, shard_of
from gateway.twin.service import take_over_defaults

_TOKEN_BYTES = 24  # 192 bits: too many to guess, so the broker's cheap hash is enough
_DEVICES_MAX = 100_000


def register_product(
    pool: Pool, *, toml_text: str, source: str, now: datetime
) -> RegisteredProduct:
    """Register a product, or bring its sheet and its table up to date. Safe to repeat.

    Raises
    ------
    InvalidError
        If the sheet has faults.
    ConflictError
        If the sheet drops a metric, or changes the type or unit of one: stored values would lie.
    """
    product = parse_sheet(toml_text, source=source)
    with pool.connection() as connection:
        store.lock_product(connection, product.name)
        manufacturer_id = store.upsert_manufacturer(connection, product.manufacturer)
        found = store.find_product(connection, product.name)
        if found is None:
            product_id = store.insert_product(
                connection,
                product,
                manufacturer_id=manufacturer_id,
                toml_text=toml_text,
                now=now,
            )
            store.create_telemetry(connection, product, chunk=chunk_interval(product))
            store.add_columns(connection, product, product.metrics)
            store.index_codes(connection, product, added_codes(None, product))
            take_over_defaults(connection, product, product_id=product_id, now=now)
            return RegisteredProduct(
                id=product_id,
                name=product.name,
                revision=1,
                is_new=True,
                added_metrics=tuple(metric.name for metric in product.metrics),
            )
        product_id, before, text, revision = found
        added = added_metrics(before, product, source=source)
        if (before, text) != (product, toml_text):
            revision += before != product
            store.update_product(
                connection,
                product,
                product_id=product_id,
                manufacturer_id=manufacturer_id,
                revision=revision,
                toml_text=toml_text,
                now=now,
            )
            store.add_columns(connection, product, added)
            store.index_codes(connection, product, added_codes(before, product))
            take_over_defaults(connection, product, product_id=product_id, now=now)
    return RegisteredProduct(
        id=product_id,
        name=product.name,
        revision=revision,
        is_new=False,
        added_metrics=tuple(metric.name for metric in added),
    )


def added_metrics(before: Product, after: Product, *, source: str) -> tuple[Metric, ...]:
    """Return the metrics that a sheet gained. Pure.

    Raises
    ------
    ConflictError
        If it lost one, or changed what a stored column means.
    """
    new = {metric.name: metric for metric in after.metrics}
    for old in before.metrics:
        metric = new.get(old.name)
        if metric is None:
            raise ConflictError(
                f'{source}: metric "{old.name}" of product "{before.name}" is missing, and its'
                " stored values would lose their meaning",
                hint="keep it in the sheet (devices need not send it any more), or register the"
                " new sheet under another product name",
            )
        if metric.precise != old.precise or metric.unit != old.unit:
            what = "type (precise)" if metric.precise != old.precise else "unit"
            raise ConflictError(
                f'{source}: metric "{old.name}" changes its {what}, and stored values would lie',
                hint=f'leave "{old.name}" as it was and add the new form under another name',
            )
    known = {metric.name for metric in before.metrics}
    return tuple(metric for metric in after.metrics if metric.name not in known)


def added_codes(before: Product | None, after: Product) -> tuple[Metric, ...]:
    """Return the metrics whose values are codes now and were not before. Pure."""
    known = {metric.name for metric in before.metrics if metric.kind == "code"} if before else set()
    return tuple(m for m in after.metrics if m.kind == "code" and m.name not in known)


def chunk_interval(product: Product) -> timedelta:
    """Choose the length of a chunk: some ten thousand rows a device, and few chunks in all. Pure."""
    fast = product.interval < timedelta(seconds=30)
    chunk = timedelta(days=1) if fast else timedelta(days=7)
    return max(chunk, product.history_max / 2000)


def add_devices(  # noqa: PLR0913 - what, and two things that happen on the way
    pool: Pool,
    *,
    product: str,
    drafts: Sequence[DeviceDraft],
    now: datetime,
    has_credentials: bool = True,
    on_row: Callable[[int], None] | None = None,
    before_commit: Callable[[Sequence[DeviceCredential]], None] | None = None,
) -> tuple[DeviceCredential, ...]:
    """Let devices in: all of them or none.

    Parameters
    ----------
    pool : Pool
    product : str
    drafts : sequence of DeviceDraft
    now : datetime
    has_credentials : bool
        False: they are known, and get their credential at their first contact.
    on_row : callable(int), optional
        Is told after each device how many there are.
    before_commit : callable(credentials), optional
        Keeps the passwords in a safe place; if it fails, no device is let in.

    Returns
    -------
    tuple of DeviceCredential
        In the order of the drafts. The passwords exist nowhere else.

    Raises
    ------
    NotFoundError
        If the product is not registered.
    InvalidError
        If a name or serial number cannot be one.
    ConflictError
        If a name or serial number is taken.
    """
    for draft in drafts:
        _check_draft(draft)
    credentials = tuple(new_credential(draft.name) for draft in drafts if has_credentials)
    try:
        with pool.connection() as connection:
            product_id, sheet = _product(connection, product)
            for i, draft in enumerate(drafts):
                device_id = insert_device(
                    connection, draft, product_id=product_id, warranty=sheet.warranty, now=now
                )
                if has_credentials:
                    password_hash = hash_password(credentials[i].password)
                    store.insert_credential(
                        connection, device_id=device_id, password_hash=password_hash, now=now
                    )
                if on_row:
                    on_row(i + 1)
            if before_commit:
                before_commit(credentials)
    except errors.UniqueViolation as error:
        raise ConflictError(
            f"a device of that name or serial number exists: {error.diag.message_detail}",
            hint="`forecare device list` shows them; `forecare device rotate NAME` makes a new secret",
        ) from error
    return credentials


def rotate_credential(pool: Pool, *, name: str, now: datetime) -> DeviceCredential:
    """Give a device a new secret; the old one is worth nothing from the next broker sync on."""
    credential = new_credential(name)
    with pool.connection() as connection:
        shard = store.rotate_credential(
            connection, name, password_hash=hash_password(credential.password), now=now
        )
    if shard is None:
        raise _no_device(name)
    return credential


def revoke_device(pool: Pool, *, name: str, now: datetime) -> None:
    """Shut a device out; what it has sent stays."""
    with pool.connection() as connection:
        if not store.revoke_credential(connection, name, now=now):
            raise _no_device(name)


def products(pool: Pool) -> tuple[ProductRow, ...]:
    with pool.connection() as connection:
        return store.list_products(connection)


def product_toml(pool: Pool, *, name: str) -> str:
    """Return the sheet of a product as its manufacturer wrote it."""
    with pool.connection() as connection:
        text = store.product_toml(connection, name)
    if text is None:
        raise _no_product(name)
    return text


def devices(
    pool: Pool, *, product: str | None = None, limit: int = _DEVICES_MAX
) -> tuple[DeviceRow, ...]:
    with pool.connection() as connection:
        return store.list_devices(connection, product=product, limit=limit)


def device_by_name(pool: Pool, *, name: str) -> DeviceRow:
    """Return a device.

    Raises
    ------
    NotFoundError
        If there is none of that name.
    """
    with pool.connection() as connection:
        rows = store.list_devices(connection, name=name, limit=1)
    if not rows:
        raise _no_device(name)
    return rows[0]


def insert_device(
    connection: Connection,
    draft: DeviceDraft,
    *,
    product_id: int,
    warranty: timedelta,
    now: datetime,
) -> int:
    """Register a device with its owner and site within the caller's transaction; return its id."""
    owner_id = store.upsert_owner(connection, draft.owner) if draft.owner else None
    site_id = store.insert_site(connection, draft.site, owner_id=owner_id) if draft.site else None
    device_id = store.insert_device(
        connection,
        draft,
        product_id=product_id,
        owner_id=owner_id,
        site_id=site_id,
        shard=shard_of(draft.name),
        warranty_until=draft.delivered_at + warranty if draft.delivered_at else None,
        now=now,
    )
    if owner_id is not None:
        store.begin_ownership(
            connection, device_id, owner_id=owner_id, how="registered", actor="forecare", now=now
        )
    return device_id


def _check_draft(draft: DeviceDraft) -> None:
    if not DEVICE_NAME.fullmatch(draft.name):
        raise InvalidError(
            f"{draft.name!r} cannot be a device name: it becomes an MQTT user name and a topic level",
            hint="use 1 to 64 of the characters A-Z, a-z, 0-9, _ and -",
        )
    if not draft.serial or len(draft.serial) > 200 or "\0" in draft.serial:
        raise InvalidError(
            f"device {draft.name}: {draft.serial!r} cannot be a serial number",
            hint="give 1 to 200 characters",
        )


def new_credential(name: str) -> DeviceCredential:
    """Make a secret for a device; who calls stores its hash."""
    return DeviceCredential(
        name=name,
        shard=f"{shard_of(name):02x}",
        user=name,
        password=secrets.token_urlsafe(_TOKEN_BYTES),
    )


def _product(connection: Connection, name: str) -> tuple[int, Product]:
    found = store.product_id(connection, name)
    if found is None:
        raise _no_product(name)
    return found


def _no_product(name: str) -> NotFoundError:
    return NotFoundError(
        f'there is no product "{name}"',
        hint="`forecare product list` shows them; `forecare product add SHEET.toml` adds one",
    )


def _no_device(name: str) -> NotFoundError:
    return NotFoundError(f'there is no device "{name}"', hint="`forecare device list` shows them")

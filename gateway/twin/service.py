"""What others may ask of configurations: look, change, and read who changed what.

Each call is one transaction. The gateway process sends what has changed within a second; a device
that is not connected hears it after its next birth.
"""

from datetime import datetime

from core.errors import ConflictError, InvalidError, NotFoundError
from core.pool import Connection, Pool
from core.product import Product
from gateway import store as registry
from gateway.documents import Document, check_document, is_same, merge
from gateway.setting_values import faults_of
from gateway.twin import store
from gateway.twin.merging import compare, desired_of
from gateway.twin.records import Change, Configuration, Layers, ProductConfiguration, TwinRow

_NO_CHANGE_HINT = (
    "`forecare product show` prints the sheet; its [[setting]] tables say what may be set"
)


def configuration(pool: Pool, *, name: str) -> Configuration:
    """Return what a device is to have and what it has.

    Raises
    ------
    NotFoundError
        If there is no such device.
    """
    with pool.connection() as connection:
        row = store.find(connection, name)
    if row is None:
        raise _no_device(name)
    return _configuration(row)


def change_configuration(  # noqa: PLR0913 - whose, what, by whom, when, on top of what
    pool: Pool,
    *,
    name: str,
    patch: Document,
    actor: str,
    now: datetime,
    expected_version: int | None = None,
) -> Configuration:
    """Merge a patch into what is set for one device; null gives a key back to its product.

    A patch that changes nothing makes no new version, so a repeated call is harmless.

    Raises
    ------
    NotFoundError
        If there is no such device.
    InvalidError
        If the sheet knows no such setting, a value is not one of its, or the document grows too large.
    ConflictError
        If the version is not the expected one: somebody else was first.
    """
    check_document(patch, what="the change")
    with pool.connection() as connection:
        found = store.product_of(connection, name)
        row = store.find_to_change(connection, name, now=now)
        if row is None or found is None:
            raise _no_device(name)
        _check_values(found.product, patch)
        _check_version(row.version, expected_version, what=f"the configuration of {name}")
        own = merge(row.own, patch)
        if not is_same(own, row.own):
            layers = Layers(defaults=row.defaults, product=row.product, own=own)
            check_document(desired_of(layers), what="the configuration")
            version = store.set_own(connection, row.device_id, own, now=now)
            store.note_change(
                connection,
                product_id=found.product_id,
                device_id=row.device_id,
                version=version,
                patch=patch,
                actor=actor,
                now=now,
            )
        after = store.find(connection, name)
    assert after is not None
    return _configuration(after)


def product_configuration(pool: Pool, *, product: str) -> ProductConfiguration:
    """Return what all devices of a product are to have."""
    with pool.connection() as connection:
        found = store.find_product(connection, product)
    if found is None:
        raise _no_product(product)
    return found


def change_product_configuration(  # noqa: PLR0913 - whose, what, by whom, when, on top of what
    pool: Pool,
    *,
    product: str,
    patch: Document,
    actor: str,
    now: datetime,
    expected_version: int | None = None,
) -> ProductConfiguration:
    """Merge a patch into what is set for a whole product; null gives a key back to the sheet.

    Raises
    ------
    NotFoundError, InvalidError, ConflictError
        As for one device.
    """
    check_document(patch, what="the change")
    with pool.connection() as connection:
        found = registry.product_id(connection, product)
        if found is None:
            raise _no_product(product)
        product_id, sheet = found
        _check_values(sheet, patch)
        layers = store.lock_product(connection, product_id, now=now)
        _check_version(layers.version, expected_version, what=f"the configuration of {product}")
        desired = merge(layers.desired, patch)
        if not is_same(desired, layers.desired):
            check_document(merge(layers.defaults, desired), what="the configuration")
            version = store.set_product(
                connection, product_id, defaults=layers.defaults, desired=desired, now=now
            )
            store.note_change(
                connection,
                product_id=product_id,
                device_id=None,
                version=version,
                patch=patch,
                actor=actor,
                now=now,
            )
        after = store.find_product(connection, product)
    assert after is not None
    return after


def take_over_defaults(
    connection: Connection, product: Product, *, product_id: int, now: datetime
) -> None:
    """Let a sheet's defaults be the lowest layer, within the caller's transaction."""
    defaults = {s.name: s.default for s in product.settings if s.default is not None}
    layers = store.lock_product(connection, product_id, now=now)
    if is_same(defaults, layers.defaults):
        return
    patch = {key: None for key in layers.defaults if key not in defaults} | defaults
    version = store.set_product(
        connection, product_id, defaults=defaults, desired=layers.desired, now=now
    )
    store.note_change(
        connection,
        product_id=product_id,
        device_id=None,
        version=version,
        patch=patch,
        actor="forecare:sheet",
        now=now,
    )


def changes(pool: Pool, *, name: str, before: int | None = None, limit: int = 50) -> list[Change]:
    """Return who changed what of a device or its product, newest first."""
    with pool.connection() as connection:
        if store.find(connection, name) is None:
            raise _no_device(name)
        return store.changes(connection, name, before=before, limit=limit)


def _configuration(row: TwinRow) -> Configuration:
    desired = desired_of(row.layers)
    is_confirmed = row.reported_version >= row.version
    return Configuration(
        device=row.device,
        version=row.version,
        desired=desired,
        own=row.own,
        reported=row.reported,
        reported_version=row.reported_version,
        reported_at=row.reported_at,
        differs_at=row.differs_at,
        sent_at=row.sent_at,
        tries=row.tries,
        entries=compare(desired, row.reported, is_confirmed=is_confirmed),
    )


def _check_values(product: Product, patch: Document) -> None:
    if product.settings and (found := faults_of(product.settings, patch, kind="setting")):
        raise InvalidError("; ".join(found), hint=_NO_CHANGE_HINT)


def _check_version(version: int, expected: int | None, *, what: str) -> None:
    if expected is not None and expected != version:
        raise ConflictError(
            f"{what} is at version {version}, not {expected}: somebody else changed it",
            hint="look at it again, and repeat the change on top of what is there now",
        )


def _no_device(name: str) -> NotFoundError:
    return NotFoundError(f'there is no device "{name}"', hint="`forecare device list` shows them")


def _no_product(name: str) -> NotFoundError:
    return NotFoundError(f'there is no product "{name}"', hint="`forecare product list` shows them")

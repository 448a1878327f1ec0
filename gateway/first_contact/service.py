"""Product keys, and the answer to a device that comes by itself.

The credential is committed and the broker has been told before the answer goes out, so that the device
can connect at once. A crash in between leaves a device that got no answer: it asks again with the same
nonce, and its new credential replaces the one that nobody has seen.
"""

import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg.rows import class_row

from core.clock import monotonic_s
from core.endpoints import device_mqtt_url
from core.errors import InvalidError, NotFoundError
from core.failpoint import failpoint
from core.log import get_logger
from core.pool import Connection, Pool
from core.settings import Settings
from core.sql import Queries
from gateway import service as registry
from gateway.broker import sync_broker
from gateway.first_contact.allowance import Allowance
from gateway.first_contact.decide import (
    GIVEN,
    KnownDevice,
    ProductKey,
    Reason,
    decide,
    hash_secret,
    is_right_key,
    name_for,
    refusal,
)
from gateway.first_contact.wire import Credential, Refusal, Request, read_request
from gateway.passwords import hash_password
from gateway.records import DeviceCredential, DeviceDraft

log = get_logger("gateway")

ALLOWS = ("new", "known_serials")
_SECRET_BYTES = 24
_queries = Queries("gateway")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A product key. The secret is shown once and kept nowhere."""

    product: str
    key: str
    secret: str
    allows: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    key: str
    product: str
    allows: str
    created_at: datetime
    ends_at: datetime | None
    devices: int
    """How many came with it last."""


def product_keys(pool: Pool, *, product: str) -> Sequence[KeyRow]:
    with pool.connection() as connection, connection.cursor(row_factory=class_row(KeyRow)) as rows:
        return rows.execute(_queries["product_keys"], {"product": product}).fetchall()


def add_product_key(pool: Pool, *, product: str, allows: str, now: datetime) -> NewKey:
    """Make a key with which devices of a product come for their credential."""
    made = NewKey(
        product=product,
        key=f"pk-{secrets.token_hex(8)}",
        secret=secrets.token_urlsafe(_SECRET_BYTES),
        allows=allows,
    )
    values = {
        "key": made.key,
        "product": product,
        "secret_hash": hash_secret(made.secret),
        "allows": allows,
        "now": now,
    }
    with pool.connection() as connection:
        if connection.execute(_queries["add_product_key"], values).fetchone() is None:
            raise NotFoundError(
                f'there is no product "{product}"', hint="`forecare product list` shows them"
            )
    return made


def end_product_keys(
    pool: Pool, *, product: str, ends_at: datetime, now: datetime
) -> Sequence[str]:
    """Let the keys of a product end; return those that were in force. Devices keep their credentials."""
    values = {"product": product, "ends_at": ends_at, "now": now}
    with pool.connection() as connection:
        return [row[0] for row in connection.execute(_queries["end_product_keys"], values)]


def reset_device(pool: Pool, *, name: str) -> None:
    """Forget the credential and the nonce of a device: its serial number may come for a new one.

    Until it does, whoever knows the product's secret and this serial number could come in its place.
    """
    registry.device_by_name(pool, name=name)
    with pool.connection() as connection:
        connection.execute(_queries["forget_first_contact"], {"name": name})
        connection.execute(_queries["drop_credential"], {"name": name})


class Reception:
    """Answers requests, several at a time.

    The broker is told once for all that wait: telling it costs a look at every device.
    """

    def __init__(self, pool: Pool, settings: Settings, *, allowance: Allowance) -> None:
        self._pool = pool
        self._settings = settings
        self._allowance = allowance
        self._counting = threading.Lock()
        self._telling = threading.Lock()
        self._tellings_begun = 0
        self._tellings_done = 0

    def answer(self, payload: bytes, *, client_id: str, now: datetime) -> Credential | Refusal:
        """Give a device its credential, or say why not.

        Raises
        ------
        psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout
            If the database is away; nothing was given then.
        """
        try:
            request = read_request(payload)
        except InvalidError as error:
            return refusal(Reason.UNREADABLE, hint=str(error))
        with self._pool.connection() as connection:
            key = _product_key(connection, request.key)
        is_right = is_right_key(request, key, now=now)
        with self._counting:
            wait_s = self._allowance.wait_s(request.key, is_right=is_right, now_s=monotonic_s())
        if wait_s:
            hint = f"ask again after {wait_s} s"
            return refusal(Reason.TOO_MANY, hint=hint, retry_after_s=wait_s)
        if key is None or not is_right:
            log.warning("first_contact.refused", reason=Reason.WRONG_KEY, product=request.product)
            return refusal(Reason.WRONG_KEY)
        with self._pool.connection() as connection:
            reason, credential = _give(connection, request, key, client_id=client_id, now=now)
        if credential is None:
            log.warning(
                "first_contact.refused",
                reason=reason,
                product=request.product,
                serial=request.serial,
            )
            return refusal(reason)
        failpoint("gateway.first_contact")
        self._tell_broker()
        log.info("first_contact.given", device=credential.name, reason=reason)
        return Credential(
            device=credential.name,
            shard=credential.shard,
            user=credential.user,
            password=credential.password,
            mqtt_url=device_mqtt_url(self._settings),
        )

    def _tell_broker(self) -> None:
        """Return when the broker has been told of everything that was committed before this call."""
        wanted = self._tellings_begun + 1
        with self._telling:
            if self._tellings_done >= wanted:
                return  # somebody else's telling began after our commit
            self._tellings_begun += 1
            sync_broker(self._pool, self._settings)
            self._tellings_done = self._tellings_begun


def _give(
    connection: Connection, request: Request, key: ProductKey, *, client_id: str, now: datetime
) -> tuple[Reason, DeviceCredential | None]:
    place = {"product_id": key.product_id, "serial": request.serial}
    connection.execute(_queries["lock_serial"], place)
    with connection.cursor(row_factory=class_row(KnownDevice)) as cursor:
        device = cursor.execute(_queries["device_of_serial"], place).fetchone()
    nonce = request.nonce or client_id
    reason = decide(allows=key.allows, device=device, nonce=nonce)
    if reason not in GIVEN:
        return reason, None
    name = device.name if device else name_for(request.product, request.serial)
    if device:
        device_id = device.id
    else:
        draft = DeviceDraft(
            name=name, serial=request.serial, lot=request.lot, firmware=request.firmware
        )
        device_id = registry.insert_device(
            connection,
            draft,
            product_id=key.product_id,
            warranty=timedelta(),  # begins with the delivery, of which a device knows nothing
            now=now,
        )
    credential = registry.new_credential(name)
    row = {
        "device_id": device_id,
        "password_hash": hash_password(credential.password),
        "nonce_hash": hash_secret(nonce),
        "key": key.key,
        "now": now,
    }
    connection.execute(_queries["put_credential"], row)
    connection.execute(_queries["put_first_contact"], row)
    return reason, credential


def _product_key(connection: Connection, key: str) -> ProductKey | None:
    with connection.cursor(row_factory=class_row(ProductKey)) as cursor:
        return cursor.execute(_queries["product_key"], {"key": key}).fetchone()

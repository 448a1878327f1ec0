"""Who gets a credential at first contact. Pure: values in, a reason out."""

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from gateway.first_contact.wire import Refusal, Request

_SLUG_MAX = 40
_NAME_MAX = 64


class Reason(StrEnum):
    """Why a device got a credential, or none."""

    NEW = "new"
    KNOWN = "known"
    """Registered beforehand, without a credential."""
    AGAIN = "again"
    """The same device lost the answer, or its memory of it."""
    UNREADABLE = "unreadable"
    WRONG_KEY = "wrong_key"
    """No such key, a wrong secret, another product or an ended key: which one, is not told."""
    UNKNOWN_SERIAL = "unknown_serial"
    TAKEN = "taken"
    """The serial number belongs to a device that has its credential already."""
    SHUT_OUT = "shut_out"
    TOO_MANY = "too_many"
    AWAY = "away"


GIVEN = frozenset({Reason.NEW, Reason.KNOWN, Reason.AGAIN})
_HINTS = {
    Reason.WRONG_KEY: "`forecare product key PRODUCT` shows the keys in force",
    Reason.UNKNOWN_SERIAL: "this key lets registered serial numbers in alone: `forecare device import`",
    Reason.TAKEN: "if the device was reset or its board replaced: `forecare device reset NAME`",
    Reason.SHUT_OUT: "the device was revoked; `forecare device reset NAME` lets it come again",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductKey:
    """A key as it is stored."""

    key: str
    product: str
    product_id: int
    secret_hash: str
    allows: str
    ends_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownDevice:
    """What is known of the device with a serial number."""

    id: int
    name: str
    has_credential: bool
    is_shut_out: bool
    nonce_hash: str | None
    """None: it never came by itself."""


def is_right_key(request: Request, key: ProductKey | None, *, now: datetime) -> bool:
    """Check product, key and secret; takes as long when there is no such key."""
    expected = key.secret_hash if key else ""
    is_right = hmac.compare_digest(hash_secret(request.secret), expected.ljust(64))
    return (
        key is not None
        and is_right
        and key.product == request.product
        and (key.ends_at is None or now < key.ends_at)
    )


def decide(*, allows: str, device: KnownDevice | None, nonce: str) -> Reason:
    """Decide on a request whose key is right.

    Parameters
    ----------
    allows : "new" or "known_serials"
        What the product's key lets in.
    device : KnownDevice or None
        The device of that product with that serial number.
    nonce : str
        The secret with which a device shows that it is the one that came before.
    """
    if device is None:
        return Reason.NEW if allows == "new" else Reason.UNKNOWN_SERIAL
    if device.is_shut_out:
        return Reason.SHUT_OUT
    if device.nonce_hash is not None:
        is_same = hmac.compare_digest(hash_secret(nonce), device.nonce_hash)
        return Reason.AGAIN if is_same else Reason.TAKEN
    return Reason.TAKEN if device.has_credential else Reason.KNOWN


def refusal(reason: Reason, *, hint: str = "", retry_after_s: int = 0) -> Refusal:
    """Say no in a way that a person who reads the device's log can act on."""
    return Refusal(
        error=reason.value, hint=hint or _HINTS.get(reason, ""), retry_after_s=retry_after_s
    )


def name_for(product: str, serial: str) -> str:
    """Return the name of a device that came by itself: always the same, and readable if it can be."""
    plain = f"{product}-{serial}"
    if re.fullmatch(r"[A-Za-z0-9_-]+", serial) and len(plain) <= _NAME_MAX:
        return plain
    slug = re.sub(r"[^A-Za-z0-9_]+", "-", plain).strip("-")[:_SLUG_MAX]
    digest = hashlib.sha256(f"{product}\0{serial}".encode()).hexdigest()[:16]
    return f"{slug}-{digest}"


def hash_secret(secret: str) -> str:
    """A plain hash is enough for secrets of 128 random bits and more."""
    return hashlib.sha256(secret.encode()).hexdigest()

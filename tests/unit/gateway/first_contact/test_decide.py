"""Who gets a credential at first contact."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidError
from gateway.first_contact.allowance import Allowance
from gateway.first_contact.decide import (
    KnownDevice,
    ProductKey,
    Reason,
    decide,
    hash_secret,
    is_right_key,
    name_for,
)
from gateway.first_contact.wire import Request, read_request

NOW = datetime(2026, 11, 24, tzinfo=UTC)
NONCE = "n" * 32
KEY = ProductKey(
    key="pk-1",
    product="kettle",
    product_id=1,
    secret_hash=hash_secret("s3cret"),
    allows="new",
    ends_at=None,
)
ASKED = Request(product="kettle", key="pk-1", secret="s3cret", serial="1", nonce=NONCE)
CAME = KnownDevice(
    id=1, name="a", has_credential=True, is_shut_out=False, nonce_hash=hash_secret(NONCE)
)
REGISTERED = KnownDevice(id=1, name="a", has_credential=False, is_shut_out=False, nonce_hash=None)


@pytest.mark.parametrize(
    ("allows", "device", "nonce", "reason"),
    [
        ("new", None, NONCE, Reason.NEW),
        ("known_serials", None, NONCE, Reason.UNKNOWN_SERIAL),
        ("known_serials", REGISTERED, NONCE, Reason.KNOWN),
        ("new", REGISTERED, NONCE, Reason.KNOWN),
        ("known_serials", CAME, NONCE, Reason.AGAIN),
        ("new", CAME, "x" * 32, Reason.TAKEN),
        ("new", replace(REGISTERED, has_credential=True), NONCE, Reason.TAKEN),
        ("new", replace(CAME, is_shut_out=True), NONCE, Reason.SHUT_OUT),
    ],
)
def test_who_gets_in(allows: str, device: KnownDevice | None, nonce: str, reason: Reason) -> None:
    assert decide(allows=allows, device=device, nonce=nonce) == reason


@given(nonce=st.text(min_size=32, max_size=64), allows=st.sampled_from(["new", "known_serials"]))
def test_nobody_takes_the_place_of_a_device_without_its_nonce(nonce: str, allows: str) -> None:
    reason = decide(allows=allows, device=CAME, nonce=nonce)

    assert (reason == Reason.AGAIN) == (nonce == NONCE)


def test_a_key_counts_only_with_its_secret_its_product_and_before_its_end() -> None:
    asked = {
        "right": (ASKED, KEY),
        "no key": (ASKED, None),
        "wrong secret": (Request(product="kettle", key="pk-1", secret="x", serial="1"), KEY),
        "other product": (Request(product="pump", key="pk-1", secret="s3cret", serial="1"), KEY),
        "ended": (ASKED, replace(KEY, ends_at=NOW)),
        "ends later": (ASKED, replace(KEY, ends_at=NOW + timedelta(days=1))),
    }

    right = {name for name, (request, key) in asked.items() if is_right_key(request, key, now=NOW)}

    assert right == {"right", "ends later"}


@given(st.text(min_size=1, max_size=200), st.text(min_size=1, max_size=200))
def test_every_serial_number_has_a_name_of_its_own(one: str, other: str) -> None:
    names = {name_for("heat_pump", one), name_for("heat_pump", other)}

    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) for name in names)
    assert len(names) == len({one, other})


def test_a_readable_serial_number_stays_readable() -> None:
    assert name_for("heat_pump", "SN-0001") == "heat_pump-SN-0001"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"{}",
        b'{"product": "kettle", "key": "k", "secret": "s", "serial": ""}',
        b'{"product": "kettle", "key": "k", "secret": "s", "serial": "a\\u0000"}',
        b'{"product": "kettle", "key": "k", "secret": "s", "serial": "a", "nonce": "short"}',
        b"\xff",
        b"[" * 2000,
        b"{" + b" " * 3000 + b"}",
    ],
)
def test_what_is_no_request_is_refused(payload: bytes) -> None:
    with pytest.raises(InvalidError):
        read_request(payload)


def test_guessing_a_key_never_starves_the_devices() -> None:
    allowance = Allowance(right_per_minute=60, wrong_per_minute=6)

    guesses = [allowance.wait_s("pk-1", is_right=False, now_s=0.0) for _ in range(7)]
    device = allowance.wait_s("pk-1", is_right=True, now_s=0.0)
    later = allowance.wait_s("pk-1", is_right=False, now_s=float(guesses[-1]))

    assert guesses == [0] * 6 + [10]
    assert [device, later] == [0, 0]

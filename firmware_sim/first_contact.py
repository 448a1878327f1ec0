"""A device's first contact: it shows its product's key and gets a credential of its own.

The nonce is on disk before the first request: whoever lost the answer asks again with it, gets a new
credential, and nobody else can.
"""

import json
import queue
import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import orjson
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from firmware_sim import log
from firmware_sim.clock import pause
from firmware_sim.connection import Address
from firmware_sim.errors import SimulatorError
from firmware_sim.fleet import Unit

ANSWER_WITHIN_S = 10.0
_ATTEMPTS_MAX = 30
_AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductKey:
    product: str
    key: str
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """What a device was given; its name may be another one than the factory had in mind."""

    device: str
    shard: str
    password: str
    mqtt_url: str


def parse_product_keys(words: tuple[str, ...]) -> dict[str, ProductKey]:
    """Read `product=key:secret` words. Pure."""
    found = {}
    for word in words:
        product, _, rest = word.partition("=")
        key, _, secret = rest.partition(":")
        if not (product and key and secret):
            raise SimulatorError(
                "a --provision-key is no PRODUCT=KEY:SECRET",
                hint="`forecare product key PRODUCT --new` makes key and secret",
            )
        found[product] = ProductKey(product=product, key=key, secret=secret)
    return found


def new_nonce() -> str:
    return secrets.token_hex(32)


def contact_all(
    units: Mapping[str, Unit],
    *,
    address: Address,
    keys: Mapping[str, ProductKey],
    nonces: Mapping[str, str],
    keep: Callable[[str, Contact], None],
) -> None:
    """Let all these devices come for their credentials, some at a time; `keep` gets each at once."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        waiting = {
            name: pool.submit(
                contact, unit, address=address, key=keys[unit.product], nonce=nonces[name]
            )
            for name, unit in units.items()
        }
        for name, answer in waiting.items():
            keep(name, answer.result())


def contact(unit: Unit, *, address: Address, key: ProductKey, nonce: str) -> Contact:
    """Ask until there is an answer.

    Raises
    ------
    SimulatorError
        If the platform says no for good, or nothing at all.
    """
    request = {
        "product": unit.product,
        "key": key.key,
        "secret": key.secret,
        "serial": unit.serial,
        "nonce": nonce,
        "firmware": unit.firmware,
        "lot": unit.lot,
    }
    for _ in range(_ATTEMPTS_MAX):
        answer = _ask(address, request)
        if answer is None:
            continue
        if "error" not in answer:
            return Contact(
                device=str(answer["device"]),
                shard=str(answer["shard"]),
                password=str(answer["password"]),
                mqtt_url=str(answer["mqtt_url"]),
            )
        wait_s = float(answer.get("retry_after_s", 0))
        if wait_s <= 0:
            raise SimulatorError(
                f"{unit.serial} gets no credential: {answer['error']}",
                hint=str(answer.get("hint", "")),
            )
        log.info("first_contact.wait", serial=unit.serial, seconds=wait_s)
        pause(min(wait_s, 60.0))
    raise SimulatorError(
        f"{unit.serial} got no answer at its first contact",
        hint="does the gateway run, and is --provision-url the address of its first-contact port?",
    )


def _ask(address: Address, request: Mapping[str, Any]) -> dict[str, Any] | None:
    """Make one connection under a name of its own; None if no answer comes in time."""
    answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    name = secrets.token_hex(16)
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv5)
    client.on_connect = lambda c, *_: c.subscribe(f"provision/{name}/answer", qos=1)
    client.on_subscribe = lambda c, *_: c.publish(
        f"provision/{name}/request", orjson.dumps(request), qos=1
    )
    client.on_message = lambda _c, _u, message: answers.put(bytes(message.payload))
    if address.is_tls:
        client.tls_set()
    try:
        client.connect(address.host, address.port)
    except OSError:
        pause(1.0)
        return None
    client.loop_start()
    try:
        found: dict[str, Any] = json.loads(answers.get(timeout=ANSWER_WITHIN_S))
    except (queue.Empty, ValueError):
        return None
    finally:
        client.disconnect()
        client.loop_stop()
    return found

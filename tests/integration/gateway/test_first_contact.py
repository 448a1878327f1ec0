"""A device comes with nothing but its product's key, and leaves with a credential of its own."""

import contextlib
import json
import multiprocessing
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mqtt5
import pytest

from core.clock import wall_now
from core.failpoint import set_up_failpoints
from core.pool import Pool, make_pool
from core.settings import Settings
from gateway import service
from gateway.broker import sync_broker
from gateway.ca.folder import CaFolder
from gateway.first_contact import service as contact
from gateway.first_contact.allowance import Allowance
from gateway.first_contact.counter import (
    CONNECTIONS_MAX,
    PACKET_BYTES_MAX,
    Counter,
    server_certificate,
)
from gateway.first_contact.service import NewKey, Reception
from gateway.records import DeviceCredential, DeviceDraft
from tests.integration.gateway.client import Device, RefusedError, TlsDevice
from tests.integration.gateway.sheets import SMALL

Told = dict[str, Any]
ID = "5d" * 16
NONCE = "a nonce of this device alone, kept by it"


@pytest.fixture
def key(pool: Pool) -> NewKey:
    service.register_product(pool, toml_text=SMALL, source="kettle.toml", now=wall_now())
    return contact.add_product_key(pool, product="kettle", allows="new", now=wall_now())


@pytest.fixture
def counter(pool: Pool, runtime_settings: Settings, key: NewKey) -> Iterator[Counter]:
    reception = Reception(pool, runtime_settings, allowance=Allowance())
    opened = Counter(reception, host="127.0.0.1", port=0)
    opened.start()
    yield opened
    opened.close()


def request(key: NewKey, **changes: object) -> Told:
    asked = {"product": "kettle", "key": key.key, "secret": key.secret, "serial": "SN-1"}
    return asked | {"nonce": NONCE, "firmware": "1.0.0", "lot": "L1"} | changes


def visitor(counter: Counter, client_id: str = ID) -> Device:
    return Device("127.0.0.1", counter.port, "", "", client_id=client_id)


def ask(counter: Counter, asked: object, client_id: str = ID) -> Told:
    with visitor(counter, client_id) as device:
        device.subscribe(f"provision/{client_id}/answer")
        device.send(asked, topic=f"provision/{client_id}/request")
        packet = device.read(mqtt5.PublishPacket)
        assert packet.topic == f"provision/{client_id}/answer"
        told: Told = json.loads(packet.payload)
        return told


def connect(broker: Any, told: Told) -> Device:
    credential = DeviceCredential(
        name=told["device"], shard=told["shard"], user=told["user"], password=told["password"]
    )
    return Device.of(broker, credential)


def test_the_credential_lets_the_device_in_at_once(
    broker: Any, counter: Counter, key: NewKey, pool: Pool
) -> None:
    told = ask(counter, request(key))

    with connect(broker, told) as device:
        assert device.publish({"water_c": 20}) in (
            mqtt5.PubAckReasonCode.SUCCESS,
            mqtt5.PubAckReasonCode.NO_MATCHING_SUBSCRIBERS,
        )
    assert told["device"] == "kettle-SN-1"
    assert told["mqtt_url"] == f"mqtt://{broker.host}:{broker.port}"
    (row,) = service.devices(pool)
    assert (row.serial, row.lot, row.firmware) == ("SN-1", "L1", "1.0.0")


def test_a_device_that_lost_the_answer_asks_again(
    broker: Any, counter: Counter, key: NewKey
) -> None:
    first = ask(counter, request(key))

    again = ask(counter, request(key), client_id="ab" * 16)

    assert again["device"] == first["device"]
    with connect(broker, again):
        pass
    with pytest.raises(RefusedError), connect(broker, first):
        pass


def test_without_a_nonce_the_client_id_takes_its_place(counter: Counter, key: NewKey) -> None:
    asked = {name: value for name, value in request(key).items() if name != "nonce"}

    told = [ask(counter, asked, client_id) for client_id in (ID, ID, "00" * 16)]

    assert [t.get("error") for t in told] == [None, None, "taken"]


def test_who_knows_key_and_serial_number_alone_takes_nobody_s_place(
    broker: Any, counter: Counter, key: NewKey
) -> None:
    owned = ask(counter, request(key))

    with connect(broker, owned) as device:
        thief = ask(counter, request(key, nonce="another nonce of at least thirty-two"))

        assert thief["error"] == "taken"
        assert "forecare device reset" in thief["hint"]
        device.subscribe(device.topic("stored"))  # still connected


def test_an_operator_lets_a_replaced_board_come_again(
    broker: Any, counter: Counter, key: NewKey, pool: Pool, runtime_settings: Settings
) -> None:
    old = ask(counter, request(key))

    with connect(broker, old) as device:
        contact.reset_device(pool, name=old["device"])
        sync_broker(pool, runtime_settings)
        with pytest.raises(ConnectionError):
            device.read_to_the_end()
    new = ask(counter, request(key, nonce="the nonce of the new board, long enough"))

    assert new["device"] == old["device"]


def test_only_registered_serial_numbers_may_come_where_the_key_says_so(
    counter: Counter, key: NewKey, pool: Pool
) -> None:
    known = contact.add_product_key(pool, product="kettle", allows="known_serials", now=wall_now())
    service.add_devices(
        pool,
        product="kettle",
        drafts=[DeviceDraft(name="k1", serial="SN-7")],
        now=wall_now(),
        has_credentials=False,
    )

    told = [ask(counter, request(known, serial=serial)) for serial in ("SN-7", "SN-8")]

    assert told[0]["device"] == "k1"
    assert told[1]["error"] == "unknown_serial"


def test_a_device_with_a_credential_made_by_hand_is_nobody_else_s(
    counter: Counter, key: NewKey, pool: Pool
) -> None:
    drafts = [DeviceDraft(name="k1", serial="SN-1")]
    service.add_devices(pool, product="kettle", drafts=drafts, now=wall_now())

    assert ask(counter, request(key))["error"] == "taken"


def test_a_revoked_device_stays_out(counter: Counter, key: NewKey, pool: Pool) -> None:
    told = ask(counter, request(key))

    service.revoke_device(pool, name=told["device"], now=wall_now())

    assert ask(counter, request(key))["error"] == "shut_out"


def test_a_wrong_secret_another_product_and_an_ended_key_are_told_alike(
    counter: Counter, key: NewKey, pool: Pool
) -> None:
    wrong = [
        ask(counter, request(key, secret="x")),
        ask(counter, request(key, product="pump")),
        ask(counter, request(key) | {"key": "pk-0000000000000000"}),
    ]
    contact.end_product_keys(pool, product="kettle", ends_at=wall_now(), now=wall_now())
    wrong.append(ask(counter, request(key)))

    assert [told["error"] for told in wrong] == ["wrong_key"] * 4
    assert service.devices(pool) == ()


def test_guessing_is_slowed_and_says_how_long(counter: Counter, key: NewKey) -> None:
    told = [ask(counter, request(key, secret=f"{i}")) for i in range(22)]

    assert told[-1]["error"] == "too_many"
    assert told[-1]["retry_after_s"] >= 1
    assert "device" in ask(counter, request(key))


@pytest.mark.parametrize("payload", [b"{}", b"\xff", b"[" * 1500, b'{"serial": 1}'])
def test_what_is_no_request_is_answered_with_what_is_wrong(
    counter: Counter, payload: bytes
) -> None:
    told = ask(counter, payload)

    assert told["error"] == "unreadable"
    assert told["hint"]


def test_a_visitor_hears_and_says_nothing_else(counter: Counter, key: NewKey) -> None:
    with visitor(counter) as device:
        codes = device.subscribe("#", "provision/+/answer", "fc/#", f"provision/{ID}/answer")
        said = device.publish(request(key), topic="fc/00/kettle-SN-1/telemetry")

    refused = mqtt5.SubAckReasonCode.NOT_AUTHORIZED
    assert [code == refused for code in codes] == [True, True, True, False]
    assert said == mqtt5.PubAckReasonCode.NOT_AUTHORIZED


@pytest.mark.parametrize("client_id", ["+", "a/b", "x" * 200, "#"])
def test_a_client_id_that_could_mean_others_is_refused(counter: Counter, client_id: str) -> None:
    with pytest.raises(RefusedError), visitor(counter, client_id):
        pass


@pytest.mark.parametrize(
    "junk", [b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 100, b"\x10\xff\xff\xff\x7f"]
)
def test_who_speaks_no_mqtt_is_shown_the_door(counter: Counter, junk: bytes, key: NewKey) -> None:
    with socket.create_connection(("127.0.0.1", counter.port), timeout=30) as stranger:
        stranger.sendall(junk + b"\x00" * PACKET_BYTES_MAX)
        with contextlib.suppress(ConnectionResetError):
            assert stranger.recv(10) == b""
    assert "device" in ask(counter, request(key))


def test_too_many_visitors_are_turned_away_and_none_stays_for_ever(
    counter: Counter, key: NewKey
) -> None:
    idle = [
        socket.create_connection(("127.0.0.1", counter.port), timeout=30)
        for _ in range(CONNECTIONS_MAX)
    ]
    one_more = socket.create_connection(("127.0.0.1", counter.port), timeout=30)
    with one_more, contextlib.suppress(ConnectionResetError):
        assert one_more.recv(1) == b""
    for visitor_socket in idle:
        visitor_socket.close()
    told: Told = {}
    while not told:  # a place is free as soon as its thread has seen the end
        with contextlib.suppress(ConnectionError):
            told = ask(counter, request(key))
    assert "device" in told


def _die_in_between(settings: Settings, asked: bytes) -> None:
    set_up_failpoints("gateway.first_contact:kill:1")
    pool = make_pool(settings.database_url, name="dies")
    Reception(pool, settings, allowance=Allowance()).answer(asked, client_id=ID, now=wall_now())


def test_a_crash_before_the_answer_costs_the_device_one_more_question(
    broker: Any, counter: Counter, key: NewKey, runtime_settings: Settings, pool: Pool
) -> None:
    dying = multiprocessing.get_context("spawn").Process(
        target=_die_in_between, args=(runtime_settings, json.dumps(request(key)).encode())
    )
    dying.start()
    dying.join()
    assert dying.exitcode == -signal.SIGKILL
    assert [row.name for row in service.devices(pool)] == ["kettle-SN-1"]

    told = ask(counter, request(key))

    with connect(broker, told):
        pass


def test_with_a_certificate_of_the_broker_the_door_speaks_tls(
    pool: Pool, runtime_settings: Settings, key: NewKey, tmp_path: Path
) -> None:
    folder = CaFolder(tmp_path / "ca", passphrase=str)
    folder.begin(passphrase="", now=wall_now())
    folder.issue_server(["127.0.0.1"], now=wall_now())
    door = Counter(
        Reception(pool, runtime_settings, allowance=Allowance()),
        host="127.0.0.1",
        port=0,
        certificate=server_certificate(folder.root),
    )
    door.start()
    try:
        client = TlsDevice("127.0.0.1", door.port, "", "", client_id=ID)
        with client.with_files(None, trusted=folder.root / "ca.crt") as device:
            device.subscribe(f"provision/{ID}/answer")
            device.send(request(key), topic=f"provision/{ID}/request")
            told = json.loads(device.read(mqtt5.PublishPacket).payload)
    finally:
        door.close()

    assert told["device"] == "kettle-SN-1"

"""The effective configuration of the broker, seen from outside."""

from collections.abc import Sequence
from typing import Any

import mqtt5
import pytest

from core.clock import wall_now
from core.endpoints import mqtt_endpoint
from core.pool import Pool
from core.runtime.service import BrokerPorts
from core.settings import Settings
from gateway import service
from gateway.broker import (
    GATEWAY_USER,
    ingest_user,
    let_user_in,
    sync_broker,
    write_broker_files,
)
from gateway.passwords import hash_password
from gateway.records import BrokerUser, DeviceCredential, DeviceDraft
from tests.integration.gateway.client import Device, RefusedError
from tests.integration.gateway.sheets import SMALL

DENIED = mqtt5.PubAckReasonCode.NOT_AUTHORIZED
Credentials = Sequence[DeviceCredential]


@pytest.fixture
def pair(pool: Pool, runtime_settings: Settings, broker: Any) -> Credentials:
    service.register_product(pool, toml_text=SMALL, source="kettle.toml", now=wall_now())
    drafts = [DeviceDraft(name=name, serial=name) for name in ("ada", "bob")]
    credentials = service.add_devices(pool, product="kettle", drafts=drafts, now=wall_now())
    sync_broker(pool, runtime_settings)
    return credentials


def service_client(broker: Any, settings: Settings, user: str) -> Device:
    return Device(broker.host, broker.port, user, mqtt_endpoint(settings, user).password)


def test_nobody_connects_without_a_credential(broker: Any, pair: Credentials) -> None:
    for user, password in (("", ""), ("ada", ""), ("ada", pair[1].password), ("eve", "x")):
        with (
            pytest.raises(RefusedError) as caught,
            Device(broker.host, broker.port, user, password, client_id="x"),
        ):
            pass
        assert caught.value.reason == mqtt5.ConnAckReasonCode.NOT_AUTHORIZED


def test_taking_another_device_s_client_id_pushes_nobody_off(
    broker: Any, pair: Credentials
) -> None:
    with Device.of(broker, pair[0]) as ada:
        ada.subscribe(ada.topic("stored"))

        with Device.of(broker, pair[1], client_id="ada") as bob:
            bob.subscribe(bob.topic("stored"))

            assert ada.hears_nothing(probe=ada.topic("config"))
            assert bob.publish(b"{}", topic=ada.topic()) == DENIED


def test_a_device_writes_only_below_its_own_name(broker: Any, pair: Credentials) -> None:
    foreign = (
        "fc/00/ada/telemetry",
        "fc/00/ada/will",
        "fc/00/bob/stored",
        "fc/00/bob/command",
        "fc/00/bob/telemetry/x",
        "fc/telemetry",
        "ada",
        "fc/00/forecare.ingest.0/telemetry",
    )
    with Device.of(broker, pair[1]) as bob:
        answers = {topic: bob.publish(b"{}", topic=topic) for topic in foreign}

    assert answers == dict.fromkeys(foreign, DENIED)


def test_a_device_hears_nothing_that_is_not_its_own(
    broker: Any, pair: Credentials, runtime_settings: Settings
) -> None:
    ingest = service_client(broker, runtime_settings, ingest_user(0))
    with Device.of(broker, pair[0]) as ada, Device.of(broker, pair[1]) as bob, ingest:
        patterns = ("#", "fc/#", "fc/+/ada/stored", "fc/+/+/telemetry", "$share/x/fc/#", "$SYS/#")
        bob.subscribe(*patterns)
        ada.publish(b"{}")
        ingest.publish(b'{"boot": 1, "seq": 1}', topic=ada.topic("stored"))

        assert bob.hears_nothing(probe=bob.topic("config"))


def test_a_device_hears_what_is_stored_of_it(
    broker: Any, pair: Credentials, runtime_settings: Settings
) -> None:
    ingest = service_client(broker, runtime_settings, ingest_user(0))
    with Device.of(broker, pair[0]) as ada, ingest:
        ada.subscribe(ada.topic("stored"))

        ingest.publish(b'{"boot": 1, "seq": 9}', topic=ada.topic("stored"))

        assert ada.stored() == (1, 9)


def test_a_will_in_another_name_is_never_delivered(
    broker: Any, pair: Credentials, runtime_settings: Settings
) -> None:
    gateway = service_client(broker, runtime_settings, GATEWAY_USER)
    wills = [
        mqtt5.Will(topic, payload=b"{}", qos=mqtt5.QoS.AT_LEAST_ONCE)
        for topic in ("fc/00/ada/will", "fc/00/bob/will")
    ]
    with gateway:
        gateway.subscribe("fc/+/+/will")

        for will in wills:
            with Device.of(broker, pair[1], will=will):
                pass  # the connection breaks without a farewell

        assert gateway.read(mqtt5.PublishPacket).topic == "fc/00/bob/will"
        assert gateway.hears_nothing(probe="fc/+/+/birth")


def test_a_revoked_device_is_thrown_out_and_stays_out(
    broker: Any, pair: Credentials, pool: Pool, runtime_settings: Settings
) -> None:
    with Device.of(broker, pair[0]) as ada, Device.of(broker, pair[1]) as bob:
        service.revoke_device(pool, name="ada", now=wall_now())
        assert sync_broker(pool, runtime_settings)

        with pytest.raises(ConnectionError):
            ada.read_to_the_end()
        bob.subscribe(bob.topic("stored"))  # the others stay connected
    with pytest.raises(RefusedError), Device.of(broker, pair[0]):
        pass


def test_a_rotated_credential_replaces_the_old_one(
    broker: Any, pair: Credentials, pool: Pool, runtime_settings: Settings
) -> None:
    new = service.rotate_credential(pool, name="ada", now=wall_now())
    sync_broker(pool, runtime_settings)

    with Device.of(broker, new):
        pass
    with pytest.raises(RefusedError), Device.of(broker, pair[0]):
        pass


def test_writing_the_files_again_keeps_the_devices(broker: Any, pair: Credentials) -> None:
    write_broker_files(broker.directory, BrokerPorts(mqtt=broker.port))
    broker.reload()

    with Device.of(broker, pair[0]):
        pass
    assert (broker.directory / "passwords").stat().st_mode & 0o007 == 0


def test_a_user_of_the_operators_own_outlives_a_change_of_credentials(
    broker: Any, pool: Pool, runtime_settings: Settings, pair: Credentials
) -> None:
    bridge = BrokerUser(name="acme.bridge", password_hash=hash_password("a secret"))
    let_user_in(broker.directory, bridge, topics=["read fc/+/+/telemetry"])

    service.rotate_credential(pool, name=pair[0].name, now=wall_now())
    sync_broker(pool, runtime_settings)

    with Device(broker.host, broker.port, "acme.bridge", "a secret") as client:
        assert client.publish({}, topic="fc/00/ada/telemetry") == DENIED
    for name in ("acl.own", "passwords.own"):
        (broker.directory / name).unlink()

"""Who is there, as the rows say, in whatever order births and wills come."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import mqtt5
import pytest

from core.clock import wall_now
from core.pool import Pool
from core.runtime import service as runtime
from core.settings import Settings, variable_of
from gateway import service, store
from gateway.broker import GATEWAY_USER, sync_broker
from gateway.records import DeviceCredential, DeviceDraft
from tests.integration.gateway.client import Device
from tests.integration.gateway.sheets import SMALL
from tests.integration.ingest.conftest import forget_session


@pytest.fixture
def ada(pool: Pool, runtime_settings: Settings, broker: Any) -> DeviceCredential:
    service.register_product(pool, toml_text=SMALL, source="kettle.toml", now=wall_now())
    drafts = [DeviceDraft(name="ada", serial="1")]
    (credential,) = service.add_devices(pool, product="kettle", drafts=drafts, now=wall_now())
    sync_broker(pool, runtime_settings)
    return credential


@pytest.fixture
def gateway(runtime_settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    # Else the broker may keep births for the session of an earlier test's gateway, and drop them.
    forget_session(runtime_settings, GATEWAY_USER)
    names = ("runtime_dir", "database_url", "mqtt_url", "broker_dir")
    given = {variable_of(name): getattr(runtime_settings, name) for name in names}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FORECARE_")} | given
    command = [sys.executable, "-m", "core.cli", "gateway", "run"]
    process = subprocess.Popen(command, env=environment)
    yield process
    process.kill()
    process.wait()


def is_connected(pool: Pool) -> bool | None:
    return service.device_by_name(pool, name="ada").is_connected


def wait_for(pool: Pool, *, connected: bool) -> None:
    ends_s = time.monotonic() + 120
    while is_connected(pool) is not connected:
        assert time.monotonic() < ends_s, f"never became connected={connected}"
        time.sleep(0.02)


def test_a_late_will_of_an_older_boot_changes_nothing(pool: Pool, ada: DeviceCredential) -> None:
    with pool.connection() as connection:
        now = wall_now()
        assert store.device_born(connection, "ada", boot=2, firmware="4.3", now=now)

        assert not store.device_gone(connection, "ada", boot=1, now=now)
        assert not store.device_born(connection, "ada", boot=1, firmware="4.2", now=now)
    found = service.device_by_name(pool, name="ada")
    assert (found.is_connected, found.firmware) == (True, "4.3")


def test_a_session_is_followed_over_restarts_of_broker_and_database(
    broker: Any, pool: Pool, ada: DeviceCredential, gateway: subprocess.Popen[bytes]
) -> None:
    def birth(device: Device, boot: int) -> None:
        text = json.dumps({"boot": boot, "firmware": "4.2", "product": "kettle"}).encode()
        topic = device.topic("birth")
        while device.publish(text, topic=topic) == mqtt5.PubAckReasonCode.NO_MATCHING_SUBSCRIBERS:
            time.sleep(0.02)

    def will(boot: int) -> mqtt5.Will:
        payload = json.dumps({"boot": boot}).encode()
        topic = f"fc/{ada.shard}/ada/will"
        return mqtt5.Will(topic, payload=payload, qos=mqtt5.QoS.AT_LEAST_ONCE)

    with Device.of(broker, ada, will=will(1)) as device:
        birth(device, 1)
        wait_for(pool, connected=True)
    wait_for(pool, connected=False)

    runtime.restart_broker(broker.paths)
    runtime.restart_postgres(broker.paths)

    with Device.of(broker, ada, will=will(2)) as device:
        birth(device, 2)
        wait_for(pool, connected=True)
    wait_for(pool, connected=False)
    gateway.terminate()
    assert gateway.wait(timeout=60) == 0


def test_a_device_added_without_telling_the_broker_is_let_in_by_the_gateway(
    broker: Any, pool: Pool, ada: DeviceCredential, gateway: subprocess.Popen[bytes]
) -> None:
    credential = service.rotate_credential(pool, name="ada", now=wall_now())

    ends_s = time.monotonic() + 120
    while True:
        try:
            with Device.of(broker, credential):
                break
        except Exception:  # noqa: BLE001 - refused until the gateway has looked
            assert time.monotonic() < ends_s
            time.sleep(0.1)

"""Campaigns over a real broker, with a device that knows the wire format alone."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from core.clock import wall_now
from core.pool import Pool
from core.settings import Settings, variable_of
from gateway import service as registry
from gateway.broker import GATEWAY_USER, sync_broker
from gateway.campaign import service
from gateway.campaign.records import Campaign, CampaignDraft, MemberRow
from gateway.firmware import image as images
from gateway.firmware import service as firmware
from gateway.firmware.service import FirmwareDraft
from gateway.records import DeviceCredential, DeviceDraft
from tests.integration.gateway.client import Device
from tests.integration.gateway.sheets import SMALL
from tests.integration.gateway.updatable import Updatable, progress, say
from tests.integration.ingest.conftest import forget_session

IMAGE = bytes(range(256)) * 800  # 204,800 bytes, 13 pieces
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
DRAFT = CampaignDraft(
    product="kettle",
    version="2.0",
    stages=(1.0,),
    per_hour=36_000,
    hold=timedelta(0),
    watch=timedelta(0),
    offers_max=3,
)
Start = Callable[..., "subprocess.Popen[bytes]"]


def signed_draft(version: str = "2.0", image: bytes = IMAGE) -> FirmwareDraft:
    return FirmwareDraft(
        product="kettle",
        version=version,
        image=image,
        signature=images.sign(KEY, product="kettle", version=version, image=image),
        public_key=PUBLIC,
    )


@pytest.fixture
def kettles(pool: Pool, runtime_settings: Settings, broker: Any) -> Sequence[DeviceCredential]:
    now = wall_now()
    registry.register_product(pool, toml_text=SMALL, source="kettle.toml", now=now)
    # Names of this test's own: a gateway killed by the test before leaves messages in the broker.
    mark = uuid4().hex[:8]
    drafts = [DeviceDraft(name=f"k{i}-{mark}", serial=f"{i}", firmware="1.0") for i in range(4)]
    credentials = registry.add_devices(pool, product="kettle", drafts=drafts, now=now)
    firmware.add_firmware(pool, signed_draft(), by="test", now=now)
    sync_broker(pool, runtime_settings)
    # Else the broker keeps births for the session of an earlier test's gateway, whose rights it has
    # forgotten when it read its files anew, and drops them (docs/decisions/0006).
    forget_session(runtime_settings, GATEWAY_USER)
    return credentials


@pytest.fixture
def start_gateway(runtime_settings: Settings) -> Iterator[Start]:
    """Start gateway processes of this installation; all end with the test."""
    names = ("runtime_dir", "database_url", "mqtt_url", "broker_dir")
    given = {variable_of(name): getattr(runtime_settings, name) for name in names}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FORECARE_")} | given
    processes: list[subprocess.Popen[bytes]] = []

    def start(failpoint: str = "") -> subprocess.Popen[bytes]:
        more = {"FORECARE_FAILPOINT": failpoint} if failpoint else {}
        command = [sys.executable, "-m", "core.cli", "gateway", "run"]
        processes.append(subprocess.Popen(command, env=environment | more))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def begun(pool: Pool, **more: Any) -> Campaign:
    made = service.create_campaign(pool, replace(DRAFT, **more), by="test", now=wall_now())
    return service.start(pool, campaign_id=made.id, by="test", now=wall_now())


def device(pool: Pool, name: str = "k0") -> MemberRow:
    rows = service.members(pool, campaign_id=1, limit=10)
    return next(row for row in rows if row.device.startswith(f"{name}-"))


def wait_for(pool: Pool, *states: str, name: str = "k0") -> MemberRow:
    ends_s = time.monotonic() + 120
    while (found := device(pool, name)).state not in states:
        assert time.monotonic() < ends_s, f"{found.state} ({found.reason}), never {states}"
        time.sleep(0.05)
    return found


def wait_for_campaign(pool: Pool, state: str) -> Campaign:
    ends_s = time.monotonic() + 120
    while (found := service.campaign(pool, campaign_id=1).campaign).state != state:
        assert time.monotonic() < ends_s, f"{found.state} ({found.reason}), never {state}"
        time.sleep(0.05)
    return found


def test_an_update_goes_on_after_a_reboot_in_the_middle(
    broker: Any, pool: Pool, kettles: Sequence[DeviceCredential], start_gateway: Start
) -> None:
    start_gateway()
    begun(pool)
    kettle = Updatable(product="kettle", public_key=PUBLIC)
    with Device.of(broker, kettles[0]) as line:
        kettle.be_born(line)
        kettle.download(line, kettle.offer(line), until=6)

    kettle.boot = 2
    with Device.of(broker, kettles[0]) as line:
        kettle.be_born(line)
        offer = kettle.offer(line)
        kettle.download(line, offer)
        assert kettle.is_sound(offer)
        for state in ("downloaded", "verified", "installing"):
            progress(line, state)
        wait_for(pool, "installing")

    kettle.boot, kettle.version = 3, "2.0"
    with Device.of(broker, kettles[0]) as line:
        kettle.be_born(line)
        found = wait_for(pool, "installed")

    assert kettle.asked_for == [0, 4, 6, 10]
    assert found.offers >= 2
    assert found.firmware == "2.0"
    history = firmware.device_versions(pool, device=kettles[0].name)
    assert [row.version for row in history] == ["2.0", "1.0"]


def test_a_signature_that_the_device_refuses_is_a_failure_with_its_reason(
    broker: Any, pool: Pool, kettles: Sequence[DeviceCredential], start_gateway: Start
) -> None:
    start_gateway()
    begun(pool)
    stranger = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()
    kettle = Updatable(product="kettle", public_key=stranger)

    with Device.of(broker, kettles[0]) as line:
        kettle.be_born(line)
        offer = kettle.offer(line)
        kettle.download(line, offer)
        assert not kettle.is_sound(offer)
        progress(line, "failed", error="the signature is not of our key")
        found = wait_for(pool, "failed")

    assert found.reason == "the signature is not of our key"


def test_a_gateway_killed_in_the_middle_of_a_download_doubles_nothing(
    broker: Any, pool: Pool, kettles: Sequence[DeviceCredential], start_gateway: Start
) -> None:
    first = start_gateway()
    begun(pool)
    kettle = Updatable(product="kettle", public_key=PUBLIC)
    with Device.of(broker, kettles[0]) as line:
        kettle.be_born(line)
        offer = kettle.offer(line)
        kettle.download(line, offer, until=5)

        first.kill()
        first.wait()
        say(line, "fetch", {"campaign": 1, "chunk": 5, "count": 1})
        start_gateway()
        kettle.download(line, offer)

        assert kettle.is_sound(offer)
        found = wait_for(pool, "downloading")
    assert found.offers <= 2  # an offer that got lost is repeated after half a minute


def test_a_gateway_killed_before_it_sends_an_offer_makes_it_again(
    broker: Any, pool: Pool, kettles: Sequence[DeviceCredential], start_gateway: Start
) -> None:
    """The tick before the crash is rolled back with the offer in it; what is committed is repeated."""
    kettle = Updatable(product="kettle", public_key=PUBLIC)
    with Device.of(broker, kettles[0]) as line:
        gateway = start_gateway()
        kettle.be_born(line)
        begun(pool)
        kettle.offer(line)
        gateway.kill()
        gateway.wait()
        with pool.connection() as connection:
            connection.execute(
                "update gateway.campaign_device set due_at = now() where state = 'offered'"
            )

        start_gateway()
        kettle.offer(line)

        # One more, or the same again if the birth was not acknowledged before the kill.
        assert wait_for(pool, "offered").offers in (1, 2)


@pytest.mark.parametrize("point", ["campaign.stage", "campaign.ended"])
def test_a_gateway_killed_at_a_turn_takes_it_once(
    broker: Any,
    pool: Pool,
    kettles: Sequence[DeviceCredential],
    start_gateway: Start,
    point: str,
) -> None:
    begun(pool, stages=(0.5, 1.0))
    with pool.connection() as connection:
        connection.execute(
            "update gateway.campaign_device set state = 'installed' where stage = 0 or %s",
            [point == "campaign.ended"],
        )

    crashed = start_gateway(f"{point}:kill:1")
    assert crashed.wait(timeout=120) == -9
    assert service.campaign(pool, campaign_id=1).campaign.stage == 0
    start_gateway()

    if point == "campaign.ended":
        wait_for_campaign(pool, "done")
    else:
        ends_s = time.monotonic() + 120
        while service.campaign(pool, campaign_id=1).campaign.stage != 1:
            assert time.monotonic() < ends_s
            time.sleep(0.05)
    actions = [event.action for event in service.campaign(pool, campaign_id=1).events]
    assert actions == [{"campaign.ended": "done"}.get(point, "stage"), "started", "created"]


def test_a_cancelled_campaign_withdraws_its_offers(
    broker: Any, pool: Pool, kettles: Sequence[DeviceCredential], start_gateway: Start
) -> None:
    start_gateway()
    begun(pool)
    kettle = Updatable(product="kettle", public_key=PUBLIC)
    with Device.of(broker, kettles[0]) as line:
        kettle.be_born(line)
        kettle.download(line, kettle.offer(line), until=3)

        service.cancel(pool, campaign_id=1, by="test", reason="wrong lot", now=wall_now())

        assert kettle.offer(line) == {"campaign": 1, "cancelled": True}
        say(line, "fetch", {"campaign": 1, "chunk": 5, "count": 1})
        assert kettle.offer(line) == {"campaign": 1, "cancelled": True}
        say(line, "fetch", {"campaign": 99, "chunk": 5, "count": 1})
        assert kettle.offer(line, campaign=99) == {"campaign": 99, "cancelled": True}
    assert {row.state for row in service.members(pool, campaign_id=1, limit=9)} == {"skipped"}

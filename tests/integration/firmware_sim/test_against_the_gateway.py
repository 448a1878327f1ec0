"""Simulated devices and the real gateway process, over the real broker: each side as it ships."""

import secrets
from datetime import timedelta

import pytest

from core.clock import wall_now
from firmware_sim.connection import Identity
from firmware_sim.image import Behaviour, make_image
from gateway import service as registry
from gateway.broker import sync_broker
from gateway.campaign import service as campaigns
from gateway.campaign.records import CampaignDraft
from gateway.device_commands import service as commands
from gateway.device_commands.records import CommandDraft
from gateway.firmware import image as images
from gateway.firmware import service as firmware
from gateway.records import DeviceDraft
from gateway.sheet import sheet_path
from gateway.twin import service as twin
from tests.integration.firmware_sim.peer import new_key
from tests.integration.firmware_sim.rig import Rig
from tests.integration.gateway.running import running_gateway

DRAFT = CampaignDraft(
    product="heat_pump",
    version="4.4.0",
    stages=(1.0,),
    per_hour=36_000,
    hold=timedelta(0),
    watch=timedelta(0),
    offers_max=4,
)


@pytest.fixture
def key():
    return new_key()


@pytest.fixture
def rig(tmp_path, pool, broker, runtime_settings, key, monkeypatch):
    """A heat pump of a registered product, with a credential of its own.

    Under a new name for each test: wills of an earlier one may wait in the gateway's session.
    """
    # The broker may drop a birth that comes before the gateway is back from its restart.
    monkeypatch.setattr("firmware_sim.client.GREET_EVERY_S", 4.0)
    name = f"hp-{secrets.token_hex(4)}"
    text = sheet_path("heat_pump").read_text(encoding="utf-8")
    registry.register_product(pool, toml_text=text, source="heat_pump.toml", now=wall_now())
    (credential,) = registry.add_devices(
        pool,
        product="heat_pump",
        drafts=[DeviceDraft(name=name, serial="9", firmware="4.2.1")],
        now=wall_now(),
    )
    sync_broker(pool, runtime_settings)
    identity = Identity(
        name=name,
        shard=credential.shard,
        password=credential.password,
        product="heat_pump",
        firmware="4.2.1",
    )
    made = []
    yield Rig(tmp_path, broker.port, made=made, key=key, identity=identity)
    for rig in made:
        if not rig.is_over:
            rig.crash()


def campaign_with(pool, image, key):
    signature = images.sign(key, product="heat_pump", version="4.4.0", image=image)
    draft = firmware.FirmwareDraft(
        product="heat_pump",
        version="4.4.0",
        image=image,
        signature=signature,
        public_key=key.public_key().public_bytes_raw(),
    )
    firmware.add_firmware(pool, draft, by="test", now=wall_now())
    made = campaigns.create_campaign(pool, DRAFT, by="test", now=wall_now())
    campaigns.start(pool, campaign_id=made.id, by="test", now=wall_now())


def member(pool):
    (found,) = campaigns.members(pool, campaign_id=1, limit=10)
    return found


def test_a_configuration_reaches_the_device_and_is_confirmed(pool, rig, runtime_settings):
    with running_gateway(runtime_settings):
        rig.until(lambda: twin.configuration(pool, name=rig.identity.name).is_confirmed)
        twin.change_configuration(
            pool,
            name=rig.identity.name,
            patch={"curve_offset_k": 1.5},
            actor="operator",
            now=wall_now(),
        )
        rig.until(lambda: twin.configuration(pool, name=rig.identity.name).differs_at is None)

    found = twin.configuration(pool, name=rig.identity.name)
    assert {entry.agreement for entry in found.entries} == {"same"}
    assert rig.history.settings[-1].values["curve_offset_k"] == 1.5


def test_a_restart_is_done_and_seen_as_a_new_boot(pool, rig, runtime_settings):
    now = wall_now()
    draft = CommandDraft(
        id="c-restart-1",
        device=rig.identity.name,
        name="restart",
        args={},
        deadline_at=now + timedelta(minutes=5),
        actor="operator",
    )
    commands.give_command(pool, draft, now=now)

    def state():
        return commands.command(pool, device=rig.identity.name, command_id="c-restart-1").state

    with running_gateway(runtime_settings):
        rig.until(lambda: state() == "done")

    found = commands.command(pool, device=rig.identity.name, command_id="c-restart-1")
    assert found.result == {"boot": 2}


def test_a_campaign_brings_a_new_version_over_a_restart_in_the_middle(
    pool, rig, runtime_settings, key
):
    image = make_image(Behaviour(reboots_midway=1.0), version="4.4.0")
    with running_gateway(runtime_settings):
        rig.until(lambda: registry.device_by_name(pool, name=rig.identity.name).is_connected)
        campaign_with(pool, image, key)
        rig.until(lambda: member(pool).state == "installed")

    assert registry.device_by_name(pool, name=rig.identity.name).firmware == "4.4.0"
    assert [row.version for row in firmware.device_versions(pool, device=rig.identity.name)] == [
        "4.4.0",
        "4.2.1",
    ]
    assert rig.courier.clients[rig.identity.name].boot == 3


def test_a_campaign_hears_that_installing_has_failed(pool, rig, runtime_settings, key):
    with running_gateway(runtime_settings):
        rig.until(lambda: registry.device_by_name(pool, name=rig.identity.name).is_connected)
        campaign_with(pool, make_image(Behaviour(fails=1.0), version="4.4.0"), key)
        rig.until(lambda: member(pool).state == "failed")

    assert member(pool).reason == "the flash memory did not take it"


def test_a_device_with_another_key_refuses_and_the_campaign_says_why(
    pool, rig, runtime_settings, key
):
    rig = replace_key(rig)
    with running_gateway(runtime_settings):
        rig.until(lambda: registry.device_by_name(pool, name=rig.identity.name).is_connected)
        campaign_with(pool, make_image(Behaviour(), version="4.4.0"), key)
        rig.until(lambda: member(pool).state == "failed")

    assert member(pool).reason == "the signature does not fit"


def replace_key(rig):
    rig.key = new_key()
    return rig.again()

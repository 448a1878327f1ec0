"""What the campaigns' desk decides from rows: who is offered what, when it goes on, when it stops."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from core.clock import wall_now
from core.errors import ConflictError, InvalidError, NotFoundError
from core.pool import Pool
from core.units import to_epoch_ms
from gateway import service as registry
from gateway import store as registry_store
from gateway.campaign import inspection, service, store
from gateway.campaign.desk import CampaignDesk
from gateway.campaign.records import Campaign, CampaignDraft
from gateway.campaign.store import CampaignFilter
from gateway.desk import Incoming, Outgoing
from gateway.firmware import image as images
from gateway.firmware import service as firmware
from gateway.firmware.service import FirmwareDraft
from gateway.presence_desk import PresenceDesk
from gateway.records import DeviceDraft
from gateway.topics import shard_of
from tests.integration.gateway.sheets import SMALL

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
IMAGE = bytes(range(256)) * 100


def draft(**more: Any) -> CampaignDraft:
    plan = {
        "product": "kettle",
        "version": "2.0",
        "stages": (0.25, 1.0),
        "per_hour": 36_000,
        "hold": timedelta(0),
        "watch": timedelta(0),
        "offers_max": 2,
    }
    return CampaignDraft(**plan | more)


def signed(
    version: str = "2.0", image: bytes = IMAGE, key: Ed25519PrivateKey = KEY
) -> FirmwareDraft:
    return FirmwareDraft(
        product="kettle",
        version=version,
        image=image,
        signature=images.sign(key, product="kettle", version=version, image=image),
        public_key=key.public_key().public_bytes_raw(),
    )


@pytest.fixture
def kettles(pool: Pool) -> Sequence[str]:
    registry.register_product(pool, toml_text=SMALL, source="kettle.toml", now=NOW)
    names = [f"k{i:02}" for i in range(40)]
    drafts = [DeviceDraft(name=name, serial=name, lot="A", firmware="1.0") for name in names]
    registry.add_devices(pool, product="kettle", drafts=drafts, now=NOW)
    firmware.add_firmware(pool, signed(), by="test", now=NOW)
    return names


def be_there(pool: Pool, names: Sequence[str], *, boot: int = 1, version: str = "1.0") -> None:
    with pool.connection() as connection:
        for name in names:
            registry_store.device_born(connection, name, boot=boot, firmware=version, now=NOW)


def begun(pool: Pool, **more: Any) -> int:
    made = service.create_campaign(pool, draft(**more), by="test", now=NOW)
    return service.start(pool, campaign_id=made.id, by="test", now=NOW).id


def tick(pool: Pool, desk: CampaignDesk, *, seconds: float = 0) -> list[Outgoing]:
    with pool.connection() as connection:
        return list(desk.tick(connection, now=NOW + timedelta(seconds=seconds)))


def say(pool: Pool, desk: CampaignDesk, device: str, kind: str, text: str) -> list[Outgoing]:
    message = Incoming(device=device, shard=shard_of(device), kind=kind, payload=text.encode())
    with pool.connection() as connection:
        return list(desk.take(connection, [message], now=NOW))


def look(pool: Pool, campaign_id: int) -> Campaign:
    with pool.connection() as connection:
        (campaign,) = store.list_campaigns(
            connection, CampaignFilter(campaign_id=campaign_id, limit=1)
        )
        inspection.look(connection, campaign, now=NOW + timedelta(hours=1))
    return service.campaign(pool, campaign_id=campaign_id).campaign


def states(pool: Pool, campaign_id: int) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in service.members(pool, campaign_id=campaign_id, limit=500):
        found[row.state] = found.get(row.state, 0) + 1
    return found


def data(pool: Pool, days: float, *, detections: Sequence[tuple[str, float]] = ()) -> None:
    """Let all devices be scored for so many days, with detections at those days."""
    with pool.connection() as connection:
        connection.execute(
            "insert into ingest.progress (device_id, first_measured_at, measured_through, received_at, samples)"
            " select id, %s, %s, %s, 1 from gateway.device"
            " on conflict (device_id) do update set measured_through = excluded.measured_through",
            [BEGIN, BEGIN + days * DAY, NOW],
        )
        connection.execute(
            "insert into anomaly.scorer_state (device_id, scored_through, state)"
            " select id, %s, '{}' from gateway.device"
            " on conflict (device_id) do update set scored_through = excluded.scored_through",
            [BEGIN + days * DAY],
        )
        for name, day in detections:
            connection.execute(
                "insert into anomaly.detection (device_id, kind, failure_mode, change, at, score, evidence,"
                " created_at) select id, 'wear', 'scale', 'raised', %s, 9, '{}', %s from gateway.device"
                " where name = %s",
                [BEGIN + day * DAY, NOW, name],
            )


def first_stage(pool: Pool, campaign_id: int) -> list[str]:
    rows = service.members(pool, campaign_id=campaign_id, limit=500)
    return [row.device for row in rows if row.stage == 0]


def test_devices_of_the_first_stage_that_are_there_are_offered_it_once(
    pool: Pool, kettles: Sequence[str]
) -> None:
    number, desk = begun(pool, per_hour=36_000), CampaignDesk()
    own = first_stage(pool, number)
    be_there(pool, own[:6])
    be_there(pool, [name for name in kettles if name not in own])

    told = [message.device for second in range(8) for message in tick(pool, desk, seconds=second)]

    assert sorted(told) == own[:6]


def test_no_more_begin_than_the_rate_allows(pool: Pool, kettles: Sequence[str]) -> None:
    begun(pool, stages=(1.0,), per_hour=3600)
    be_there(pool, kettles)
    desk = CampaignDesk()

    told = [len(tick(pool, desk, seconds=second)) for second in range(6)]

    assert told == [1, 1, 1, 1, 1, 1]


def test_an_offer_without_an_answer_is_repeated_and_given_up(
    pool: Pool, kettles: Sequence[str]
) -> None:
    number, desk = begun(pool), CampaignDesk()
    (device, *_) = first_stage(pool, number)
    be_there(pool, [device])

    told = [
        message.kind for minute in range(10) for message in tick(pool, desk, seconds=60 * minute)
    ]

    assert told == ["firmware"] * 3  # two offers, and a withdrawal
    assert states(pool, number) == {"failed": 1, "waiting": 39}


def test_a_message_that_comes_twice_changes_nothing(pool: Pool, kettles: Sequence[str]) -> None:
    number, desk = begun(pool), CampaignDesk()
    (device, *_) = first_stage(pool, number)
    be_there(pool, [device])
    tick(pool, desk)
    done = f'{{"campaign": {number}, "state": "downloaded", "chunk": 2}}'
    say(pool, desk, device, "progress", done)
    before = service.members(pool, campaign_id=number, limit=500)

    say(pool, desk, device, "progress", done)

    assert service.members(pool, campaign_id=number, limit=500) == before


def test_the_next_stage_waits_for_data_of_the_updated_devices(
    pool: Pool, kettles: Sequence[str]
) -> None:
    data(pool, 10)
    number, desk = begun(pool, watch=timedelta(days=2)), CampaignDesk()
    own = first_stage(pool, number)
    be_there(pool, own)
    for device in own:
        say(pool, desk, device, "birth", '{"boot": 2, "firmware": "2.0"}')

    early = look(pool, number)
    data(pool, 12.5)
    later = look(pool, number)

    assert (early.stage, early.reason[:24]) == (0, "waiting for 20.0 more de")
    assert later.stage == 1
    assert later.verdict is not None
    assert (later.verdict.new_days, later.verdict.old_days) == (25.0, 75.0)


def test_a_version_that_is_detected_more_often_stops_its_campaign(
    pool: Pool, kettles: Sequence[str]
) -> None:
    data(pool, 10)
    number, desk = begun(pool, watch=timedelta(days=9)), CampaignDesk()
    own = first_stage(pool, number)
    be_there(pool, own)
    tick(pool, desk)
    for device in own[:8]:
        say(pool, desk, device, "birth", '{"boot": 2, "firmware": "2.0"}')
    (last, waiting) = own[8:]
    say(pool, desk, last, "birth", '{"boot": 1, "firmware": "1.0"}')
    tick(pool, desk, seconds=30)
    say(pool, desk, waiting, "progress", f'{{"campaign": {number}, "state": "installing"}}')
    others = [name for name in kettles if name not in own]

    data(pool, 16, detections=[(d, 12 + i / 2) for i, d in enumerate(own[:5])] + [(others[0], 13)])
    stopped = look(pool, number)

    assert stopped.state == "stopped"
    assert stopped.reason.startswith(
        "5 devices with a detection in 33 device-days after 2.0 against 1 in 189 device-days on the"
    )
    assert stopped.verdict is not None
    assert stopped.verdict.are_detections_worse
    assert states(pool, number) == {"installed": 8, "installing": 1, "waiting": 31}
    withdrawn = [m for m in tick(pool, desk, seconds=31) if b'"cancelled":true' in m.payload]
    assert [m.device for m in withdrawn] == [last]
    assert tick(pool, desk, seconds=32) == []
    (event, *_) = service.campaign(pool, campaign_id=number).events
    assert (event.actor, event.action, event.reason) == ("forecare", "stopped", stopped.reason)


def test_a_version_that_is_detected_as_often_goes_on_to_the_end(
    pool: Pool, kettles: Sequence[str]
) -> None:
    data(pool, 10)
    number, desk = begun(pool), CampaignDesk()
    be_there(pool, kettles)
    own = first_stage(pool, number)
    others = [name for name in kettles if name not in own]
    for device in own:
        say(pool, desk, device, "birth", '{"boot": 2, "firmware": "2.0"}')
    data(pool, 20, detections=[(own[0], 12), (others[0], 13), (others[1], 14), (others[2], 15)])

    second = look(pool, number)
    for device in others:
        say(pool, desk, device, "birth", '{"boot": 2, "firmware": "2.0"}')
    done = look(pool, number)

    assert (second.state, second.stage) == ("running", 1)
    assert done.state == "done"
    assert "no difference beyond chance" in done.reason


def test_updates_that_fail_stop_the_campaign(pool: Pool, kettles: Sequence[str]) -> None:
    number, desk = begun(pool), CampaignDesk()
    own = first_stage(pool, number)
    be_there(pool, own)
    for second in range(0, 20, 2):
        tick(pool, desk, seconds=second)
    for device in own[:4]:
        failed = f'{{"campaign": {number}, "state": "failed", "error": "no space left"}}'
        say(pool, desk, device, "progress", failed)

    stopped = look(pool, number)

    assert stopped.state == "stopped"
    assert stopped.reason.startswith("4 devices of 4 failed to update or rolled back")


def test_who_goes_on_in_spite_of_a_stop_is_not_stopped_by_the_same_evidence(
    pool: Pool, kettles: Sequence[str]
) -> None:
    number, desk = begun(pool), CampaignDesk()
    own = first_stage(pool, number)
    be_there(pool, own)
    for second in range(0, 20, 2):
        tick(pool, desk, seconds=second)

    def fail(devices: Sequence[str]) -> Campaign:
        for device in devices:
            failed = f'{{"campaign": {number}, "state": "failed", "error": "no space left"}}'
            say(pool, desk, device, "progress", failed)
        return look(pool, number)

    assert fail(own[:4]).state == "stopped"
    service.resume(pool, campaign_id=number, by="test", now=NOW)
    assert look(pool, number).state == "running"
    with pool.connection() as connection:
        connection.execute(
            "update gateway.campaign_device set state = 'offered' where state = 'waiting' and stage = 0"
        )
    assert fail(own).state == "stopped"


def test_a_campaign_keeps_to_its_versions_and_lots(pool: Pool, kettles: Sequence[str]) -> None:
    be_there(pool, kettles[:3], version="0.9")
    be_there(pool, kettles[3:5], version="2.0")

    with pytest.raises(ConflictError, match="no device matches"):
        begun(pool, lots=("B",))
    old = begun(pool, from_versions=("0.9",))
    with pytest.raises(ConflictError, match="3 in campaign"):
        begun(pool)
    rest = begun(pool, from_versions=("1.0",), lots=("A",))

    assert states(pool, old) == {"waiting": 3}
    assert states(pool, rest) == {"waiting": 35}


def test_an_image_is_kept_once_and_never_changes(pool: Pool, kettles: Sequence[str]) -> None:
    first = firmware.firmware(pool, product="kettle", version="2.0")
    again = firmware.add_firmware(pool, signed(), by="test", now=wall_now())
    assert again == first

    with pytest.raises(ConflictError, match="exists with other content"):
        firmware.add_firmware(pool, signed(image=b"other"), by="test", now=NOW)
    stranger = Ed25519PrivateKey.from_private_bytes(bytes(32))
    with pytest.raises(ConflictError, match="was signed with the key"):
        firmware.add_firmware(pool, signed("2.1", key=stranger), by="test", now=NOW)
    with pytest.raises(InvalidError, match="the signature does not fit"):
        firmware.add_firmware(
            pool,
            FirmwareDraft(
                product="kettle",
                version="2.2",
                image=IMAGE,
                signature=bytes(64),
                public_key=KEY.public_key().public_bytes_raw(),
            ),
            by="test",
            now=NOW,
        )
    with pytest.raises(NotFoundError):
        firmware.firmware(pool, product="kettle", version="2.1")


def test_the_versions_of_a_device_are_kept_in_order_and_once(
    pool: Pool, kettles: Sequence[str]
) -> None:
    def birth(boot: int, version: str, minute: int) -> None:
        with pool.connection() as connection:
            registry_store.device_born(
                connection,
                "k00",
                boot=boot,
                firmware=version,
                event_at=BEGIN + boot * DAY,
                now=NOW + timedelta(minutes=minute),
            )

    birth(1, "1.0", 0)
    birth(1, "1.0", 1)
    birth(2, "2.0", 2)
    birth(1, "1.0", 3)
    birth(3, "1.0", 4)

    found = firmware.device_versions(pool, device="k00")
    assert [(row.version, row.boot, row.runs_since) for row in found] == [
        ("1.0", 3, BEGIN + 3 * DAY),
        ("2.0", 2, BEGIN + 2 * DAY),
        ("1.0", 1, BEGIN + DAY),
    ]


@pytest.mark.parametrize(
    ("shown", "is_believed"),
    [
        (datetime(1970, 1, 1, 0, 1, tzinfo=UTC), False),
        (NOW + timedelta(hours=30), False),
        (NOW - timedelta(hours=1), True),
    ],
)
def test_a_birth_by_a_wrong_clock_dates_its_version_by_its_newest_sample(
    pool: Pool, kettles: Sequence[str], shown: datetime, is_believed: bool
) -> None:
    data(pool, 10)
    number, desk = begun(pool, stages=(1.0,)), CampaignDesk()
    be_there(pool, ["k00"])
    birth = f'{{"boot": 2, "firmware": "2.0", "ts": {to_epoch_ms(shown)}}}'

    say(pool, desk, "k00", "birth", birth)
    message = Incoming(device="k00", shard=shard_of("k00"), kind="birth", payload=birth.encode())
    with pool.connection() as connection:
        PresenceDesk().take(connection, [message], now=NOW + timedelta(minutes=1))
        (member,) = store.members_of_devices(connection, ["k00"], campaign_ids=[number])

    expected = shown if is_believed else BEGIN + 10 * DAY
    newest = firmware.device_versions(pool, device="k00")[0]
    assert (newest.version, newest.runs_since, member.runs_since) == ("2.0", expected, expected)

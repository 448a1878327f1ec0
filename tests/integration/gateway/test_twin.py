"""Configuration twin: rows, a gateway process, and a device at the real broker."""

import json
from typing import Any

import pytest
from click.testing import CliRunner

from core.cli import main as forecare
from core.clock import wall_now
from core.errors import ConflictError, InvalidError, NotFoundError
from core.pool import Pool
from core.settings import Settings
from gateway import service
from gateway import store as registry
from gateway.broker import sync_broker
from gateway.desk import Incoming, Outgoing
from gateway.records import DeviceCredential, DeviceDraft
from gateway.twin import service as twin
from gateway.twin.desk import TwinDesk
from gateway.twin.records import Configuration
from tests.integration.gateway.client import Device
from tests.integration.gateway.running import be_born_until, hear, running_gateway, say, wait_until
from tests.integration.gateway.sheets import SMALL

SETTABLE = (
    SMALL
    + """
[[setting]]
name = "target_c"
title = "Target"
type = "number"
low = 40
high = 100
default = 95

[[setting]]
name = "mode"
title = "Mode"
type = "choice"
choices = ["tea", "coffee"]
"""
)


@pytest.fixture
def ada(pool: Pool) -> DeviceCredential:
    service.register_product(pool, toml_text=SETTABLE, source="kettle.toml", now=wall_now())
    drafts = [DeviceDraft(name=name, serial=name) for name in ("ada", "bob")]
    credential, _ = service.add_devices(pool, product="kettle", drafts=drafts, now=wall_now())
    return credential


def change(pool: Pool, patch: dict[str, Any], **given: Any) -> Configuration:
    return twin.change_configuration(
        pool, name="ada", patch=patch, actor="operator", now=wall_now(), **given
    )


def talk(pool: Pool, *messages: Incoming) -> list[Outgoing]:
    """Let the desk take messages and look at the clock, each in a transaction as the office does."""
    desk = TwinDesk()
    with pool.connection() as connection:
        desk.take(connection, messages, now=wall_now())
    with pool.connection() as connection:
        return list(desk.tick(connection, now=wall_now()))


def birth(pool: Pool, *, boot: int = 1) -> Incoming:
    with pool.connection() as connection:
        registry.device_born(connection, "ada", boot=boot, firmware="1", now=wall_now())
    return Incoming(device="ada", shard=1, kind="birth", payload=b'{"boot": %d}' % boot)


def reported(version: int | None, **values: Any) -> Incoming:
    said = {"reported": values} | ({} if version is None else {"version": version})
    return Incoming(device="ada", shard=1, kind="reported", payload=json.dumps(said).encode())


def documents(messages: list[Outgoing]) -> list[dict[str, Any]]:
    return [json.loads(message.payload) for message in messages if message.device == "ada"]


def test_a_new_device_is_told_its_products_defaults_at_its_first_birth(
    pool: Pool, ada: DeviceCredential
) -> None:
    told = documents(talk(pool, birth(pool)))

    assert told == [{"version": 1, "desired": {"target_c": 95}}]


def test_layers_lie_over_each_other_and_are_given_back(pool: Pool, ada: DeviceCredential) -> None:
    twin.change_product_configuration(
        pool, product="kettle", patch={"mode": "tea"}, actor="operator", now=wall_now()
    )
    assert change(pool, {"target_c": 80}).desired == {"target_c": 80, "mode": "tea"}
    assert change(pool, {"mode": "coffee"}).desired == {"target_c": 80, "mode": "coffee"}

    after = change(pool, {"target_c": None, "mode": None})

    assert after.desired == {"target_c": 95, "mode": "tea"}
    assert after.own == {}


def test_a_device_that_is_away_catches_up_with_the_newest_document_at_its_birth(
    pool: Pool, ada: DeviceCredential
) -> None:
    change(pool, {"target_c": 80})
    change(pool, {"target_c": 70})
    assert talk(pool) == []

    told = documents(talk(pool, birth(pool)))

    assert told == [{"version": 3, "desired": {"target_c": 70}}]


def test_an_answered_configuration_is_not_sent_again_and_an_unanswered_one_is(
    pool: Pool, ada: DeviceCredential
) -> None:
    assert documents(talk(pool, birth(pool)))
    assert talk(pool) == []  # backs off
    with pool.connection() as connection:
        connection.execute("update gateway.twin set send_after = now()")
    assert documents(talk(pool)) == [{"version": 1, "desired": {"target_c": 95}}]

    talk(pool, reported(1, target_c=95))
    with pool.connection() as connection:
        connection.execute("update gateway.twin set send_after = now()")

    assert talk(pool) == []
    found = twin.configuration(pool, name="ada")
    assert (found.is_confirmed, found.differs_at) == (True, None)


def test_a_device_that_never_confirms_differs_since_the_first_change(
    pool: Pool, ada: DeviceCredential
) -> None:
    talk(pool, birth(pool), reported(1, target_c=95))
    first = change(pool, {"target_c": 80})
    second = change(pool, {"target_c": 85})

    assert first.differs_at is not None
    assert second.differs_at == first.differs_at
    assert twin.product_configuration(pool, product="kettle").differing == 1


def test_a_change_on_top_of_an_old_version_is_a_conflict_and_changes_nothing(
    pool: Pool, ada: DeviceCredential
) -> None:
    version = change(pool, {"target_c": 80}).version
    change(pool, {"target_c": 70}, expected_version=version)

    with pytest.raises(ConflictError, match="somebody else"):
        change(pool, {"target_c": 60}, expected_version=version)

    assert twin.configuration(pool, name="ada").desired == {"target_c": 70}


def test_a_change_that_changes_nothing_makes_no_version(pool: Pool, ada: DeviceCredential) -> None:
    before = change(pool, {"target_c": 80})

    assert change(pool, {"target_c": 80}).version == before.version


def test_what_the_sheet_does_not_allow_is_refused_before_any_device_hears_of_it(
    pool: Pool, ada: DeviceCredential
) -> None:
    with pytest.raises(InvalidError) as caught:
        change(pool, {"target_c": 20, "mod": "tea"})

    assert "at least 40" in str(caught.value)
    assert 'did you mean "mode"?' in str(caught.value)
    with pytest.raises(NotFoundError):
        twin.change_configuration(pool, name="eve", patch={}, actor="operator", now=wall_now())


def test_a_change_of_the_product_reaches_every_device_as_a_new_version(
    pool: Pool, ada: DeviceCredential
) -> None:
    talk(pool, birth(pool), reported(1, target_c=95))

    twin.change_product_configuration(
        pool, product="kettle", patch={"mode": "tea"}, actor="operator", now=wall_now()
    )

    assert documents(talk(pool)) == [{"version": 2, "desired": {"target_c": 95, "mode": "tea"}}]


def test_a_sheet_with_other_defaults_is_a_change_of_the_product(
    pool: Pool, ada: DeviceCredential
) -> None:
    talk(pool, birth(pool), reported(1, target_c=95))

    hotter = SETTABLE.replace("default = 95", "default = 96")
    for _ in range(2):
        service.register_product(pool, toml_text=hotter, source="kettle.toml", now=wall_now())

    assert documents(talk(pool)) == [{"version": 2, "desired": {"target_c": 96}}]


def test_who_changed_what_is_kept_in_order(pool: Pool, ada: DeviceCredential) -> None:
    change(pool, {"target_c": 80})
    twin.change_product_configuration(
        pool, product="kettle", patch={"mode": "tea"}, actor="manufacturer:1", now=wall_now()
    )

    found = twin.changes(pool, name="ada")

    assert [(c.actor, c.patch, c.is_of_product) for c in found] == [
        ("manufacturer:1", {"mode": "tea"}, True),
        ("operator", {"target_c": 80}, False),
        ("forecare:sheet", {"target_c": 95}, True),
    ]
    assert [c.patch for c in twin.changes(pool, name="bob", limit=1)] == [{"mode": "tea"}]


def test_a_message_that_is_no_report_stops_nobody(pool: Pool, ada: DeviceCredential) -> None:
    nonsense = Incoming(device="ada", shard=1, kind="reported", payload=b"\xff[")
    stranger = Incoming(device="eve", shard=1, kind="reported", payload=b"{}")

    talk(pool, nonsense, stranger, reported(None, mode="coffee"))

    assert twin.configuration(pool, name="ada").reported == {"mode": "coffee"}


def test_a_device_hears_a_change_at_once_and_after_a_gateway_that_was_killed(
    pool: Pool, ada: DeviceCredential, broker: Any, runtime_settings: Settings
) -> None:
    sync_broker(pool, runtime_settings)
    with Device.of(broker, ada) as device:
        device.subscribe(device.topic("config"))
        with running_gateway(runtime_settings, failpoint="gateway.after_commit:kill:1") as dying:
            be_born_until(device, 1001, lambda: dying.poll() == -9, what="the gateway dies")

        with running_gateway(runtime_settings):
            first = hear(device, "config")
            say(device, "reported", {"version": 1, "reported": {"target_c": 95}})
            wait_until(lambda: twin.configuration(pool, name="ada").is_confirmed, what="confirmed")
            change(pool, {"target_c": 80})
            second = hear(device, "config")
            say(device, "reported", {"version": 2, "reported": {"target_c": 80}})
            wait_until(lambda: twin.configuration(pool, name="ada").is_confirmed, what="confirmed")

    assert first == {"version": 1, "desired": {"target_c": 95}}
    assert second == {"version": 2, "desired": {"target_c": 80}}
    assert twin.configuration(pool, name="ada").differs_at is None


def test_the_command_line_sets_shows_and_gives_back(
    pool: Pool, ada: DeviceCredential, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORECARE_DATABASE_URL", database_url)

    def run(*words: str) -> dict[str, Any]:
        answer = CliRunner().invoke(forecare, [*words, "--json"], catch_exceptions=False)
        assert answer.exit_code == 0, answer.output
        found: dict[str, Any] = json.loads(answer.stdout)
        return found

    version = run("device", "config", "set", "ada", "target_c=80")["version"]
    run("product", "config", "set", "kettle", "mode=tea")
    shown = CliRunner().invoke(forecare, ["device", "config", "show", "ada"]).stdout
    run("device", "config", "unset", "ada", "target_c", "--expect", str(version + 1))

    assert "differs since" in shown
    assert "not confirmed yet" in shown
    assert run("device", "config", "show", "ada")["desired"] == {"target_c": 95, "mode": "tea"}
    assert (
        len(
            json.loads(
                CliRunner()
                .invoke(forecare, ["device", "config", "history", "ada", "--json"])
                .stdout
            )
        )
        == 4
    )

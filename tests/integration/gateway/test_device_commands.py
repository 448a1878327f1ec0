"""Commands to devices: rows, a gateway process that dies, and a device at the real broker."""

import json
from datetime import timedelta
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
from gateway.device_commands import service as commands
from gateway.device_commands.desk import CommandDesk
from gateway.device_commands.records import Command, CommandDraft
from gateway.records import DeviceCredential, DeviceDraft
from tests.integration.gateway.client import Device
from tests.integration.gateway.running import be_born_until, hear, running_gateway, say, wait_until
from tests.integration.gateway.sheets import SMALL

OBEDIENT = (
    SMALL
    + """
[[command]]
name = "whistle"
title = "Whistle"

  [[command.arg]]
  name = "seconds"
  title = "How long"
  type = "integer"
  low = 1
  high = 60
  default = 3
"""
)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def ada(pool: Pool) -> DeviceCredential:
    service.register_product(pool, toml_text=OBEDIENT, source="kettle.toml", now=wall_now())
    drafts = [DeviceDraft(name=name, serial=name) for name in ("ada", "bob")]
    credential, _ = service.add_devices(pool, product="kettle", drafts=drafts, now=wall_now())
    return credential


def give(pool: Pool, **given: Any) -> Command:
    now = wall_now()
    values = {
        "id": commands.new_command_id(),
        "device": "ada",
        "name": "whistle",
        "args": {},
        "deadline_at": now + 10 * MINUTE,
        "actor": "operator",
    }
    return commands.give_command(pool, CommandDraft(**(values | given)), now=now)


def talk(pool: Pool, *messages: Incoming, later: timedelta = timedelta()) -> list[Outgoing]:
    """Let the desk take messages and look at the clock, each in a transaction as the office does."""
    desk, now = CommandDesk(), wall_now() + later
    with pool.connection() as connection:
        desk.take(connection, messages, now=now)
    with pool.connection() as connection:
        return list(desk.tick(connection, now=now))


def birth(pool: Pool, *, boot: int = 1) -> Incoming:
    with pool.connection() as connection:
        registry.device_born(connection, "ada", boot=boot, firmware="1", now=wall_now())
    return Incoming(device="ada", shard=1, kind="birth", payload=b'{"boot": %d}' % boot)


def answer(command: Command, state: str, result: Any = None, device: str = "ada") -> Incoming:
    said = {"id": command.id, "state": state, "result": result}
    return Incoming(device=device, shard=1, kind="answer", payload=json.dumps(said).encode())


def now_is(pool: Pool, command: Command) -> Command:
    return commands.command(pool, device=command.device, command_id=command.id)


def test_a_command_is_sent_acknowledged_and_done_with_its_result(
    pool: Pool, ada: DeviceCredential
) -> None:
    talk(pool, birth(pool))
    given = give(pool)

    (sent,) = talk(pool)
    talk(pool, answer(given, "acknowledged"), answer(given, "done", {"heard": True}))

    assert json.loads(sent.payload) == {
        "id": given.id,
        "name": "whistle",
        "args": {"seconds": 3},
        "deadline": round(given.deadline_at.timestamp() * 1000),
    }
    found = now_is(pool, given)
    assert (found.state, found.result, found.tries) == ("done", {"heard": True}, 1)
    assert found.acknowledged_at is not None


def test_a_device_that_is_away_is_told_at_its_birth_and_again_until_it_acknowledges(
    pool: Pool, ada: DeviceCredential
) -> None:
    given = give(pool)
    assert talk(pool) == []

    first = talk(pool, birth(pool))
    at_once = talk(pool)
    later = talk(pool, later=timedelta(seconds=6))
    reborn = talk(pool, birth(pool, boot=2))
    talk(pool, answer(given, "acknowledged"))
    after = talk(pool, birth(pool, boot=3), later=MINUTE)

    assert [len(told) for told in (first, at_once, later, reborn, after)] == [1, 0, 1, 1, 0]


def test_a_command_is_never_sent_after_its_deadline_and_says_why(
    pool: Pool, ada: DeviceCredential
) -> None:
    given = give(pool, deadline_at=wall_now() + MINUTE)

    told = talk(pool, birth(pool), later=MINUTE)

    assert told == []
    found = now_is(pool, given)
    assert (found.state, found.reason) == (
        "expired",
        "the device was not connected before the deadline",
    )


def test_a_late_answer_is_noted_and_moves_nothing(pool: Pool, ada: DeviceCredential) -> None:
    given = give(pool, deadline_at=wall_now() + MINUTE)
    talk(pool, later=MINUTE)

    talk(pool, answer(given, "done", 7), answer(given, "failed"))

    found = now_is(pool, given)
    assert (found.state, found.result) == ("expired", None)
    assert found.late_answer == {"state": "done", "result": 7}


def test_a_device_cannot_answer_for_another_one(pool: Pool, ada: DeviceCredential) -> None:
    given = give(pool)

    talk(pool, answer(given, "done", device="bob"))

    assert now_is(pool, given).state == "queued"


def test_a_message_that_is_no_answer_stops_nobody(pool: Pool, ada: DeviceCredential) -> None:
    given = give(pool)
    nonsense = [
        Incoming(device="ada", shard=1, kind="answer", payload=payload)
        for payload in (
            b"",
            b"\xff",
            b"[" * 100_000,
            b'{"id": 1}',
            b'{"id": "c-x", "state": "sent"}',
        )
    ]

    talk(pool, *nonsense, answer(given, "done", {"a": "\0"}), answer(given, "failed", "no water"))

    found = now_is(pool, given)
    assert (found.state, found.result) == ("failed", "no water")
    assert found.reason


def test_the_same_id_twice_is_one_command(pool: Pool, ada: DeviceCredential) -> None:
    first = give(pool, id="c-my-own-id")
    talk(pool, answer(first, "done"))

    assert give(pool, id="c-my-own-id").state == "done"
    with pytest.raises(ConflictError, match="another command"):
        give(pool, id="c-my-own-id", args={"seconds": 5})
    with pytest.raises(ConflictError, match="another command"):
        give(pool, id="c-my-own-id", device="bob")


def test_a_queue_has_an_end(pool: Pool, ada: DeviceCredential) -> None:
    queued = [give(pool) for _ in range(commands.OPEN_MAX)]
    with pytest.raises(ConflictError, match="may have no more"):
        give(pool)
    give(pool, device="bob")

    commands.cancel_command(pool, device="ada", command_id=queued[0].id, now=wall_now())

    assert give(pool).state == "queued"
    assert now_is(pool, queued[0]).state == "cancelled"


def test_only_a_queued_command_can_be_taken_back(pool: Pool, ada: DeviceCredential) -> None:
    given = give(pool)
    talk(pool, birth(pool))

    with pytest.raises(ConflictError, match="is sent and can no longer"):
        commands.cancel_command(pool, device="ada", command_id=given.id, now=wall_now())
    with pytest.raises(NotFoundError):
        commands.cancel_command(pool, device="bob", command_id=given.id, now=wall_now())


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"name": "whistel"}, 'did you mean "whistle"?'),
        ({"args": {"seconds": 90}}, "at most 60"),
        ({"args": {"second": 5}}, 'did you mean "seconds"?'),
        ({"args": {"seconds": None}}, 'argument "seconds" is missing'),
        ({"name": "Whistle!"}, "cannot be the name"),
        ({"id": "7"}, "cannot be the id"),
        ({"deadline_at": wall_now() - MINUTE}, "in the future"),
        ({"deadline_at": wall_now() + timedelta(days=31)}, "at most 30 days"),
        ({"args": {"note": "x" * 3000}}, "may take 2048"),
    ],
)
def test_what_the_device_would_not_understand_is_refused(
    pool: Pool, ada: DeviceCredential, given: dict[str, Any], what: str
) -> None:
    with pytest.raises(InvalidError) as caught:
        give(pool, **given)

    assert what in str(caught.value)


def test_a_device_hears_commands_in_the_order_in_which_they_were_given(
    pool: Pool, ada: DeviceCredential
) -> None:
    given = [give(pool, args={"seconds": n}).id for n in (1, 2, 3)]

    told = talk(pool, birth(pool))

    assert [json.loads(message.payload)["id"] for message in told] == given


def test_a_command_survives_a_gateway_that_is_killed_between_commit_and_publish(
    pool: Pool, ada: DeviceCredential, broker: Any, runtime_settings: Settings
) -> None:
    sync_broker(pool, runtime_settings)
    given = give(pool)
    deeds = []
    with Device.of(broker, ada) as device:
        device.subscribe(device.topic("command"))
        with running_gateway(runtime_settings, failpoint="gateway.after_commit:kill:1") as dying:
            be_born_until(device, 1001, lambda: dying.poll() == -9, what="the gateway dies")
        assert now_is(pool, given).state == "sent"
        assert device.hears_nothing(probe=device.topic("stored"))

        with running_gateway(runtime_settings):
            deeds.append(hear(device, "command")["id"])
            say(device, "answer", {"id": given.id, "state": "acknowledged"})
            for _ in range(2):
                say(device, "answer", {"id": given.id, "state": "done", "result": "wheee"})
            wait_until(lambda: now_is(pool, given).state == "done", what="it is done")
            say(device, "birth", {"boot": 1002})
            other = give(pool)
            deeds.append(hear(device, "command")["id"])

    assert deeds == [given.id, other.id]
    assert now_is(pool, given).result == "wheee"


def test_the_command_line_gives_lists_and_waits(
    pool: Pool, ada: DeviceCredential, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORECARE_DATABASE_URL", database_url)

    def run(*words: str) -> Any:
        return CliRunner().invoke(forecare, ["device", *words], catch_exceptions=False)

    words = ("command", "ada", "whistle", "--arg", "seconds=5", "--id", "c-by-hand-1")
    given = json.loads(run(*words, "--deadline", "5 min", "--json").stdout)
    again = json.loads(run(*words, "--json").stdout)
    listed = json.loads(run("commands", "ada", "--json").stdout)
    talk(pool, answer(now_is(pool, give(pool, id="c-by-hand-1", args={"seconds": 5})), "done", 5))
    waited = run(*words, "--wait")
    late = run("cancel", "ada", "c-by-hand-1")

    assert given == again
    assert [one["args"] for one in listed] == [{"seconds": 5}]
    assert (waited.exit_code, waited.stdout) == (0, "c-by-hand-1 whistle is done\n5\n")
    assert late.exit_code != 0

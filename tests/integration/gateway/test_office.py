"""All desks behind one door: what one of them, or one message, does to the others."""

from collections.abc import Sequence
from datetime import datetime

import pytest

from core.pool import Connection, Pool
from gateway.broker_line import Arrival
from gateway.desk import Incoming, Outgoing
from gateway.worker import Office


class Notebook:
    """A desk that writes what it hears into a table and answers with it."""

    kinds = frozenset({"answer"})

    def take(
        self, connection: Connection, incoming: Sequence[Incoming], *, now: datetime
    ) -> Sequence[Outgoing]:
        for message in incoming:
            connection.execute("insert into note values (%s::integer)", [message.payload.decode()])
        return [
            Outgoing(device=m.device, shard=m.shard, kind="command", payload=m.payload)
            for m in incoming
        ]

    def tick(self, connection: Connection, *, now: datetime) -> Sequence[Outgoing]:
        connection.execute("insert into note values ('x'::integer)")
        return ()


class Bell:
    kinds = frozenset({"birth"})

    def take(
        self, connection: Connection, incoming: Sequence[Incoming], *, now: datetime
    ) -> Sequence[Outgoing]:
        raise AssertionError("not for me")

    def tick(self, connection: Connection, *, now: datetime) -> Sequence[Outgoing]:
        return [Outgoing(device="ada", shard=1, kind="config", payload=b"{}")]


@pytest.fixture
def office(pool: Pool) -> Office:
    with pool.connection() as connection:
        connection.execute("create table note (number integer)")
    return Office((Notebook(), Bell()))


def said(*payloads: bytes, kind: str = "answer") -> list[Arrival]:
    return [Arrival(f"fc/01/ada/{kind}", payload, 1, 1) for payload in payloads]


def notes(pool: Pool) -> list[int]:
    with pool.connection() as connection:
        return [row[0] for row in connection.execute("select number from note order by 1")]


def test_a_message_that_the_database_refuses_does_not_stop_the_others(
    pool: Pool, office: Office
) -> None:
    answers = office.work(pool, said(b"1", b"two", b"3"))

    assert notes(pool) == [1, 3]
    assert [a.payload for a in answers if a.kind == "command"] == [b"1", b"3"]


def test_a_desk_that_fails_at_its_tick_does_not_stop_the_others(pool: Pool, office: Office) -> None:
    answers = office.work(pool, [])

    assert [answer.topic for answer in answers] == ["fc/01/ada/config"]


def test_desks_see_their_kinds_alone_and_strange_topics_are_skipped(
    pool: Pool, office: Office
) -> None:
    office.work(pool, [*said(b"7"), *said(b"9", kind="will"), Arrival("what/ever", b"8", 1, 1)])

    assert notes(pool) == [7]
    assert office.filters == ("fc/+/+/answer", "fc/+/+/birth")

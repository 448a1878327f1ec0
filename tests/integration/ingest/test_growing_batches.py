"""Batches that are stored while they still arrive: the same rows as if they had been complete, and
all of them when the database goes away in the middle."""

import json
import random
from collections.abc import Callable, Sequence

import psycopg
import pytest

from core.clock import wall_now
from core.pool import Pool
from gateway import service
from gateway.records import DeviceDraft
from gateway.session import Arrival
from gateway.topics import shard_of, topic_of
from ingest.batch import BatchWriter
from ingest.inflow import Inflow
from ingest.registry import RegistryCache
from tests.fixtures.reads import Reads
from tests.integration.gateway.sheets import SMALL
from tests.integration.ingest.conftest import NOW_MS
from tests.integration.ingest.contents import clear, everything

DEVICES = 5


@pytest.fixture(autouse=True)
def _kettles(pool: Pool) -> None:
    service.register_product(pool, toml_text=SMALL, source="kettle.toml", now=wall_now())
    drafts = [DeviceDraft(name=f"k{i}", serial=str(i)) for i in range(DEVICES)]
    service.add_devices(pool, product="kettle", drafts=drafts, now=wall_now())


def arrival(device: int, seq: int, *, value: float = 20.0) -> Arrival:
    topic = topic_of(f"k{device}", shard=shard_of(f"k{device}"), kind="telemetry")
    samples = [[NOW_MS - 1000 * (100 * seq + i), {"water_c": value}] for i in range(100)]
    return Arrival(topic, json.dumps({"boot": 1, "seq": seq, "samples": samples}).encode(), 1)


def growing(
    messages: Sequence[Arrival], *, before_last: Callable[[], None] | None = None, step: int = 20
) -> Inflow:
    reads = [messages[i : i + step] for i in range(0, len(messages), step)]
    return Reads(reads, before_last=before_last).batch()


@pytest.mark.parametrize("seed", range(3))
def test_a_growing_batch_gives_the_same_rows_as_a_complete_one(pool: Pool, seed: int) -> None:
    source = random.Random(seed)
    first = [arrival(0, seq) for seq in range(10)]
    messages = [arrival(seq % DEVICES, seq // DEVICES) for seq in range(40 * DEVICES)]
    messages[120] = arrival(4, 24, value=1e6)  # out of range: a dead letter
    messages[150] = Arrival(f"fc/{shard_of('stranger')}/stranger/telemetry", b"{}", 1)
    messages += source.sample(messages, 20)
    found = []
    for batch in (messages, growing(messages, step=source.randint(10, 60))):
        clear(pool)
        writer = BatchWriter(RegistryCache())
        with pool.connection() as connection:
            writer.write(connection, first, now=wall_now(), now_s=0.0)
            stored = writer.write(connection, batch, now=wall_now(), now_s=0.1)
        assert stored.messages == len(messages)
        found.append(everything(pool, with_counts=True))

    assert found[0] == found[1]
    assert len(found[0][0]) == 100 * (40 * DEVICES - 2)


def test_a_device_that_speaks_first_in_the_middle_of_a_batch_is_known(pool: Pool) -> None:
    messages = [arrival(0, seq) for seq in range(100)] + [arrival(1, seq) for seq in range(100)]

    with pool.connection() as connection:
        stored = BatchWriter(RegistryCache()).write(
            connection, growing(messages), now=wall_now(), now_s=0.0
        )

    assert (stored.rows, stored.refused) == (20_000, 0)


def test_a_batch_is_stored_whole_when_the_database_went_away_while_it_grew(pool: Pool) -> None:
    messages = [arrival(seq % DEVICES, seq // DEVICES) for seq in range(60 * DEVICES)]
    writer = BatchWriter(RegistryCache())
    with pool.connection() as connection:
        connection.execute("select 1")
        address = connection.info.dsn, connection.info.password
        connection.rollback()
    broken = psycopg.connect(address[0], password=address[1])
    number = broken.info.backend_pid

    def goes_away() -> None:
        with pool.connection() as connection:
            connection.execute("select pg_terminate_backend(%s, 5000)", [number])

    batch = growing(messages, before_last=goes_away)
    with pytest.raises(psycopg.OperationalError):
        writer.write(broken, batch, now=wall_now(), now_s=0.0)
    broken.close()
    nothing = everything(pool, with_counts=True)
    writer.registry.forget()
    with pool.connection() as connection:
        stored = writer.write(connection, batch, now=wall_now(), now_s=0.1)

    assert nothing == [[], [], [], []]
    assert stored.messages == len(messages)
    assert len(everything(pool, with_counts=True)[0]) == 100 * len(messages)

"""Batches against the real database: any order, repetition and cut gives the same rows."""

import itertools
import json
import random
from collections.abc import Sequence
from typing import Any

import pytest
from psycopg import sql

from core.clock import wall_now
from core.pool import Pool
from gateway import service
from gateway.records import DeviceDraft
from gateway.session import Arrival
from gateway.topics import shard_of, topic_of
from ingest.batch import BatchWriter
from ingest.registry import RegistryCache
from tests.integration.gateway.sheets import SMALL
from tests.integration.ingest.conftest import NOW_MS
from tests.integration.ingest.contents import clear, everything


@pytest.fixture
def devices(pool: Pool) -> None:
    service.register_product(pool, toml_text=SMALL, source="kettle.toml", now=wall_now())
    drafts = [DeviceDraft(name=f"k{i}", serial=str(i)) for i in range(3)]
    service.add_devices(pool, product="kettle", drafts=drafts, now=wall_now())


def arrival(device: int, message: dict[str, Any]) -> Arrival:
    topic = topic_of(f"k{device}", shard=shard_of(f"k{device}"), kind="telemetry")
    return Arrival(topic, json.dumps(message).encode(), 1)


def store(pool: Pool, batches: Sequence[Sequence[Arrival]]) -> None:
    writer = BatchWriter(RegistryCache())
    with pool.connection() as connection:
        for batch in batches:
            writer.write(connection, batch, now=wall_now(), now_s=0.0)


def messages(rng: random.Random) -> list[Arrival]:
    """Messages of three devices: parts of the same instants, and some that are refused."""
    found = []
    for device in range(3):
        for seq in range(8):
            metric = rng.choice(["water_c", "power_w", "boils", "steam"])
            samples = [
                [NOW_MS - 60_000 * rng.randrange(4), {metric: 100 * device + 5}] for _ in range(2)
            ]
            found.append(arrival(device, {"boot": 1, "seq": seq, "samples": samples}))
    return found


@pytest.mark.parametrize("seed", range(12))
def test_any_order_repetition_and_cut_gives_the_same_rows(
    pool: Pool, devices: None, seed: int
) -> None:
    rng = random.Random(seed)
    sent = messages(rng)
    store(pool, [sent])
    expected = everything(pool)
    for _ in range(5):
        clear(pool)
        shuffled = [*sent, *rng.choices(sent, k=10)]
        rng.shuffle(shuffled)
        cuts = sorted(rng.sample(range(len(shuffled)), 4))
        edges = [0, *cuts, len(shuffled)]

        store(pool, [shuffled[a:b] for a, b in itertools.pairwise(edges) if a < b])

        assert everything(pool) == expected


def test_a_message_that_the_database_refuses_for_ever_stops_no_other(
    pool: Pool, devices: None
) -> None:
    with pool.connection() as connection:
        connection.execute(
            sql.SQL("alter table telemetry.kettle add constraint cold check (water_c < 50)")
        )
    batch = [
        arrival(
            0, {"boot": 1, "seq": i, "samples": [[NOW_MS - i, {"water_c": 60 if i == 5 else 20}]]}
        )
        for i in range(16)
    ]

    store(pool, [batch])

    rows, streams, _, letters = everything(pool)
    assert len(rows) == 15
    assert [seq for _, _, seq in streams] == [15]
    assert [(name, reason) for name, _, reason in letters] == [("k0", "not_storable")]


def test_a_device_that_comes_later_is_known_at_its_first_message(pool: Pool, devices: None) -> None:
    writer = BatchWriter(RegistryCache())
    with pool.connection() as connection:
        writer.write(connection, [arrival(0, {"water_c": 1})], now=wall_now(), now_s=0.0)
        drafts = [DeviceDraft(name="k7", serial="7")]
        service.add_devices(pool, product="kettle", drafts=drafts, now=wall_now())

        stored = writer.write(connection, [arrival(7, {"water_c": 1})], now=wall_now(), now_s=0.1)

    assert (stored.rows, stored.refused) == (1, 0)


def test_a_thousand_samples_with_as_many_shapes_are_stored(pool: Pool, devices: None) -> None:
    names = ("water_c", "power_w", "boils")
    samples = [
        [NOW_MS - i, {name: 1 for j, name in enumerate(names) if (i % 7 + 1) >> j & 1}]
        for i in range(1000)
    ]

    store(pool, [[arrival(0, {"boot": 1, "seq": 0, "samples": samples})]])

    assert len(everything(pool)[0]) == 1000


def test_a_device_that_comes_back_is_late_until_it_has_caught_up(pool: Pool, devices: None) -> None:
    def sample(device: int, hours_ago: float, seq: int) -> Arrival:
        at_ms = NOW_MS - round(hours_ago * 3_600_000)
        return arrival(device, {"boot": 1, "seq": seq, "samples": [[at_ms, {"water_c": 20}]]})

    store(pool, [[sample(0, 0, 0)], [sample(1, 70, 0), sample(1, 20, 1)], [sample(1, 1, 2)]])

    with pool.connection() as connection:
        late = connection.execute(
            "select name, extract(epoch from measured_through - late_through) / 3600"
            " from ingest.progress join gateway.device on id = device_id order by name"
        ).fetchall()
    assert late == [("k0", None), ("k1", 19)]


def test_the_newest_late_sample_counts_wherever_the_batch_is_cut(pool: Pool, devices: None) -> None:
    def sample(device: int, hours_ago: float, seq: int) -> Arrival:
        at_ms = NOW_MS - round(hours_ago * 3_600_000)
        return arrival(device, {"boot": 1, "seq": seq, "samples": [[at_ms, {"water_c": 20}]]})

    live = [sample(0, seq / 3600, seq) for seq in range(1500)]  # more than one piece
    late = [sample(1, 20, 0), *live, sample(1, 70, 1)]

    store(pool, [[sample(2, 0, 0), *late]])

    with pool.connection() as connection:
        found = connection.execute(
            "select name, extract(epoch from measured_through - late_through) / 3600"
            " from ingest.progress join gateway.device on id = device_id order by name"
        ).fetchall()
    assert found == [("k0", None), ("k1", 0), ("k2", None)]

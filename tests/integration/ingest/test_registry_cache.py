"""Ingest knows the devices that send, hears soon of those that may no longer, and forgets the rest."""

import random

import pytest

from core.clock import wall_now
from core.pool import Pool
from gateway import service
from gateway.records import DeviceDraft
from gateway.session import Arrival
from gateway.topics import shard_of, topic_of
from ingest.registry import RegistryCache
from tests.integration.gateway.sheets import SMALL

_REMOVE = """
with gone as (
    delete from gateway.credential c using gateway.device d where d.id = c.device_id and d.name = 'k1'
)
delete from gateway.device where name = 'k1'
"""


@pytest.fixture
def fleet(pool: Pool) -> list[str]:
    service.register_product(pool, toml_text=SMALL, source="kettle.toml", now=wall_now())
    names = [f"k{i}" for i in range(40)]
    drafts = [DeviceDraft(name=name, serial=name) for name in names]
    service.add_devices(pool, product="kettle", drafts=drafts, now=wall_now())
    return names


def topic(name: str, *, shard: int | None = None) -> str:
    return topic_of(name, shard=shard_of(name) if shard is None else shard, kind="telemetry")


def sent(*names: str) -> list[Arrival]:
    return [Arrival(topic(name), b"{}", 1) for name in names]


def change(pool: Pool, query: str, *values: object) -> None:
    with pool.connection() as connection:
        connection.execute(query, values)  # type: ignore[call-overload]


def test_only_devices_that_send_are_read(pool: Pool, fleet: list[str]) -> None:
    registry = RegistryCache()
    with pool.connection() as connection:
        registry.prepare(connection, sent("k1", "k2", "nobody"), now_s=0.0)

    assert len(registry) == 2
    assert registry.device_of(topic("nobody")) is None
    assert registry.device_of(topic("k1", shard=shard_of("k1") ^ 1)) is None


@pytest.mark.parametrize(
    "query",
    [
        "update gateway.device set retired_at = now() where name = 'k1'",
        "update gateway.device set name = 'k1-renamed' where name = 'k1'",
        "update gateway.device set shard = 255 - shard where name = 'k1'",
        _REMOVE,
    ],
)
def test_a_device_that_may_no_longer_send_is_forgotten_within_seconds(
    pool: Pool, fleet: list[str], query: str
) -> None:
    registry = RegistryCache()
    with pool.connection() as connection:
        registry.prepare(connection, sent("k1", "k2"), now_s=0.0)
        change(pool, query)

        registry.prepare(connection, sent("k1", "k2"), now_s=3.0)

        assert registry.device_of(topic("k1")) is None
        assert registry.device_of(topic("k2")) is not None


def test_a_change_that_is_committed_late_is_not_missed(pool: Pool, fleet: list[str]) -> None:
    registry = RegistryCache()
    retire = "update gateway.device set retired_at = now() where name = %s"
    with pool.connection() as connection, pool.connection() as slow:
        registry.prepare(connection, sent("k1", "k2"), now_s=0.0)
        connection.commit()
        slow.execute(retire, ["k1"])
        change(pool, retire, "k2")
        registry.prepare(connection, sent("k1", "k2"), now_s=3.0)
        connection.commit()
        before = registry.device_of(topic("k1")), registry.device_of(topic("k2"))
        slow.commit()

        registry.prepare(connection, sent("k1", "k2"), now_s=6.0)

        after = registry.device_of(topic("k1"))
    assert before[0] is not None
    assert before[1] is None
    assert after is None


def test_what_ingest_does_not_need_to_know_is_no_change(pool: Pool, fleet: list[str]) -> None:
    change(pool, "update gateway.device set firmware = '2.0', lot = 'B', retired_at = null")

    with pool.connection() as connection:
        assert connection.execute("select count(*) from gateway.device_change").fetchone() == (0,)


def test_the_cache_is_bounded_and_whoever_sends_is_known_all_the_same(
    pool: Pool, fleet: list[str]
) -> None:
    registry = RegistryCache(devices_max=10)
    rng = random.Random(3)
    with pool.connection() as connection:
        for step in range(50):
            names = rng.sample(fleet, 5)
            registry.prepare(connection, sent(*names), now_s=float(step))

            assert all(registry.device_of(topic(name)) for name in names)
            assert len(registry) <= 15

"""A simulated edge node, the real broker, ingest, gateway and database: each as it ships."""

import secrets
from random import Random

import pytest

from core.clock import wall_now
from firmware_sim.clock import monotonic_s
from firmware_sim.connection import Address, Identity
from firmware_sim.courier import Courier
from firmware_sim.dialects import SPARKPLUG
from firmware_sim.fleet import make_fleet
from firmware_sim.payload import rows_of
from firmware_sim.sparkplug.session import declared_by
from firmware_sim.spool import Spool
from firmware_sim.water_pump import WATER_PUMP
from gateway import service as registry
from gateway.broker import GATEWAY_USER, sync_broker
from gateway.records import DeviceDraft
from gateway.sheet import sheet_path
from gateway.sparkplug import service as sparkplug
from tests.integration.gateway.running import running_gateway, wait_until
from tests.integration.ingest.conftest import forget_session, ingest, rows

__all__ = ["ingest", "rows"]

METRICS = ("pressure_bar", "motor_c", "power_w", "speed_rpm")
QUERY = f"""
    select (extract(epoch from measured_at) * 1000)::bigint, {", ".join(METRICS)}
    from telemetry.water_pump t join gateway.device d on d.id = t.device_id
    where d.name = %s order by measured_at"""


class Node:
    """A water pump that is its own edge node, perhaps with others behind it."""

    def __init__(self, folder, broker, credentials):
        self.folder, self.broker, self.credentials = folder, broker, credentials
        self.name = credentials[0].name
        self.spool = Spool(folder / "spool.db")
        address = Address(host="127.0.0.1", port=broker.port, is_tls=False)
        self.courier = Courier(address=address, spool=self.spool, monotonic_s=monotonic_s)
        identity = Identity(
            name=self.name,
            shard=credentials[0].shard,
            password=credentials[0].password,
            product="water_pump",
            firmware="4.2.1",
        )
        names = [credential.name for credential in credentials]
        boots = [self.spool.start(name, mark=0) for name in names]
        declares = dict.fromkeys(names, declared_by(WATER_PUMP))
        self.courier.add_node(identity, boot=boots[0], rng=Random(boots[0]), declares=declares)

    @property
    def client(self):
        return self.courier.clients[self.name]

    def measure(self, sent, *, device=""):
        name = device or self.name
        self.spool.append([(name, SPARKPLUG.bodies(name, sent))], mark=1)
        self.courier.wake()

    def repeat(self, sent, *, until):
        """Say the same until it is heard: at QoS 0 nothing waits for an ingest that is not there."""
        for _ in range(240):
            self.measure(sent)
            self.courier.run(0.5, until=until)
            if until():
                return
        raise AssertionError(self.courier.problems())

    def until(self, condition, *, seconds=120):
        self.courier.run(seconds, until=condition)
        assert condition(), self.courier.problems()

    def crash(self):
        """End without a goodbye, as a power cut does."""
        self.client.is_held = True
        self.client.tick(monotonic_s())
        self.spool.close()

    def again(self):
        return Node(self.folder, self.broker, self.credentials)

    def close(self):
        self.courier.close()
        self.spool.close()


@pytest.fixture
def credentials(pool, broker, runtime_settings):
    text = sheet_path("water_pump").read_text(encoding="utf-8")
    registry.register_product(pool, toml_text=text, source="water_pump.toml", now=wall_now())
    drafts = [DeviceDraft(name=f"wp-{secrets.token_hex(4)}", serial=f"{i}") for i in range(2)]
    found = registry.add_devices(pool, product="water_pump", drafts=drafts, now=wall_now())
    sync_broker(pool, runtime_settings)
    # Else the broker may keep births for the session of an earlier test's gateway, and drop them.
    forget_session(runtime_settings, GATEWAY_USER)
    return found


@pytest.fixture
def measured():
    """The samples of a water pump in the hours up to this minute."""
    end_s = int(wall_now().timestamp()) // 60 * 60
    start_s = end_s - 6 * 3600
    fleet = make_fleet(devices=1, days=1, seed=7, start_s=start_s, products=["water_pump"])
    block = fleet.machines[0].block(start_s, end_s)
    return rows_of(block.measured_at_ms, block.metrics)


def moments(rows, device):
    return [row[0] for row in rows(QUERY, device)]


def test_a_gap_is_filled_after_a_crash_and_a_rebirth_is_given_when_it_is_asked_for(
    pool, broker, runtime_settings, ingest, rows, credentials, measured, tmp_path
):
    node = Node(tmp_path, broker, credentials[:1])

    def is_there():
        return registry.device_by_name(pool, name=node.name).is_connected

    def births():
        return rows("select boot, is_alive, is_stale from ingest.sparkplug_node")

    with running_gateway(runtime_settings):
        ingest.start()
        node.repeat(measured[:1], until=lambda: births() and is_there())
        node.measure(measured[1:100])
        node.until(lambda: len(moments(rows, node.name)) == 100)

        node.crash()
        wait_until(lambda: not is_there(), what="the death is told")
        node = node.again()
        node.measure(measured[100:300])
        node.until(lambda: len(moments(rows, node.name)) == 300)
        node.until(is_there)

        ingest.processes[-1].kill()
        ingest.processes[-1].wait()
        with pool.connection() as connection:
            connection.execute("delete from ingest.sparkplug_node")
        ingest.start()
        node.repeat(measured[:1], until=births)
        node.measure(measured[300:])
        node.until(lambda: len(moments(rows, node.name)) == len(measured))
    node.close()
    assert births() == [(1, True, False)]
    assert moments(rows, node.name) == [ms for ms, _ in measured]
    for (_, *values), (_, expected) in zip(rows(QUERY, node.name), measured, strict=True):
        assert values == pytest.approx([expected[metric] for metric in METRICS], rel=1e-5)


def test_what_stands_behind_a_node_is_stored_under_its_own_name(
    pool, broker, ingest, rows, credentials, measured, tmp_path
):
    node = Node(tmp_path, broker, credentials)
    behind = credentials[1].name
    sparkplug.let_speak(pool, node=node.name, device=behind, now=wall_now())
    ingest.start()
    node.repeat(measured[:1], until=lambda: moments(rows, node.name))

    node.measure(measured[:100], device=behind)
    node.until(lambda: len(moments(rows, behind)) == 100)
    node.close()

    assert moments(rows, behind) == [ms for ms, _ in measured[:100]]

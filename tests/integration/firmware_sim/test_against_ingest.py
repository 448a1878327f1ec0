"""Simulated devices that speak SenML or do not know the time, the real broker and the real ingest process: each as it ships."""

import secrets
from random import Random

import pytest

from core.clock import wall_now
from firmware_sim.clock import monotonic_s
from firmware_sim.connection import Address, Identity
from firmware_sim.courier import Courier
from firmware_sim.dialects import DIALECTS
from firmware_sim.fleet import make_fleet
from firmware_sim.payload import rows_of
from firmware_sim.spool import Spool
from firmware_sim.wrong_clocks import WrongClock
from gateway import service as registry
from gateway.broker import sync_broker
from gateway.records import DeviceDraft
from gateway.sheet import sheet_path
from ingest import service as taken
from tests.integration.ingest.conftest import ingest, rows

__all__ = ["ingest", "rows"]

HOURS = 6


class Line:
    """One water pump with its spool on the line to the platform."""

    def __init__(self, folder, broker, credential, *, dialect):
        self.name = credential.name
        self.dialect = dialect
        self.spool = Spool(folder / "spool.db")
        address = Address(host="127.0.0.1", port=broker.port, is_tls=False)
        self.courier = Courier(address=address, spool=self.spool, monotonic_s=monotonic_s)
        identity = Identity(
            name=self.name,
            shard=credential.shard,
            password=credential.password,
            product="water_pump",
            firmware="4.2.1",
        )
        boot = self.spool.start(self.name, mark=0)
        self.courier.add(identity, boot=boot, rng=Random(boot), dialect=dialect)

    def send(self, sent):
        self.spool.append([(self.name, self.dialect.bodies(self.name, sent))], mark=1)
        self.courier.wake()

    def until(self, condition, *, seconds=120):
        self.courier.run(seconds, until=condition)
        assert condition(), self.courier.problems()

    def close(self):
        self.courier.close()
        self.spool.close()


@pytest.fixture
def line_of(tmp_path, pool, broker, runtime_settings):
    made = []

    def make(dialect):
        text = sheet_path("water_pump").read_text(encoding="utf-8")
        registry.register_product(pool, toml_text=text, source="water_pump.toml", now=wall_now())
        draft = DeviceDraft(name=f"wp-{secrets.token_hex(4)}", serial="9", firmware="4.2.1")
        (credential,) = registry.add_devices(
            pool, product="water_pump", drafts=[draft], now=wall_now()
        )
        sync_broker(pool, runtime_settings)
        made.append(Line(tmp_path, broker, credential, dialect=DIALECTS[dialect]))
        return made[-1]

    yield make
    for line in made:
        line.close()


def measured(*, clock=None):
    """Samples of a water pump up to this minute."""
    end_s = int(wall_now().timestamp()) // 60 * 60
    start_s = end_s - HOURS * 3600
    fleet = make_fleet(devices=1, days=1, seed=7, start_s=start_s, products=["water_pump"])
    block = fleet.machines[0].block(start_s, end_s)
    shown_ms = block.measured_at_ms
    if clock is not None:
        shown_ms = clock.shown_ms(shown_ms, block.at_s)
    return rows_of(shown_ms, block.metrics)


QUERY = (
    "select (extract(epoch from measured_at) * 1000)::bigint, pressure_bar, motor_c, power_w, speed_rpm"
    " from telemetry.water_pump order by measured_at"
)


@pytest.mark.parametrize("name", ["senml", "cbor"])
def test_what_a_device_says_in_senml_is_stored_as_it_measured_it(line_of, ingest, rows, name):
    line, sent = line_of(name), measured()
    ingest.start()

    line.send(sent)
    line.until(lambda: line.spool.waiting_in_all() == 0)
    line.until(lambda: rows("select count(*) from telemetry.water_pump") == [(len(sent),)])

    metrics = ("pressure_bar", "motor_c", "power_w", "speed_rpm")
    stored = rows(QUERY)
    assert [row[0] for row in stored] == [ms for ms, _ in sent]
    for (_, *values), (_, expected) in zip(stored, sent, strict=True):
        assert values == pytest.approx([expected[metric] for metric in metrics], rel=1e-5)
    assert rows("select count(*) from ingest.dead_letter") == [(0,)]
    assert line.spool.counts()[line.name].confirmed == len(sent)


def test_what_nobody_takes_stays_in_the_spool(line_of, ingest, rows):
    line, sent = line_of("cbor"), measured()[:10]

    line.send(sent)
    line.until(line.courier.problems)
    line.courier.run(1.0)
    assert line.spool.waiting_in_all() == 1
    ingest.start()
    line.until(lambda: rows("select count(*) from telemetry.water_pump") == [(len(sent),)])

    line.until(lambda: line.spool.waiting_in_all() == 0)


@pytest.mark.parametrize(
    ("name", "kind", "ahead_s"),
    [("json", "1970", -1_790_000_000), ("json", "ahead", 93_600), ("cbor", "ahead", 93_600)],
)
def test_what_a_wrong_clock_measures_is_stored_with_the_platforms_time_and_a_mark(
    line_of, ingest, pool, rows, name, kind, ahead_s
):
    line = line_of(name)
    sent = measured(clock=WrongClock(kind=kind, from_s=0, ahead_s=ahead_s))[-60:]
    ingest.start()

    line.send(sent)
    line.until(lambda: line.spool.waiting_in_all() == 0)
    line.until(lambda: rows("select count(*) from telemetry.water_pump") == [(60,)])

    query = (
        "select distinct _flags, abs(extract(epoch from now() - measured_at)) < 7200"
        " from telemetry.water_pump"
    )
    assert rows(query) == [(1, True)]
    clock = taken.clock(pool, device=line.name)
    assert clock.ahead.total_seconds() == pytest.approx(ahead_s, abs=600)

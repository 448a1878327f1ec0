"""What is meant for TimescaleDB's Community edition, on a real one: the columnstore changes no answer."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.product import Product
from gateway import store as registry
from gateway.service import chunk_interval
from gateway.sheet import parse_sheet
from ingest.retention import service
from ingest.retention import store as retention
from ingest.rollups import roll, store
from ingest.rollups.history import Source, history
from tests.fixtures.community import CommunityConnection
from tests.integration.gateway.sheets import SMALL, WIDER

DAY = timedelta(days=1)
TODAY = datetime(2026, 11, 24, tzinfo=UTC)
SHEET = (
    SMALL.replace('history_max = "400 d"', 'history_max = "20 d"')
    + '\n[retention]\nraw = "20 d"\nhourly = "400 d"\n'
)


@pytest.fixture
def kettle(community: Any) -> Product:
    """A product with two devices that have sent for forty days, summed up."""
    product = parse_sheet(SHEET, source="kettle.toml")
    maker = registry.upsert_manufacturer(community, product.manufacturer)
    product_id = registry.insert_product(
        community, product, manufacturer_id=maker, toml_text=SHEET, now=TODAY
    )
    registry.create_telemetry(community, product, chunk=chunk_interval(product))
    registry.add_columns(community, product, product.metrics)
    community.execute(
        "insert into gateway.device (name, product_id, serial, shard, created_at)"
        " select 'k' || i, %(product)s, i, 0, %(now)s from generate_series(1, 2) i",
        {"product": product_id, "now": TODAY},
    )
    community.execute(
        "insert into telemetry.kettle (device_id, measured_at, water_c, power_w)"
        " select d.id, at, 20 + d.id, extract(hour from at) from gateway.device d,"
        " generate_series(%(begin)s::timestamptz, %(end)s, interval '10 min') at",
        {"begin": TODAY - 40 * DAY, "end": TODAY},
    )
    community.execute(
        "insert into ingest.progress (device_id, first_measured_at, measured_through, received_at, samples)"
        " select device_id, min(measured_at), max(measured_at), max(measured_at), count(*)"
        " from telemetry.kettle group by 1"
    )
    community.execute(
        "insert into anomaly.scorer_state (device_id, scored_through, state)"
        " select id, %(now)s, '{}' from gateway.device",
        {"now": TODAY},
    )
    roll_all(community)
    return product


def roll_all(connection: Any) -> None:
    (row,) = store.rolled_products(connection)
    roll.ensure(connection, row.product)
    for device_ids in roll.marked_devices(connection, row):
        roll.roll_late(connection, row, device_ids)
    due = roll.due_devices(connection, row, now=TODAY, refresh=timedelta(0))
    for device_ids in due:
        roll.roll_devices(connection, row, device_ids, now=TODAY)


def everything(connection: CommunityConnection) -> list[Any]:
    tables = ("telemetry.kettle", "telemetry_hour.kettle", "telemetry_day.kettle")
    return [connection.execute(f"select * from {t} order by 1, 2").fetchall() for t in tables]


def test_the_edition_is_told_at_run_time(community: CommunityConnection) -> None:
    assert retention.is_community(community)  # type: ignore[arg-type]


def test_old_chunks_move_to_the_columnstore_and_every_answer_stays(
    community: Any, kettle: Product
) -> None:
    before = everything(community)

    moved = service.move_to_columns(community, now=TODAY)
    again = service.move_to_columns(community, now=TODAY)

    chunks = retention.chunks(community, kettle, "raw")
    horizon = TODAY - DAY
    assert moved == sum(chunk.ends_at <= horizon for chunk in chunks) > 3
    assert [c.is_columnar for c in chunks] == [c.ends_at <= horizon for c in chunks]
    assert again == 0
    assert everything(community) == before


def test_a_late_sample_finds_its_place_and_its_hour(community: Any, kettle: Product) -> None:
    service.move_to_columns(community, now=TODAY)
    at = TODAY - 15 * DAY
    fill = (
        "insert into telemetry.kettle as stored (device_id, measured_at, water_c, boils)"
        " select id, %(at)s, 99, 7 from gateway.device where name = 'k1'"
        " on conflict (device_id, measured_at) do update set water_c = coalesce(stored.water_c,"
        " excluded.water_c), boils = coalesce(stored.boils, excluded.boils)"
    )
    for minutes in (0, 5):  # an instant that is stored, and one that is not
        community.execute(fill, {"at": at + timedelta(minutes=minutes)})
    community.execute(
        "insert into ingest.late_mark (device_id, from_at, through_at, marked_at)"
        " select id, %(at)s, %(at)s, %(at)s from gateway.device where name = 'k1'",
        {"at": at},
    )

    roll_all(community)

    row = community.execute(
        "select samples, water_c_max, boils_count from telemetry_hour.kettle h"
        " join gateway.device d on d.id = h.device_id and d.name = 'k1' where starts_at = %(at)s",
        {"at": at},
    ).fetchone()
    assert row == (7, 99.0, 2)


def test_a_metric_can_be_added_to_a_table_with_columns(community: Any, kettle: Product) -> None:
    service.move_to_columns(community, now=TODAY)
    wider = parse_sheet(WIDER, source="kettle.toml")

    registry.add_columns(community, wider, [wider.metric("lid_open")])

    assert community.execute("select count(lid_open) from telemetry.kettle").fetchone() == (0,)


def test_history_reads_what_lies_in_columns(community: Any, kettle: Product) -> None:
    service.move_to_columns(community, now=TODAY)
    (device_id,) = community.execute("select id from gateway.device where name = 'k2'").fetchone()

    found = [
        history(
            community,
            kettle,
            device_id,
            metric="power_w",
            begin=TODAY - 12 * DAY,
            end=TODAY - 9 * DAY,
            resolution=source,
            points=3,
        ).steps
        for source in (Source.RAW, Source.HOUR, Source.DAY)
    ]

    assert [(s.low, s.high, s.values) for s in found[0]] == [(0.0, 23.0, 144)] * 3
    assert found[0] == found[1] == found[2]


def test_chunks_in_columns_are_dropped_as_others_are(community: Any, kettle: Product) -> None:
    service.move_to_columns(community, now=TODAY)

    done = service.apply(community, now=TODAY)

    (raw,) = [line for line in done if line.kind == "raw"]
    oldest = community.execute("select min(measured_at) from telemetry.kettle").fetchone()
    assert raw.rows > 0
    assert raw.bytes > 0
    assert oldest == (raw.through_at,)

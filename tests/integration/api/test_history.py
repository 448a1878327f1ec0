"""Long spans in few steps, everything as a file, and the newest value is the newest."""

import csv
import io
import threading
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from api import store
from api.rest import history as endpoints
from core.pool import connect
from core.product import Product
from ingest.rollups.worker import RollWorker
from tests.fixtures.site import EVENT_NOW, Site
from tests.integration.ingest.conftest import until

DEVICE = "/api/v1/devices/hp-0000"


@pytest.fixture
def rolled(site: Site) -> Site:
    RollWorker(site.settings, threading.Event()).run_once()
    return site


def asked(site: Site, **query: Any) -> dict[str, Any]:
    answer = site.program("owner0@example.org").get(
        f"{DEVICE}/history", params={"metric": "power_w", **query}
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("resolution", ["raw", "hour", "day"])
def test_every_source_tells_the_same_of_the_same_steps(rolled: Site, resolution: str) -> None:
    span = {"from": "2026-11-22T00:00:00Z", "to": "2026-11-24T06:00:00Z", "points": 2}

    found = asked(rolled, resolution=resolution, **span)

    expected = rolled.rows(
        "select count(power_w), min(power_w)::float8, max(power_w)::float8 from telemetry.heat_pump"
        " where device_id = %s and measured_at >= %s and measured_at < %s",
        rolled.fleet.device_ids[0],
        span["from"],
        span["to"],
    )
    items = found["items"]
    assert found["resolution"] == resolution
    assert found["unit"] == "W"
    assert [
        (
            sum(i["values"] for i in items),
            min(i["low"] for i in items),
            max(i["high"] for i in items),
        )
    ] == expected
    assert len(items) <= 4


def test_samples_behind_the_newest_rollup_are_part_of_it(rolled: Site) -> None:
    before = asked(rolled, resolution="day")["items"][-1]
    rolled.change(
        "insert into telemetry.heat_pump (device_id, measured_at, power_w) values (%s, %s, 9999)",
        rolled.fleet.device_ids[0],
        EVENT_NOW + timedelta(seconds=1),
    )

    after = asked(rolled, resolution="day", to="2026-11-25T00:00:00Z")["items"][-1]

    assert after["values"] == before["values"] + 1
    assert after["high"] == 9999.0


def test_auto_takes_hours_or_days_for_what_is_long_and_what_is_gone(rolled: Site) -> None:
    short = asked(rolled, **{"from": "2026-11-23T00:00:00Z", "to": "2026-11-24T00:00:00Z"})
    years = asked(rolled, **{"from": "2021-01-01T00:00:00Z", "to": "2026-11-24T00:00:00Z"})
    rolled.change(
        "insert into ingest.dropped select id, 'raw', '2026-11-24', '2026-11-24' from gateway.product"
    )
    gone = asked(rolled, **{"from": "2026-11-23T00:00:00Z", "to": "2026-11-24T00:00:00Z"})

    assert [short["resolution"], years["resolution"], gone["resolution"]] == ["raw", "day", "hour"]


def test_without_any_rollup_the_samples_answer(site: Site) -> None:
    found = asked(site, resolution="hour", points=4000)

    assert found["step_s"] == 3 * 3600
    assert found["items"]


def test_the_number_of_steps_is_bounded(rolled: Site) -> None:
    found = asked(rolled, points=10)

    assert 0 < len(found["items"]) <= 11


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"metric": "no_such"}, 422),
        ({"metric": 'x"; drop table telemetry.heat_pump; --'}, 422),
        ({"metric": "power_w", "points": 100_000}, 422),
        ({"metric": "power_w", "resolution": "week"}, 422),
        ({"metric": "power_w", "from": "2026-11-24T00:00:00Z", "to": "2026-11-23T00:00:00Z"}, 422),
    ],
)
def test_nonsense_is_refused(shown: Site, query: dict[str, Any], status: int) -> None:
    answer = shown.program("owner0@example.org").get(f"{DEVICE}/history", params=query)

    assert answer.status_code == status
    assert answer.json()["message"]


def test_an_owner_takes_along_all_that_the_own_device_has_measured(shown: Site) -> None:
    answer = shown.program("owner0@example.org").get(f"{DEVICE}/export")

    rows = list(csv.reader(io.StringIO(answer.text)))
    stored = shown.rows(
        "select count(*) from telemetry.heat_pump where device_id = %s", shown.fleet.device_ids[0]
    )
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert 'filename="hp-0000-raw.csv"' in answer.headers["content-disposition"]
    assert rows[0][:3] == ["device", "measured_at", "ambient_c [°C]"]
    assert [(len(rows) - 1,)] == stored
    assert {row[0] for row in rows[1:]} == {"hp-0000"}


def test_a_browser_that_is_signed_in_gets_the_file_from_the_page(shown: Site) -> None:
    browser = shown.browser("owner0@example.org")
    page = browser.get("/devices/hp-0000?days=365")

    answer = browser.get(f"{DEVICE}/export?resolution=raw&metric=outlet_c")

    assert f'href="{DEVICE}/export"' in page.text
    assert answer.text.splitlines()[0] == "device,measured_at,outlet_c [°C]"


def test_the_manufacturer_exports_a_whole_product(rolled: Site) -> None:
    answer = rolled.program("maker@example.org").get(
        "/api/v1/products/heat_pump/export", params={"resolution": "day", "metric": "power_w"}
    )

    rows = list(csv.reader(io.StringIO(answer.text)))
    assert len(rows) - 1 == rolled.rows("select count(*) from telemetry_day.heat_pump")[0][0]
    assert rows[0][2:] == [
        "samples", "power_w_min [W]", "power_w_mean [W]", "power_w_max [W]", "power_w_count",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/devices/hp-0001/export", 404),
        ("/api/v1/devices/hp-0001/history?metric=power_w", 404),
        ("/api/v1/products/heat_pump/export", 403),
        (f"{DEVICE}/export?metric=no_such", 422),
        (f"{DEVICE}/export?resolution=day", 409),
    ],
)
def test_an_owner_gets_nothing_that_belongs_to_others(shown: Site, path: str, status: int) -> None:
    answer = shown.program("owner0@example.org").get(path)

    assert answer.status_code == status


def test_a_reader_that_goes_away_frees_its_place(shown: Site) -> None:
    """More than may run at once, one after the other, each left after its first bytes."""
    client = shown.program("maker@example.org")
    for _ in range(5):
        with client.stream("GET", "/api/v1/products/heat_pump/export") as answer:
            assert answer.status_code == 200
            next(answer.iter_bytes(100))

        until(lambda: endpoints._slots._value == endpoints._AT_ONCE, what="the place")


def test_more_exports_than_may_run_at_once_are_put_off(shown: Site) -> None:
    taken = [endpoints._slots.acquire(blocking=False) for _ in range(endpoints._AT_ONCE)]
    try:
        answer: httpx.Response = shown.program("maker@example.org").get(f"{DEVICE}/export")
    finally:
        for _ in taken:
            endpoints._slots.release()

    assert taken == [True] * endpoints._AT_ONCE
    assert answer.status_code == 503
    assert answer.headers["retry-after"]


def test_an_older_sample_that_comes_late_is_not_the_newest_value(site: Site) -> None:
    device_id = site.fleet.device_ids[0]
    product: Product = site.fleet.product

    def newest() -> tuple[datetime, dict[str, Any]] | None:
        with connect(site.settings.database_url, name="test") as connection:
            return store.newest_sample(connection, device_id, product)

    before = newest()
    site.change(
        "insert into telemetry.heat_pump (device_id, measured_at, outlet_c) values (%s, %s, -39)",
        device_id,
        EVENT_NOW - timedelta(hours=7, minutes=3),
    )

    after = newest()

    assert before is not None
    assert after == before
    assert after[0] == EVENT_NOW

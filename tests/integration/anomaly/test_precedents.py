"""What earlier cases came to stands beside a forecast, as far as it was known when it was made."""

from datetime import timedelta

import pytest

from anomaly.evidence import instant
from anomaly.precedent.service import Precedents, look_at_precedents
from anomaly.store import read_products
from core.clock import wall_now
from core.pool import Pool
from tests.integration.anomaly.test_worker import deliver, register_pumps, work
from tests.unit.anomaly.bench import BEARING, DAY_US, START_US, Wear, make_samples

FIRST = make_samples(300, days=26, wear=Wear(from_day=7, fails_day=15, moves=BEARING))
SECOND = make_samples(301, days=26, wear=Wear(from_day=18, fails_day=26, moves=BEARING))
WELL = make_samples(302, days=26)


@pytest.fixture
def told(pool: Pool) -> list[int]:
    """One pump fails; then another begins to wear in the same way."""
    with pool.connection() as connection:
        devices = register_pumps(connection, 3)
    for day in (17, 25):
        with pool.connection() as connection:
            for device_id, samples in zip(devices, (FIRST, SECOND, WELL), strict=True):
                deliver(connection, device_id, samples, until_us=START_US + day * DAY_US)
        work(pool)
    return devices


def said(pool: Pool, table: str, at: str, device_id: int) -> dict[object, list[dict]]:
    with pool.connection() as connection:
        rows = connection.execute(
            f"select {at}, evidence -> 'sentences' from anomaly.{table} where device_id = %s"
            f" and failure_mode = 'bearing_wear' order by {at}",
            [device_id],
        ).fetchall()
    return {row[0]: [s for s in row[1] or [] if s["key"] == "similar"] for row in rows}


def test_a_forecast_says_what_became_of_a_device_that_looked_like_this(
    pool: Pool, told: list[int]
) -> None:
    first = said(pool, "forecast", "made_at", told[0])
    second = said(pool, "forecast", "made_at", told[1])

    assert not any(first.values())  # nobody knew yet
    sentences = [s for found in second.values() for s in found]
    assert sentences
    assert {(s["values"]["cases"], s["values"]["failed"]) for s in sentences} == {(1, 1)}
    assert sentences[0]["text"].startswith(
        "Of 1 earlier case that looked like this, 1 failed after "
    )
    # Those that were farther gone had less time left.
    days = [s["values"]["first_days"] for s in sentences]
    assert days[0] > days[-1]
    assert any(said(pool, "detection", "at", told[1]).values())


def test_what_became_known_later_is_not_said_of_an_earlier_forecast(
    pool: Pool, told: list[int]
) -> None:
    with pool.connection() as connection:
        (known,) = connection.execute("select min(known_through) from anomaly.precedent").fetchone()
    failed = instant(START_US + 15 * DAY_US)

    assert failed - timedelta(days=1) < known
    assert all(
        at >= known for at, found in said(pool, "forecast", "made_at", told[1]).items() if found
    )


def test_a_day_is_summed_up_once_and_read_again_only_when_something_is_new(
    pool: Pool, told: list[int]
) -> None:
    with pool.connection() as connection:
        (row,) = read_products(connection)
        kept = Precedents()
        known = kept.of(connection, row.id)
        rows = connection.execute("select count(*) from anomaly.precedent").fetchone()

        again = look_at_precedents(connection, row, now=wall_now())

        assert again == 0
        assert kept.of(connection, row.id) is known
        assert connection.execute("select count(*) from anomaly.precedent").fetchone() == rows

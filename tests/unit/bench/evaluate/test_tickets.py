"""The production policy over rows of forecasts: which tickets open, and when."""

from datetime import timedelta

import numpy as np

from anomaly.backtest.track import STATUSES, Track
from anomaly.learn.history import Catalog, History
from anomaly.learn.labels import labels_of
from bench.evaluate.tickets import runs_of_mode, tickets_of
from gateway.sheet import shipped_sheet

CATALOG = Catalog(shipped_sheet("heat_pump"))
BEARING = CATALOG.modes.index("fan_bearing")
EVERY = CATALOG.product.forecast_every // timedelta(microseconds=1)
OK, DECLINING, FAILED = (STATUSES.index(name) for name in ("ok", "declining", "failed"))


def track(statuses: list[int], *, p: float = 0.9, serviced_after: int | None = None) -> Track:
    """A device that is well but for its fan, whose forecasts are given."""
    number = len(statuses)
    made = EVERY * np.arange(1, number + 1, dtype=np.int64)
    status = np.full((number, len(CATALOG.modes)), OK)
    status[:, BEARING] = statuses
    chance = np.full((number, len(CATALOG.modes), 3), 1e-4)
    for row, own in enumerate(statuses):
        if own != OK:
            chance[row, BEARING] = (0.2 * p, 0.8 * p, p)
    service = np.empty(0, dtype=np.int64)
    if serviced_after is not None:
        service = np.array([serviced_after * EVERY + 1], dtype=np.int64)
    component = CATALOG.components.index("fan")
    return Track(
        history=History(
            device="hp-1", begins_us=0, until_us=int(made[-1]), service_us=service,
            service_component=np.full(len(service), component),
        ),
        made_us=made, status=status, p_fail=chance,
        life_hours=np.full((number, len(CATALOG.modes), 5), np.inf),
        labels=labels_of(CATALOG, findings=[], faults=[]), sensors=(),
    )  # fmt: skip


def test_one_forecast_alone_opens_nothing_and_two_of_three_do() -> None:
    once = tickets_of(CATALOG, track([OK, DECLINING, OK, OK, OK]))
    twice = tickets_of(CATALOG, track([OK, DECLINING, DECLINING, OK]))

    assert once == ()
    assert [(e.mode, e.opened_us) for e in twice] == [("fan_bearing", 3 * EVERY)]


def test_a_ticket_stays_one_and_is_over_when_the_values_recover() -> None:
    found = tickets_of(CATALOG, track([DECLINING] * 6 + [OK] * 8))

    assert len(found) == 1
    assert found[0].cleared_us is not None
    assert 6 * EVERY < found[0].cleared_us <= 14 * EVERY


def test_a_replaced_part_ends_its_ticket() -> None:
    found = tickets_of(CATALOG, track([DECLINING] * 4 + [OK] * 4, serviced_after=4))

    assert [e.cleared_us for e in found] == [4 * EVERY + 1]


def test_a_part_that_has_failed_is_no_preventive_ticket() -> None:
    assert tickets_of(CATALOG, track([OK, FAILED, FAILED, FAILED])) == ()


def test_tickets_are_laid_out_per_mode_and_device() -> None:
    found = tickets_of(CATALOG, track([DECLINING] * 4))

    runs = runs_of_mode(found, mode="fan_bearing", devices={"other": 0, "hp-1": 1})

    assert runs.device.tolist() == [1]
    assert runs.opened_us.tolist() == [2 * EVERY]
    assert len(runs_of_mode(found, mode="compressor_wear", devices={"hp-1": 0})) == 0

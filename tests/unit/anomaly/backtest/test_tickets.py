"""Replayed forecasts go through what opens tickets live."""

from dataclasses import replace
from datetime import timedelta

import numpy as np

from anomaly.backtest.tickets import tickets_of
from anomaly.backtest.track import STATUSES, Track
from anomaly.judge.told import Ground
from anomaly.learn.history import Catalog, History
from anomaly.learn.labels import labels_of
from anomaly.runs import STILL_OPEN, Runs
from gateway.sheet import shipped_sheet
from maintenance.replay import REPLAY

CATALOG = Catalog(shipped_sheet("heat_pump"))
FAN = CATALOG.modes.index("fan_bearing")
EVERY = CATALOG.product.forecast_every // timedelta(microseconds=1)
OK, DECLINING, FAILED = (STATUSES.index(name) for name in ("ok", "declining", "failed"))


def track(statuses: list[int], *, serviced: int | None = None, doubted: int | None = None) -> Track:
    """A device that is well but for its fan, whose forecasts are given; somebody comes after one of them."""
    number = len(statuses)
    made = EVERY * np.arange(1, number + 1, dtype=np.int64)
    status = np.full((number, len(CATALOG.modes)), OK)
    status[:, FAN] = statuses
    chance = np.full((number, len(CATALOG.modes), 3), 1e-4)
    chance[status[:, FAN] != OK, FAN] = (0.18, 0.72, 0.9)
    visits = [[] if at is None else [at * EVERY + 1] for at in (serviced, doubted)]
    service, doubt = (np.array(at, dtype=np.int64) for at in visits)
    return Track(
        history=History(
            device="hp-1", begins_us=0, until_us=int(made[-1]), service_us=service,
            service_component=np.full(len(service), CATALOG.components.index("fan")),
            doubt_us=doubt, doubt_mode=np.full(len(doubt), FAN),
        ),
        made_us=made, status=status, p_fail=chance,
        life_hours=np.full((number, len(CATALOG.modes), 5), np.inf),
        worn=np.zeros((number, len(CATALOG.modes))),
        labels=labels_of(CATALOG, findings=[], faults=[]), sensors=(),
    )  # fmt: skip


def runs(*tracks: Track, from_row: int = 0) -> Runs:
    histories = tuple(one.history for one in tracks)
    until = max(history.until_us for history in histories)
    ground = Ground(
        catalog=CATALOG, histories=histories, from_us=from_row * EVERY, until_us=until, useful_hours=720
    )  # fmt: skip
    return tickets_of(REPLAY, ground, tracks, policy=REPLAY.live)["fan_bearing"]


def test_one_forecast_alone_opens_nothing_and_two_of_three_do() -> None:
    assert len(runs(track([OK, DECLINING, OK, OK, OK]))) == 0
    assert runs(track([OK, DECLINING, DECLINING, OK])).opened_us.tolist() == [3 * EVERY]


def test_a_ticket_stays_one_and_is_over_when_the_values_recover() -> None:
    found = runs(track([DECLINING] * 6 + [OK] * 8))

    assert found.opened_us.tolist() == [2 * EVERY]
    assert found.cleared_us.tolist() == [10 * EVERY]


def test_a_replaced_part_ends_its_ticket() -> None:
    found = runs(track([DECLINING] * 4 + [OK] * 4, serviced=4))

    assert found.cleared_us.tolist() == [4 * EVERY + 1]


def test_after_no_fault_was_found_the_same_warning_is_silent_for_two_lead_times() -> None:
    found = runs(track([DECLINING] * 80, doubted=4))

    lead = CATALOG.product.failure_mode("fan_bearing").lead_time // timedelta(microseconds=1)
    silent_until = 4 * EVERY + 1 + 2 * lead
    assert found.opened_us.tolist() == [2 * EVERY, (silent_until // EVERY + 1) * EVERY]
    assert found.cleared_us.tolist() == [4 * EVERY + 1, STILL_OPEN]


def test_a_part_that_has_failed_is_no_preventive_ticket() -> None:
    assert len(runs(track([OK, FAILED, FAILED, FAILED]))) == 0


def test_devices_are_numbered_as_their_tracks_are() -> None:
    quiet, warned = track([OK] * 4), track([DECLINING] * 4)

    found = runs(quiet, warned, quiet, warned)

    assert found.device.tolist() == [1, 3]
    assert found.opened_us.tolist() == [2 * EVERY, 2 * EVERY]


def test_it_begins_anew_with_the_judged_time() -> None:
    found = runs(track([DECLINING] * 8, serviced=2), from_row=4)

    assert found.opened_us.tolist() == [6 * EVERY]


def test_quantiles_of_life_tell_what_is_left_of_a_part() -> None:
    spent = track([DECLINING] * 4)
    young = replace(spent, life_hours=np.full((4, len(CATALOG.modes), 5), 8000.0))
    young.p_fail[:, FAN] = spent.p_fail[:, FAN] = (0.01, 0.12, 0.6)
    spent.life_hours[:, FAN] = (60, 100, 200, 400, 600)

    assert (len(runs(young)), len(runs(spent))) == (0, 1)

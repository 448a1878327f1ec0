"""The table: a fleet whose truth is known, judged whole."""

import numpy as np
import pytest
from scipy.stats import gamma

from anomaly.judge.beside import Course, controls_told
from anomaly.judge.calibration import Known, brier
from anomaly.judge.controls import Part
from anomaly.judge.levels import levels_of
from anomaly.judge.ranking import average_precision
from anomaly.judge.table import make_table
from anomaly.judge.told import Ground, Told
from anomaly.learn.frame import Frame
from anomaly.learn.history import Catalog, History
from anomaly.policy import Policy
from anomaly.runs import Breaks, Rows, Runs, runs_of
from tests.unit.anomaly.learn.test_frame import product

CATALOG = Catalog(product())
HOUR = 3_600_000_000
SEED = 21
SHAPE, SCALE = 20.0, 30.0
"""Lives are gamma distributed: 600 hours and a quarter of it more or less."""
SHARES = (0.05, 0.1, 0.5, 0.9, 0.95)
POLICY = Policy(open_above=0.5, clear_below=0.25, confirm=2, of=3)
MODES = ("belt_worn", "pump_worn")


def fleet(rng: np.random.Generator, devices: int, *, hours: int = 4000) -> tuple[History, ...]:
    found = []
    for number in range(devices):
        failures, modes = [], []
        for mode in (0, 1):
            at = np.cumsum(rng.gamma(SHAPE, SCALE, 12))
            failures.append(at[at < hours])
            modes.append(np.full(len(failures[-1]), mode))
        at, mode = np.concatenate(failures), np.concatenate(modes)
        order = np.argsort(at)
        found.append(
            History(
                device=f"d{number}",
                begins_us=0,
                until_us=hours * HOUR,
                failure_us=(at[order] * HOUR).astype(np.int64),
                failure_mode=mode[order],
            )
        )
    return tuple(found)


def age_and_rows(histories, mode: str, *, first: int, last: int):
    at = np.arange(first, last, 3, dtype=np.int64) * HOUR
    device = np.repeat(np.arange(len(histories)), len(at))
    age = []
    for history in histories:
        failed = history.failure_us[history.failure_mode == CATALOG.modes.index(mode)]
        born = np.append(0, failed)
        age.append((at - born[np.searchsorted(failed, at, side="right")]) / HOUR)
    return device, np.tile(at, len(histories)), np.concatenate(age)


def knows_the_truth(histories, mode: str, *, first: int, last: int) -> Told:
    """A forecaster that knows the law of the lives and the age, and nothing else."""
    device, at, age = age_and_rows(histories, mode, first=first, last=last)
    left = gamma.sf(age, SHAPE, scale=SCALE)
    horizons = (48.0, 240.0)
    p = np.column_stack([1 - gamma.sf(age + h, SHAPE, scale=SCALE) / left for h in horizons])
    life = np.column_stack([gamma.isf(left * (1 - s), SHAPE, scale=SCALE) - age for s in SHARES])
    runs = runs_of(POLICY, Rows(device=device, at_us=at, score=p[:, 1]), breaks(histories, mode))
    return Told(
        mode=mode, device=device, at_us=at, horizons_hours=horizons, probability=p, runs=runs,
        life_shares=SHARES, life_hours=life,
    )  # fmt: skip


def breaks(histories, mode: str) -> Breaks:
    own = [h.failure_us[h.failure_mode == CATALOG.modes.index(mode)] for h in histories]
    return Breaks(
        device=np.repeat(np.arange(len(own)), [len(o) for o in own]), at_us=np.concatenate(own)
    )


def ground(histories, **changes) -> Ground:
    given = {
        "catalog": CATALOG, "histories": histories, "from_us": 500 * HOUR, "until_us": 4000 * HOUR,
        "useful_hours": 300.0, "lead_hours": 24.0, "leads_hours": (24.0, 100.0), "draws": 60,
        "seed": SEED,
    }  # fmt: skip
    return Ground(**{**given, **changes})


@pytest.fixture(scope="module")
def table():
    histories = fleet(np.random.default_rng(SEED), 120)
    told = [knows_the_truth(histories, mode, first=501, last=4000) for mode in MODES]
    return make_table(ground(histories), told)


def test_who_knows_the_truth_is_calibrated(table) -> None:
    for mode in table.modes:
        for horizon in mode.reached.horizons:
            assert horizon.ece < 0.03
            assert horizon.brier < horizon.brier_of_rate
            assert horizon.average_precision > 2 * horizon.rate


def test_the_intervals_of_who_knows_the_truth_hold_as_often_as_they_say(table) -> None:
    life = table.total.life

    assert life.coverage_90 == pytest.approx(0.9, abs=0.03)
    assert life.coverage_80 == pytest.approx(0.8, abs=0.04)
    interval = table.total.intervals["coverage_90"]
    assert interval.low < life.coverage_90 < interval.high
    assert 0.005 < interval.high - interval.low < 0.05
    assert sum(row.rows for row in life.by_life) == life.rows


def test_alerts_of_all_modes_add_up(table) -> None:
    parts = [mode.reached.alerts for mode in table.modes]

    assert table.total.alerts.events == sum(part.events for part in parts)
    assert table.total.alerts.false_alarms == sum(part.false_alarms for part in parts)
    assert table.total.alerts.cost_without == pytest.approx(
        sum(part.cost_without for part in parts)
    )
    assert table.total.alerts.device_years == pytest.approx(
        np.mean([part.device_years for part in parts])
    )


def test_intervals_hold_the_figure_and_name_their_seed(table) -> None:
    figures = table.modes[0].reached
    for name in ("event_recall", "alert_precision"):
        interval = figures.intervals[name]
        assert interval.low <= getattr(figures.alerts, name) <= interval.high
        assert interval.seed == SEED
    brier_interval = figures.intervals["brier@240"]
    assert brier_interval.low <= figures.horizons[1].brier <= brier_interval.high


def test_figures_have_the_names_that_evaluations_print(table) -> None:
    found = table.figures()

    assert {
        "events", "events_caught", "event_recall", "alert_precision", "false_alarms_per_device_year",
        "lead_hours_q10", "lead_hours_median", "average_precision", "brier", "ece", "coverage_80",
        "coverage_90", "width_90", "cost_per_device_year",
    } <= found.keys()  # fmt: skip
    assert found["average_precision"].keys() == {"48", "240"}


def test_one_device_by_hand() -> None:
    one = History(
        device="d", begins_us=0, until_us=2000 * HOUR, failure_us=np.array([600 * HOUR]),
        failure_mode=np.array([0]),
    )  # fmt: skip
    at = np.arange(3, 1000, 3) * HOUR
    p = np.where((at >= 400 * HOUR) & (at < 600 * HOUR), 0.9, 0.0)
    p[0] = 0.9
    rows = Rows(device=np.zeros(len(at), dtype=np.int64), at_us=at, score=p)
    single = Policy(open_above=0.5, clear_below=0.5, confirm=1, of=1)
    told = Told(
        mode="belt_worn", device=rows.device, at_us=at, horizons_hours=(200.0,),
        probability=p[:, None], runs=runs_of(single, rows),
    )  # fmt: skip

    found = make_table(ground((one,), from_us=0, until_us=1000 * HOUR, draws=5), [told])

    alerts, horizon = found.total.alerts, found.total.horizons[0]
    assert (alerts.events, alerts.events_caught, alerts.false_alarms) == (1, 1, 1)
    assert (alerts.alert_precision, alerts.lead_hours_median) == (0.5, 198)
    assert alerts.recall_by_lead == {"24": 1, "100": 1}
    # watched from the first row on; of the second life all but the last 300 hours
    assert alerts.device_years * 8766 == pytest.approx(597 + 100)
    assert found.total.life is None
    # failed within 200 h: rows 402 to 597 said 0.9; the row at 400 does not exist
    assert horizon.rows_failed == 66
    assert horizon.average_precision == pytest.approx(66 / 67)


def test_controls_go_through_the_same_policy_and_judge() -> None:
    histories = fleet(np.random.default_rng(SEED + 1), 40)
    told = knows_the_truth(histories, "belt_worn", first=2500, last=4000)

    def part(first: int, last: int) -> Part:
        device, at, _ = age_and_rows(histories, "belt_worn", first=first, last=last)
        frame = Frame(device=device, at_us=at, x=np.empty((len(at), 0)), names=())
        return Part(catalog=CATALOG, histories=histories, frame=frame, mode="belt_worn")

    course = Course(
        train=part(1, 1500), calibration=part(1700, 2300), test=part(2500, 4000), policy=POLICY,
        choose=lambda rows, cuts: POLICY,
    )  # fmt: skip
    beside = controls_told(told, course, seed=SEED, alert_horizon=1)
    found = make_table(
        ground(histories, from_us=2400 * HOUR, draws=10), [told],
        controls={name: [one] for name, one in beside.items()},
    )  # fmt: skip

    assert set(found.controls) == {"always_on", "random", "calendar", "age", "persistence"}
    ours = found.total
    age, noise = found.controls["age"], found.controls["random"]
    # Here age is all there is to know, so who knows the truth is hardly better than the age control.
    assert age.horizons[1].average_precision == pytest.approx(
        ours.horizons[1].average_precision, abs=0.08
    )
    assert noise.horizons[1].average_precision < ours.horizons[1].average_precision / 2
    assert 0 < noise.alerts.alerts <= ours.alerts.alerts
    always = found.controls["always_on"].alerts
    assert always.alert_precision < ours.alerts.alert_precision
    assert found.modes[0].controls.keys() == found.controls.keys()


def test_rows_summed_per_level_give_the_same_figures() -> None:
    rng = np.random.default_rng(SEED)
    p, y, w = rng.integers(0, 50, 800) / 50, rng.random(800) < 0.3, rng.random(800)
    device, drawn = rng.integers(0, 9, 800), rng.integers(0, 3, 9)

    found = levels_of(p, Known(happened=y, weight=w), device, devices=9).summed(drawn)

    again = w * drawn[device]
    columns = (found.probability, found.happened, found.weight)
    assert brier(*columns) == pytest.approx(brier(p, y, again))
    assert average_precision(*columns) == pytest.approx(average_precision(p, y, again))


def test_a_strict_judge_counts_alerts_that_nobody_can_judge() -> None:
    one = History(device="d", begins_us=0, until_us=1000 * HOUR)
    at = np.arange(3, 1000, 3) * HOUR
    told = Told(
        mode="belt_worn", device=np.zeros(len(at), dtype=np.int64), at_us=at, horizons_hours=(200.0,),
        probability=np.zeros((len(at), 1)),
        runs=Runs(device=np.array([0]), opened_us=np.array([900 * HOUR]),
                  cleared_us=np.array([950 * HOUR]), row=np.array([299])),
    )  # fmt: skip

    kind, strict = (
        make_table(ground((one,), draws=3, is_strict=is_strict), [told]).total.alerts
        for is_strict in (False, True)
    )

    assert (kind.false_alarms, kind.undecided) == (0, 1)
    assert (strict.false_alarms, strict.undecided) == (1, 0)

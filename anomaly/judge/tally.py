"""Figures of judged alerts: recall, precision, false alarms, lead, cost. Pure."""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from anomaly.judge.alerts import Judgement, Verdict
from anomaly.records import BoolArray, FloatArray, IntArray


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """In the product sheet's currency."""

    failure: float
    """One that nobody warned of, everything included."""
    visit: float
    """One visit, before the failure or for nothing."""


class AlertFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What the alerts were worth. None where there is nothing to divide by."""

    events: int
    """Failures that could be foreseen."""
    events_caught: int
    event_recall: float | None
    alerts: int
    right: int
    alert_precision: float | None
    """Right among right and false. A late alert is a missed failure, not a false alarm."""
    precision_late_counted: float | None
    """Right among right, false and late."""
    false_alarms: int
    false_alarms_per_device_year: float | None
    device_years: float
    lead_hours_q10: float | None
    lead_hours_median: float | None
    lead_hours_q90: float | None
    share_too_early: float | None
    """Alerts earlier than W before a failure, among right, false and late."""
    late: int
    undecided: int
    """Alerts of which nobody can say whether they were right."""
    unseen: int
    """Failures of devices that were not watched between W and H before."""
    recall_by_lead: Mapping[str, float | None] = {}
    """Share of failures that an alert preceded by at least so many hours (and at most W)."""
    cost_per_device_year: float | None = None
    """Missed failures, visits for caught ones, and visits for false alarms."""
    cost_without: float | None = None
    """Cost per device-year without any alert."""
    cost_best: float | None = None
    """Cost per device-year if each failure were caught and nothing else raised."""


def tally(
    judgement: Judgement,
    *,
    leads_hours: Sequence[float] = (),
    costs: Costs | None = None,
    drawn: IntArray | None = None,
) -> AlertFigures:
    """Count.

    Parameters
    ----------
    leads_hours : sequence of float
        Leads at which the recall curve is shown, hours, at most W.
    costs : Costs, optional
    drawn : ndarray of int, shape (devices,), optional
        How often each device counts: a draw of a bootstrap. By default once.
    """
    times = np.ones(judgement.devices, dtype=np.int64) if drawn is None else drawn
    counts = np.bincount(judgement.verdict, weights=times[judgement.alert_device], minlength=5)
    right, early, wrong, late, undecided = (int(count) for count in counts)
    weight = times[judgement.failure_device]
    events, caught = int(weight.sum()), int(weight[judgement.caught].sum())
    years = float(judgement.years @ times)
    watched = float(judgement.watched_years @ times)
    false = early + wrong
    leads = [weighted_quantile(judgement.lead_hours, weight, share) for share in (0.1, 0.5, 0.9)]
    rates = _cost(
        costs, events=events, caught=caught, watched=watched, false_rate=_over(false, years)
    )
    return AlertFigures(
        events=events,
        events_caught=caught,
        event_recall=_over(caught, events),
        alerts=right + false + late + undecided,
        right=right,
        alert_precision=_over(right, right + false),
        precision_late_counted=_over(right, right + false + late),
        false_alarms=false,
        false_alarms_per_device_year=_over(false, years),
        device_years=years,
        lead_hours_q10=leads[0],
        lead_hours_median=leads[1],
        lead_hours_q90=leads[2],
        share_too_early=_over(early, right + false + late),
        late=late,
        undecided=undecided,
        unseen=judgement.unseen,
        recall_by_lead={f"{lead:g}": _recall(judgement, lead, weight) for lead in leads_hours},
        cost_per_device_year=rates[0],
        cost_without=rates[1],
        cost_best=rates[2],
    )


def weighted_quantile(values: FloatArray, weight: IntArray, share: float) -> float | None:
    """Smallest value that at least this share of the weight does not exceed; NaN values left out."""
    known = ~np.isnan(values) & (weight > 0)
    if not known.any():
        return None
    order = np.argsort(values[known], kind="stable")
    total = np.cumsum(weight[known][order])
    place = int(np.searchsorted(total, share * total[-1] - 1e-9))
    return float(values[known][order][place])


def verdict_counts(judgement: Judgement) -> dict[str, int]:
    """How many alerts were what."""
    return {v.name.lower(): int((judgement.verdict == v).sum()) for v in Verdict}


def _recall(judgement: Judgement, lead: float, weight: IntArray) -> float | None:
    possible = judgement.reach_hours >= lead
    warned: BoolArray = judgement.warned_hours >= lead
    return _over(float(weight[possible & warned].sum()), float(weight[possible].sum()))


def _cost(
    costs: Costs | None, *, events: int, caught: int, watched: float, false_rate: float | None
) -> tuple[float | None, float | None, float | None]:
    """Per device-year: with these alerts, without any, with perfect ones."""
    if costs is None or watched <= 0 or false_rate is None:
        return None, None, None
    met = ((events - caught) * costs.failure + caught * costs.visit) / watched
    without = events * costs.failure / watched
    return met + false_rate * costs.visit, without, events * costs.visit / watched


def _over(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None

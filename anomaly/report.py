"""What a device's state means: its forecasts, and the evidence for them. Pure."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from anomaly import evidence as words
from anomaly.baseline import SMOOTHING_WINDOWS, UNKNOWN
from anomaly.follow import QUICK
from anomaly.forecaster import base_outlook, forecast_path
from anomaly.records import (
    Detection,
    Evidence,
    Forecast,
    MetricEvidence,
    Outlook,
    Sentence,
    Status,
)
from anomaly.state import DeviceState, ModeState
from anomaly.yardstick import Yardstick
from core.product import FailureMode

FAILURES_PER_YEAR = 0.05
"""Of a failure mode of a device that shows no sign."""
LAST_WINDOWS = 8
"""A detection looks at so many of the newest windows."""
AWAY, NEAR = 3.0, 2.0
"""Scores at which a metric counts as away from normal, and as back."""
BELIEF = 0.97
"""That signs of wear which all of the last windows show are wear at all."""
EXCESS_SAID = 0.15
_METRICS_MAX = 4
"""That are told of one part."""
_FOLLOW_NOISE = 0.05
_US_PER_HOUR = 3.6e9


def forecast_mode(
    yard: Yardstick, state: DeviceState, mode: FailureMode, at_us: int, *, is_worded: bool = True
) -> Forecast:
    """Say what is to be expected of a failure mode; without evidence where nobody will read it."""
    own = state.modes[mode.name]
    base = base_outlook(FAILURES_PER_YEAR)
    status: Status
    outlook: Outlook | None = base
    if own.reported_us is not None:
        status = "failed"
        outlook = Outlook(
            p_fail_1d=1.0, p_fail_7d=1.0, p_fail_30d=1.0,
            life_hours_q05=0.0, life_hours_q10=0.0, life_hours_q50=0.0, life_hours_q90=0.0,
            life_hours_q95=0.0,
        )  # fmt: skip
    elif state.phase == "learning" or learns_until(yard, state, mode) is not None:
        status, outlook = "learning", None
    elif is_silent(yard, state, at_us):
        status = "no_data"
    elif own.is_raised and len(own.path) > 1:
        status = "failed" if own.degradation >= 1 else "declining"
        outlook = _extrapolate(yard, own, mode.name, at_us)
    else:
        status = "ok"
    return Forecast(
        failure_mode=mode.name,
        made_us=at_us,
        status=status,
        health_index=None if status == "learning" else health_index(own),
        outlook=outlook,
        evidence=mode_evidence(yard, state, mode) if is_worded else Evidence(),
    )


def learns_until(yard: Yardstick, state: DeviceState, mode: FailureMode) -> int | None:
    """Until when what is normal for a mode's part is learned anew; None: it is known."""
    if not state.anew_until_us:
        return None
    places = [yard.layout.watched.index(e.metric) for e in mode.evidence]
    until = [at for at in (state.anew_until_us[place] for place in places) if at is not None]
    return max(until) if until and len(until) == len(places) else None


def _extrapolate(yard: Yardstick, own: ModeState, mode: str, at_us: int) -> Outlook:
    follows, window_us = yard.layout.follows, yard.layout.window_us
    smoothing = QUICK if follows else SMOOTHING_WINDOWS
    return forecast_path(
        (np.array(own.path_us) - at_us) / _US_PER_HOUR,
        np.array(own.path),
        noise=_FOLLOW_NOISE if follows else yard.mode_noise[mode],
        lag_hours=(smoothing - 1) * window_us / _US_PER_HOUR,
        correlated=max(1.0, 1.5 * smoothing * window_us / yard.forecast_every_us),
        belief=BELIEF * own.hits.bit_count() / LAST_WINDOWS,
        base=base_outlook(FAILURES_PER_YEAR),
    )


def is_silent(yard: Yardstick, state: DeviceState, at_us: int) -> bool:
    """No window with data for as long as it takes to notice."""
    newest = state.newest_us if state.newest_us is not None else state.learn_until_us
    return at_us - newest > silent_after_us(yard)


def silent_after_us(yard: Yardstick) -> int:
    return max(4 * yard.forecast_every_us, 24 * yard.layout.window_us)


def health_index(own: ModeState) -> float:
    if own.reported_us is not None:
        return 0.0
    return float(min(1.0, max(0.0, 1.0 - own.degradation)))


def worn_of(forecast: Forecast) -> float:
    """Degradation that a forecast was made at, from 0 to 1, as precisely as it is stored; 0 where nothing is known."""
    return stored_worn(forecast.health_index)


def stored_worn(health: float | None) -> float:
    """Degradation of a stored health index."""
    return 0.0 if health is None else float(1 - np.float64(np.float32(health)))


# --- evidence ------------------------------------------------------------------------------------


def mode_evidence(yard: Yardstick, state: DeviceState, mode: FailureMode) -> Evidence:
    own = state.modes[mode.name]
    sentences: list[Sentence] = []
    metrics: tuple[MetricEvidence, ...] = ()
    if own.reported_us is not None:
        sentences.append(words.sentence("reported_fault", code=state.fault_code, mode=mode.title))
    if state.phase == "learning":
        if own.reported_us is None:
            until_day = words.iso(state.learn_until_us)
            sentences.append(words.sentence("learning", day=until_day))
        return Evidence(sentences=tuple(sentences))
    until = learns_until(yard, state, mode)
    if until is not None:
        day = words.iso(until)
        sentences.append(words.sentence("learning_anew", component=mode.component, day=day))
        return Evidence(sentences=tuple(sentences), caveats=_state_caveats(yard, state, mode))
    if not own.is_raised and own.reported_us is None and own.since_us is None:
        return Evidence(
            sentences=words.NOTHING.sentences, caveats=_state_caveats(yard, state, mode)
        )
    names = tuple(e.metric for e in mode.evidence)
    metrics = _metric_evidence(yard, state, names)
    if own.is_raised or own.reported_us is not None:
        far = [m for m in metrics if abs(m.deviation_spreads or 0) >= AWAY]
        far.sort(key=lambda m: -abs(m.deviation_spreads or 0))
        sentences += [words.metric_sentence(m) for m in far[:_METRICS_MAX]]
        sentences += _operating_sentence(yard, state, far[:_METRICS_MAX])
    if not sentences:
        sentences.append(words.sentence("all_normal"))
    return Evidence(
        metrics=metrics,
        since=words.iso(own.since_us) if own.since_us is not None else None,
        operating=_operating(yard, state),
        sentences=tuple(sentences),
        caveats=_state_caveats(yard, state, mode),
    )


def quiet_evidence(
    yard: Yardstick, mode: FailureMode, *, outside: Sequence[bool], serviced_us: int | None
) -> Evidence:
    """Say that there is nothing to say, and what one should know before one relies on it.

    Parameters
    ----------
    outside : sequence of bool, one per condition
        Outside of what was seen while learning.
    """
    caveats = _caveats(yard, mode, outside=outside, serviced_us=serviced_us, held_us=None)
    return Evidence(sentences=words.NOTHING.sentences, caveats=caveats)


def _state_caveats(yard: Yardstick, state: DeviceState, mode: FailureMode) -> tuple[Sentence, ...]:
    own = state.modes[mode.name]
    return _caveats(
        yard,
        mode,
        outside=[excess > EXCESS_SAID for excess in state.excess],
        serviced_us=own.serviced_us,
        held_us=own.tolerated_us if own.tolerated > 0 else None,
    )


def _caveats(
    yard: Yardstick,
    mode: FailureMode,
    *,
    outside: Sequence[bool],
    serviced_us: int | None,
    held_us: int | None,
) -> tuple[Sentence, ...]:
    """What one should know before one relies on it."""
    caveats: list[Sentence] = []
    names = [e.metric for e in mode.evidence]
    for name, is_outside in zip(yard.layout.conditions, outside, strict=False):
        if is_outside and any(name in yard.layout.product.metric(m).depends_on for m in names):
            title = yard.layout.product.metric(name).title
            caveats.append(words.sentence("outside", title=title))
    if serviced_us is not None:
        day = words.iso(serviced_us)
        caveats.append(words.sentence("serviced", component=mode.component, day=day))
    if held_us is not None:
        caveats.append(words.sentence("held", day=words.iso(held_us)))
    return tuple(caveats)


def _metric_evidence(
    yard: Yardstick, state: DeviceState, names: tuple[str, ...]
) -> tuple[MetricEvidence, ...]:
    found = []
    for name in names:
        if name not in yard.layout.watched or not state.observed:
            continue
        place = yard.layout.watched.index(name)
        metric = yard.layout.product.metric(name)
        smooth, spread = state.smooth[place], state.spread[place]
        expected = state.expected[place]
        spreads = None
        if smooth is not None and spread and spread < UNKNOWN:
            spreads = smooth / spread
        away = state.away_us[place]
        is_far = spreads is not None and abs(spreads) > NEAR
        found.append(
            MetricEvidence(
                metric=name,
                title=metric.title,
                unit=metric.unit,
                observed=_rounded(_sum(expected, smooth)),
                expected=_rounded(expected),
                spread=_rounded(spread),
                deviation_spreads=_rounded(spreads),
                direction="none" if not is_far else "up" if (spreads or 0) > 0 else "down",
                since=words.iso(away) if away is not None else None,
            )
        )
    return tuple(found)


def _operating(yard: Yardstick, state: DeviceState) -> dict[str, float]:
    pairs = zip(yard.layout.conditions, state.conditions, strict=False)
    return {name: round(value, 4) for name, value in pairs if value is not None}


def _operating_sentence(
    yard: Yardstick, state: DeviceState, far: Sequence[MetricEvidence]
) -> list[Sentence]:
    """Say the conditions on which what is normal for these metrics depends; nothing where there are none."""
    product = yard.layout.product
    counting = {name for told in far for name in product.metric(told.metric).depends_on}
    known = [
        (product.metric(name).title, value, product.metric(name).unit)
        for name, value in _operating(yard, state).items()
        if name in counting
    ]
    return [words.operating_sentence(known)] if known else []


def _sum(left: float | None, right: float | None) -> float | None:
    return None if left is None or right is None else left + right


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")


def sensor_detection(
    yard: Yardstick,
    state: DeviceState,
    name: str,
    change: Literal["raised", "cleared"],
    at_us: int,
) -> Detection:
    own = state.sensors[name]
    metrics = _metric_evidence(yard, state, (name,))
    title = yard.layout.product.metric(name).title
    said: dict[str, str] = {"conversion": own.conversion} if own.reason == "unit" else {}
    return Detection(
        kind="sensor",
        failure_mode=name,
        change=change,
        at_us=at_us,
        score=own.score,
        evidence=Evidence(
            metrics=metrics,
            operating=_operating(yard, state),
            sentences=(words.sentence(own.reason, title=title, **said),),
        ),
    )

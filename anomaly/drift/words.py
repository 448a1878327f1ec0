"""Says what has drifted: the only place where drift becomes sentences. Pure.

Every sentence keeps its key and values, so that it can be said in another language.
"""

from anomaly.drift.calibration import Calibration
from anomaly.drift.inputs import Shift, State
from anomaly.fleet.words import number
from anomaly.records import Sentence
from core.product import FailureMode, Metric

_TEMPLATES = {
    "metric_drifted": "{title} is no longer what was learned: {moved}, on {agree} of {devices} devices (stability index {index}).",
    "condition_drifted": "{title} is elsewhere than while learning: {moved}, on {agree} of {devices} devices (stability index {index}).",
    "steady": "{title} is as it was learned (stability index {index}, {devices} devices).",
    "unclear": "{title}: only {devices} devices have been watched long enough to tell.",
    "higher": "{by}{unit} higher",
    "lower": "{by}{unit} lower",
    "wider": "{ratio} times as wide",
    "condition_means": "Forecasts lean on conditions that were not learned. `forecare anomaly fit` learns the product anew for devices that come.",
    "metric_means": "What is normal may have to be learned anew: `forecare anomaly fit`.",
    "expects": "{title}: {observed} failures came within 30 days, {expected} were forecast ({forecasts} forecasts).",
    "too_few": "The forecasts expect too few failures, beyond chance.",
    "too_many": "The forecasts expect too many failures, beyond chance.",
    "within_chance": "That is within chance.",
    "no_month": "{title}: no month of forecasts is over yet.",
}
_WIDER = 1.25
"""A spread that changed by less is not worth a word beside the level."""


def say_shift(
    metric: Metric, shift: Shift | None, *, state: State, is_condition: bool
) -> tuple[Sentence, ...]:
    """Tell about one metric."""
    if shift is None or state == "unclear":
        devices = shift.devices if shift else 0
        return (_sentence("unclear", title=metric.title, devices=devices),)
    index = f"{shift.index:.2f}"
    if state == "steady":
        return (_sentence("steady", title=metric.title, index=index, devices=shift.devices),)
    kind = "condition" if is_condition else "metric"
    return (
        _sentence(
            f"{kind}_drifted",
            title=metric.title,
            moved=_moved(metric, shift),
            agree=shift.agree,
            devices=shift.devices,
            index=index,
        ),
        _sentence(f"{kind}_means"),
    )


def say_calibration(mode: FailureMode, found: Calibration | None) -> tuple[Sentence, ...]:
    """Tell about the forecasts of one failure mode."""
    if found is None:
        return (_sentence("no_month", title=mode.title),)
    return (
        _sentence(
            "expects",
            title=mode.title,
            observed=found.observed,
            expected=number(found.expected),
            forecasts=found.forecasts,
        ),
        _sentence(found.direction if found.has_drifted else "within_chance"),
    )


def _moved(metric: Metric, shift: Shift) -> str:
    """Say how a metric has moved: "0.3 mm/s higher, 1.8 times as wide"."""
    unit = f" {metric.unit}" if metric.unit else ""
    parts = [
        _TEMPLATES["higher" if shift.shift >= 0 else "lower"].format(
            by=f"{abs(shift.shift):.3g}", unit=unit
        )
    ]
    if not 1 / _WIDER < shift.spread_ratio < _WIDER:
        parts.append(_TEMPLATES["wider"].format(ratio=f"{shift.spread_ratio:.2g}"))
    return ", ".join(parts)


def _sentence(key: str, **values: str | float | None) -> Sentence:
    return Sentence(key=key, values=dict(values), text=_TEMPLATES[key].format(**values))

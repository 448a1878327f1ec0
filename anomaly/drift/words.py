"""Says what has drifted: the only place where drift becomes sentences. Pure.

Every sentence keeps its key and values; `tell` says it in any language there is a voice for.
"""

from collections.abc import Mapping

from anomaly.drift.calibration import Calibration
from anomaly.drift.inputs import Shift, State
from anomaly.fleet.words import number
from anomaly.records import Sentence
from anomaly.wording.message import Message, Value, Voice, voice_of
from core.product import FailureMode, Metric

MESSAGES = {
    "metric_drifted": Message(
        "{title} is no longer what was learned: {moved}, on {agree} of {devices} device (stability index {index}).",
        "{title} is no longer what was learned: {moved}, on {agree} of {devices} devices (stability index {index}).",
        by="devices",
        numbers=("index",),
    ),
    "condition_drifted": Message(
        "{title} is elsewhere than while learning: {moved}, on {agree} of {devices} device (stability index {index}).",
        "{title} is elsewhere than while learning: {moved}, on {agree} of {devices} devices (stability index {index}).",
        by="devices",
        numbers=("index",),
    ),
    "steady": Message(
        "{title} is as it was learned (stability index {index}, {devices} device).",
        "{title} is as it was learned (stability index {index}, {devices} devices).",
        by="devices",
        numbers=("index",),
    ),
    "unclear": Message(
        "{title}: only {devices} device has been watched long enough to tell.",
        "{title}: only {devices} devices have been watched long enough to tell.",
        by="devices",
    ),
    "higher": Message("{by}{unit} higher", numbers=("by",)),
    "lower": Message("{by}{unit} lower", numbers=("by",)),
    "wider": Message("{ratio} times as wide", numbers=("ratio",)),
    "condition_means": Message(
        "Forecasts lean on conditions that were not learned. `forecare anomaly fit` learns the product anew for devices that come."
    ),
    "metric_means": Message("What is normal may have to be learned anew: `forecare anomaly fit`."),
    "expects": Message(
        "{title}: {observed} failure came within 30 days, {expected} were forecast ({forecasts} forecasts).",
        "{title}: {observed} failures came within 30 days, {expected} were forecast ({forecasts} forecasts).",
        by="observed",
        numbers=("expected",),
    ),
    "too_few": Message("The forecasts expect too few failures, beyond chance."),
    "too_many": Message("The forecasts expect too many failures, beyond chance."),
    "within_chance": Message("That is within chance."),
    "no_month": Message("{title}: no month of forecasts is over yet."),
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
            **_moved(metric, shift),
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


def tell(key: str, values: Mapping[str, Value], voice: Voice) -> str:
    """Say one sentence in the language of a voice.

    Raises
    ------
    KeyError
        If there is no such sentence, or a value is missing.
    """
    said = dict(values)
    if key in ("metric_drifted", "condition_drifted"):
        parts = [_say(voice, str(values["direction"]), values)]
        if values["ratio"] is not None:
            parts.append(_say(voice, "wider", values))
        said["moved"] = ", ".join(parts)
    return _say(voice, key, said)


def _moved(metric: Metric, shift: Shift) -> dict[str, Value]:
    """How a metric has moved: "0.3 mm/s higher, 1.8 times as wide"."""
    is_as_wide = 1 / _WIDER < shift.spread_ratio < _WIDER
    return {
        "direction": "higher" if shift.shift >= 0 else "lower",
        "by": f"{abs(shift.shift):.3g}",
        "unit": f" {metric.unit}" if metric.unit else "",
        "ratio": None if is_as_wide else f"{shift.spread_ratio:.2g}",
    }


def _say(voice: Voice, key: str, values: Mapping[str, Value]) -> str:
    return voice.say(f"drift.{key}", MESSAGES[key], values)


def _sentence(key: str, **values: Value) -> Sentence:
    return Sentence(key=key, values=dict(values), text=tell(key, values, voice_of("en")))

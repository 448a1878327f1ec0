"""Says what was seen: the only place where deviations become sentences. Pure.

Every sentence keeps its key and values; `tell` says it in any language there is a voice for.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from anomaly.records import Evidence, MetricEvidence, Sentence
from anomaly.wording.message import Message, Value, Voice, voice_of
from core.units import EPOCH

MESSAGES = {
    "above": Message(
        "{title} is {observed}{unit}, {deviation} above what is normal under these conditions{since}.",
        numbers=("observed", "deviation"),
    ),
    "below": Message(
        "{title} is {observed}{unit}, {deviation} below what is normal under these conditions{since}.",
        numbers=("observed", "deviation"),
    ),
    "operating": Message("That is with {conditions}."),
    "operating_part": Message("{title} at {value}{unit}", numbers=("value",)),
    "rising": Message("; it has been moving away since {day}", days=("day",)),
    "reported_fault": Message("The device reports fault {code}: {mode}."),
    "sensor": Message(
        "The sensor of {title} is suspected: no other metric bears out what it shows."
    ),
    "stuck": Message("The sensor of {title} does not move any more."),
    "missing": Message("The sensor of {title} delivers no values."),
    "range": Message("The sensor of {title} shows values that it cannot have."),
    "spikes": Message("The sensor of {title} jumps for single values and back."),
    "unit": Message(
        "The sensor of {title} seems to have changed its unit: it shows {conversion} instead of x."
    ),
    "outside": Message(
        "{title} is outside what was seen while learning, so the normal range is uncertain."
    ),
    "learning": Message(
        "The device is still being watched to learn what is normal for it, until {day}.",
        days=("day",),
    ),
    "learning_anew": Message(
        "The {component} was serviced; what is normal with it is being learned anew, until {day}.",
        days=("day",),
    ),
    "no_data": Message("The device has not run lately, so nothing new is known about its wear."),
    "serviced": Message(
        "The {component} was serviced on {day}; wear counts from then on.", days=("day",)
    ),
    "held": Message(
        "A technician found no fault on {day}; only what gets worse than then is reported.",
        days=("day",),
    ),
    "learned": Message(
        "Of parts that looked like this, about {percent} % failed within {days} days; learned from {failures} failure.",
        "Of parts that looked like this, about {percent} % failed within {days} days; learned from {failures} failures.",
        by="failures",
    ),
    "similar": Message(
        "Of {cases} earlier case that looked like this, {outcomes}.",
        "Of {cases} earlier cases that looked like this, {outcomes}.",
        by="cases",
    ),
    "similar_failed": Message("{failed} failed {within}", "{failed} failed {within}", by="failed"),
    "similar_worn": Message(
        "{worn} was found worn on a visit", "{worn} were found worn on a visit", by="worn"
    ),
    "similar_nothing": Message(
        "{nothing} came to nothing", "{nothing} came to nothing", by="nothing"
    ),
    "after": Message("after {first} day", "after {first} days", by="first"),
    "between": Message("within {first} to {last} days"),
    "record": Message(
        "Of {cases} earlier forecast of {low} to {high} % within 30 days, {right} came true.",
        "Of {cases} earlier forecasts of {low} to {high} % within 30 days, {right} came true.",
        by="cases",
    ),
    "all_normal": Message("All metrics are as expected."),
}
_PARTS = {"similar_failed": "failed", "similar_worn": "worn", "similar_nothing": "nothing"}
"""Of what became of earlier cases: each is said where its number is not 0."""


def tell(key: str, values: Mapping[str, Value], voice: Voice) -> str:
    """Say one sentence in the language of a voice.

    Raises
    ------
    KeyError
        If there is no such sentence, or a value is missing.
    """
    said = dict(values)
    if key in ("above", "below"):
        since = values["since_at"]
        said["since"] = _say(voice, "rising", {"day": since}) if since else ""
    elif key == "operating":
        said["conditions"] = ", ".join(_conditions(values, voice))
    elif key == "similar":
        said["outcomes"] = ", ".join(_outcomes(values, voice))
    return _say(voice, key, said)


def _conditions(values: Mapping[str, Value], voice: Voice) -> list[str]:
    found = []
    for place in range(int(values["number"] or 0)):
        said = {name: values[f"{name}_{place}"] for name in ("title", "value", "unit")}
        said["title"] = voice.within(str(said["title"]))
        found.append(_say(voice, "operating_part", said))
    return found


def _outcomes(values: Mapping[str, Value], voice: Voice) -> list[str]:
    first, last = values["first_days"], values["last_days"]
    found = []
    for key, name in _PARTS.items():
        if not values[name]:
            continue
        said: dict[str, Value] = {name: values[name]}
        if key == "similar_failed":
            span = {"first": first, "last": last}
            said["within"] = _say(voice, "after" if first == last else "between", span)
        found.append(_say(voice, key, said))
    return found


def _say(voice: Voice, key: str, values: Mapping[str, Value]) -> str:
    return voice.say(f"evidence.{key}", MESSAGES[key], values)


def sentence(key: str, **values: Value) -> Sentence:
    """Say one sentence in English and keep how it was made."""
    return Sentence(key=key, values=dict(values), text=tell(key, values, voice_of("en")))


def metric_sentence(metric: MetricEvidence) -> Sentence:
    """Say how far a metric is from normal: "Fan vibration is 2.1 mm/s, 0.9 above …"."""
    observed, expected = metric.observed or 0.0, metric.expected or 0.0
    deviation = observed - expected
    return sentence(
        "above" if deviation >= 0 else "below",
        title=metric.title,
        observed=_number(observed, deviation),
        unit=f" {metric.unit}" if metric.unit else "",
        deviation=_number(abs(deviation), deviation),
        since_at=metric.since,
    )


def operating_sentence(conditions: Sequence[tuple[str, float, str]]) -> Sentence:
    """Say under which operating conditions: "That is with compressor speed at 54.9 Hz, …".

    Parameters
    ----------
    conditions : sequence of (title, value, unit)
        At least one.
    """
    values: dict[str, Value] = {"number": len(conditions)}
    for place, (title, value, unit) in enumerate(conditions):
        decimals = 0 if abs(value) >= 100 else 1 if abs(value) >= 1 else 2
        values[f"title_{place}"] = title
        values[f"value_{place}"] = f"{value:.{decimals}f}"
        values[f"unit_{place}"] = f" {unit}" if unit else ""
    return sentence("operating", **values)


def similar_sentence(  # noqa: PLR0913 - what became of them, named
    *,
    cases: int,
    failed: int,
    first_days: float | None,
    last_days: float | None,
    worn: int,
    nothing: int,
) -> Sentence:
    """Say what became of others that looked alike: "…, 3 failed within 9 to 21 days, 1 came to nothing"."""
    first, last = (
        max(1, round(days)) if days is not None else None for days in (first_days, last_days)
    )
    return sentence(
        "similar",
        cases=cases,
        failed=failed,
        first_days=first,
        last_days=last,
        worn=worn,
        nothing=nothing,
    )


def record_sentence(*, low: float, high: float, cases: int, right: int) -> Sentence:
    """Say how often such forecasts came true."""
    return sentence(
        "record", cases=cases, low=round(100 * low), high=round(100 * high), right=right
    )


def iso(at_us: int) -> str:
    """ISO 8601 in UTC of microseconds since 1970."""
    return instant(at_us).isoformat()


def instant(at_us: int) -> datetime:
    return (EPOCH + timedelta(microseconds=at_us)).astimezone(UTC)


def _number(value: float, scale: float) -> str:
    """Write a value with as many decimals as its deviation deserves."""
    size = abs(scale)
    decimals = 0 if size >= 20 else 1 if size >= 2 else 2 if size >= 0.02 else 4
    return f"{value:.{decimals}f}"


NOTHING = Evidence(sentences=(sentence("all_normal"),))

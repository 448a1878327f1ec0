"""Says what was seen: the only place where deviations become sentences. Pure.

Every sentence keeps its key and values, so that it can be said in another language.
"""

from datetime import UTC, datetime, timedelta

from anomaly.records import Evidence, MetricEvidence, Sentence
from core.units import EPOCH

_TEMPLATES = {
    "above": "{title} is {observed}{unit}, {deviation} above what is normal under these conditions{since}.",
    "below": "{title} is {observed}{unit}, {deviation} below what is normal under these conditions{since}.",
    "since": "; it has been so since {day}",
    "rising": "; it has been moving away since {day}",
    "reported_fault": "The device reports fault {code}: {mode}.",
    "sensor": "The sensor of {title} is suspected: no other metric bears out what it shows.",
    "stuck": "The sensor of {title} does not move any more.",
    "missing": "The sensor of {title} delivers no values.",
    "range": "The sensor of {title} shows values that it cannot have.",
    "spikes": "The sensor of {title} jumps for single values and back.",
    "unit": "The sensor of {title} seems to have changed its unit: it shows {conversion} instead of x.",
    "outside": "{title} is outside what was seen while learning, so the normal range is uncertain.",
    "learning": "The device is still being watched to learn what is normal for it, until {day}.",
    "learning_anew": "The {component} was serviced; what is normal with it is being learned anew, until {day}.",
    "no_data": "The device has not run lately, so nothing new is known about its wear.",
    "serviced": "The {component} was serviced on {day}; wear counts from then on.",
    "held": "A technician found no fault on {day}; only what gets worse than then is reported.",
    "learned": "Of parts that looked like this, about {percent} % failed within {days} days; learned from {failures} failures.",
    "similar": "Of {cases} earlier {noun} that looked like this, {outcomes}.",
    "similar_failed": "{failed} failed {within}",
    "similar_worn": "{worn} {were} found worn on a visit",
    "similar_nothing": "{nothing} came to nothing",
    "after": "after {first} {unit}",
    "between": "within {first} to {last} days",
    "record": "Of {cases} earlier {noun} of {low} to {high} % within 30 days, {right} came true.",
    "all_normal": "All metrics are as expected.",
}


def sentence(key: str, **values: str | float | None) -> Sentence:
    """Say one sentence in English and keep how it was made."""
    return Sentence(key=key, values=dict(values), text=_TEMPLATES[key].format(**values))


def metric_sentence(metric: MetricEvidence) -> Sentence:
    """Say how far a metric is from normal: "Fan vibration is 2.1 mm/s, 0.9 above …"."""
    observed, expected = metric.observed or 0.0, metric.expected or 0.0
    deviation = observed - expected
    since = ""
    if metric.since:
        since = _TEMPLATES["rising"].format(day=day_of(metric.since))
    return sentence(
        "above" if deviation >= 0 else "below",
        title=metric.title,
        observed=_number(observed, deviation),
        unit=f" {metric.unit}" if metric.unit else "",
        deviation=_number(abs(deviation), deviation),
        since=since,
    )


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
    within = "after" if first == last else "between"
    outcomes = [
        _TEMPLATES[key].format(**values)
        for key, number, values in (
            (
                "similar_failed",
                failed,
                {
                    "failed": failed,
                    "within": _TEMPLATES[within].format(
                        first=first, last=last, unit="day" if first == 1 else "days"
                    ),
                },
            ),
            ("similar_worn", worn, {"worn": worn, "were": "was" if worn == 1 else "were"}),
            ("similar_nothing", nothing, {"nothing": nothing}),
        )
        if number
    ]
    values = {
        "cases": cases, "failed": failed, "first_days": first, "last_days": last, "worn": worn,
        "nothing": nothing,
    }  # fmt: skip
    noun = "case" if cases == 1 else "cases"
    text = _TEMPLATES["similar"].format(cases=cases, noun=noun, outcomes=", ".join(outcomes))
    return Sentence(key="similar", values=dict(values), text=text)


def record_sentence(*, low: float, high: float, cases: int, right: int) -> Sentence:
    """Say how often such forecasts came true."""
    noun = "forecast" if cases == 1 else "forecasts"
    return sentence(
        "record", cases=cases, noun=noun, low=round(100 * low), high=round(100 * high), right=right
    )


def day_of(text: str) -> str:
    """Write an instant as a day: "12 Nov"; with the time of day when it is a matter of minutes."""
    at = datetime.fromisoformat(text)
    return f"{at.day} {at:%b}"


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

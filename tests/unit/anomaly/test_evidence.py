import pytest

from anomaly import evidence as words
from anomaly.evidence import metric_sentence, operating_sentence, sentence
from anomaly.records import MetricEvidence


def metric(**changes: object) -> MetricEvidence:
    known = {
        "metric": "fan_vibration",
        "title": "Fan vibration",
        "unit": "mm/s",
        "observed": 2.1,
        "expected": 1.2,
        "spread": 0.1,
        "deviation_spreads": 9.0,
        "direction": "up",
        "since": "2026-11-12T06:00:00+00:00",
    }
    return MetricEvidence(**(known | changes))  # type: ignore[arg-type]


def test_a_deviation_is_said_in_words_with_its_unit_and_its_beginning():
    said = metric_sentence(metric())

    assert said.text == (
        "Fan vibration is 2.10 mm/s, 0.90 above what is normal under these conditions;"
        " it has been moving away since 12 Nov."
    )
    assert said.key == "above"
    assert said.values["title"] == "Fan vibration"


def test_a_deviation_downwards_is_below():
    assert "0.90 below" in metric_sentence(metric(observed=0.3, since=None)).text


def test_the_operating_conditions_are_named_with_their_values() -> None:
    said = operating_sentence(
        [("Compressor speed", 54.89, "Hz"), ("Pump speed", 2263.9, "rpm"), ("Valve", 0.5, "")]
    )

    assert said.text == (
        "That is with compressor speed at 54.9 Hz, pump speed at 2264 rpm, valve at 0.50."
    )


def test_a_sentence_that_lacks_a_value_is_an_error():
    with pytest.raises(KeyError):
        sentence("stuck")


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        (
            {"cases": 4, "failed": 3, "first_days": 9.2, "last_days": 20.7, "worn": 0, "nothing": 1},
            "Of 4 earlier cases that looked like this, 3 failed within 9 to 21 days, 1 came to nothing.",
        ),
        (
            {"cases": 1, "failed": 1, "first_days": 0.2, "last_days": 0.2, "worn": 0, "nothing": 0},
            "Of 1 earlier case that looked like this, 1 failed after 1 day.",
        ),
        (
            {"cases": 3, "failed": 0, "first_days": None, "last_days": None, "worn": 3, "nothing": 0},
            "Of 3 earlier cases that looked like this, 3 were found worn on a visit.",
        ),
    ],
)  # fmt: skip
def test_earlier_cases_are_told_with_their_numbers(numbers, text):
    said = words.similar_sentence(**numbers)

    assert said.text == text
    assert (said.key, said.values["cases"]) == ("similar", numbers["cases"])


def test_how_often_such_forecasts_came_true_is_told_with_numbers():
    said = words.record_sentence(low=0.7, high=0.9, cases=12, right=10)

    assert said.text == "Of 12 earlier forecasts of 70 to 90 % within 30 days, 10 came true."
    assert said.values == {"cases": 12, "low": 70, "high": 90, "right": 10}

import pytest

from anomaly.evidence import metric_sentence, sentence
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


def test_a_sentence_that_lacks_a_value_is_an_error():
    with pytest.raises(KeyError):
        sentence("stuck")

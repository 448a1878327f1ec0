"""The reader's language, from what a browser says."""

import pytest

from api.language import language, wanted
from api.told import evidence
from api.written import code_spans, in_language


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("DE-de", "de"),
        ("en-GB,de;q=0.9", "en"),
        ("fr, de;q=0.5, en;q=0.4", "de"),
        ("fr", "en"),
        ("*", "en"),
        ("de;q=0", "en"),
        ("en;q=0.2, de;q=0.7", "de"),
        ("de;q=loud", "en"),
        (";;,,q=1", "en"),
        ("fr," * 1000 + "de", "en"),
    ],
)
def test_the_language_is_the_one_that_is_wanted_most_of_those_there_are(
    header: str, chosen: str
) -> None:
    assert wanted(header) == chosen


def test_outside_an_answer_it_is_english() -> None:
    kept = {
        "sentences": [{"key": "all_normal", "values": {}, "text": "As expected."}, "Once said."]
    }

    assert language() == "en"
    assert evidence(kept) == {
        "sentences": [
            {"key": "all_normal", "values": {}, "text": "As expected.", "language": "en"},
            "Once said.",
        ]
    }


def test_a_text_in_another_language_is_marked_and_code_in_it_stays_code() -> None:
    marked = in_language("Neu: `forecare anomaly fit` <b>", "de")

    assert code_spans(marked) == (
        '<span lang="de">Neu: <code>forecare anomaly fit</code> &lt;b&gt;</span>'
    )
    assert in_language("New", "en") == "New"

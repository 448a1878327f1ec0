"""What `forecare model show` says."""

from datetime import UTC, datetime

import msgspec

from anomaly.training.card import card_lines, contest_lines, features_words, shadow_words
from anomaly.training.contest import Contest, Score
from anomaly.training.records import ModelCard, ModelRow

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
CONTEST = Contest(
    mode="leak", horizon_hours=192, devices=12, rows=3400, events=7,
    champion=Score(brier=0.02, ece=0.01, average_precision=None),
    challenger=Score(brier=0.01, ece=0.004, average_precision=0.8), better_share=0.97,
    is_better=True, reason="better in 97 % of draws",
)  # fmt: skip


def card(figures: object, *, forecasts: int = 0) -> ModelCard:
    return ModelCard(
        row=ModelRow(
            id=3, failure_mode="leak", revision=2, role="shadow", data_from=AT, data_through=AT,
            devices=40, failures=21, figures=msgspec.to_builtins(figures), code_version="1",
            created_at=AT,
        ),
        product="pump", features=("age_hours", "flow.mean_5", "wear.health", "flow.mean_15"), seeds=(0, 1),
        shadow_forecasts=forecasts, shadow_newest_at=AT if forecasts else None,
        shadow_chance=0.031 if forecasts else None, shadow_chance_said=0.004 if forecasts else None,
    )  # fmt: skip


def test_a_model_carries_its_data_range_its_features_its_figures_and_its_version() -> None:
    said = dict(card_lines(card(CONTEST)))

    assert said["learned from"] == "20 Nov 2026 to 20 Nov 2026"
    assert said["devices, failures"] == "40, 21"
    assert said["judged on"].startswith("12 devices never seen, 7 failures")
    assert said["better in"] == "97% of draws of devices"
    assert said["features"] == "4: age_hours, flow (2), wear"
    assert said["code version"].startswith("1, made 2026-11-20")


def test_figures_stand_beside_those_of_what_spoke() -> None:
    assert list(contest_lines(card(CONTEST).row)) == [
        ("Brier score", "0.01", "0.02"),
        ("calibration error", "0.004", "0.01"),
        ("average precision", "0.8", ""),
    ]


def test_a_model_that_no_failure_could_judge_claims_no_figure() -> None:
    nothing = msgspec.structs.replace(CONTEST, events=0, reason="there were too few failures")

    said = dict(card_lines(card(nothing)))

    assert said["compared with what spoke"] == "there were too few failures"
    assert "better in" not in said


def test_what_a_shadow_said_stands_beside_what_was_said() -> None:
    assert shadow_words(card(CONTEST)) == "never asked"
    assert shadow_words(card(CONTEST, forecasts=1204)) == (
        "1,204 forecasts, the newest for 2026-11-20 12:00 UTC; on average 3.1% within 30 days, where 0.4% was said"
    )


def test_a_model_without_features_says_so() -> None:
    assert features_words(()) == "none"

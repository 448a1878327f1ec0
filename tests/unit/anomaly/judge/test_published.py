"""The scorers of SKAB, Tennessee Eastman and NAB, by cases counted by hand."""

import math

import numpy as np
import pytest

from anomaly.judge.published import NAB_PROFILES, NabSeries, nab_score, nab_scores, row_figures

STANDARD, LOW_FP, LOW_FN = NAB_PROFILES


def worth(position: float) -> float:
    return 2 / (1 + math.exp(5 * position)) - 1


def test_rows_counted_one_by_one() -> None:
    faulty = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1], dtype=bool)
    alarmed = np.array([1, 0, 0, 0, 1, 1, 1, 1, 0, 0], dtype=bool)

    found = row_figures(alarmed, faulty)

    assert found.f1 == pytest.approx(4 / (4 + 1.5))
    assert (found.far, found.mar) == (pytest.approx(0.25), pytest.approx(1 / 3))
    assert found.detection_rate == pytest.approx(2 / 3)


def test_always_alarming_has_an_f1_of_70_percent_where_54_percent_are_faulty() -> None:
    faulty = np.arange(1000) < 537

    assert row_figures(faulty | True, faulty).f1 == pytest.approx(0.70, abs=0.005)


def test_without_faulty_rows_there_is_no_missed_alarm_rate() -> None:
    none = np.zeros(3, dtype=bool)

    assert row_figures(none, none).mar is None
    assert row_figures(none, none).f1 is None


def series(*alarms: int, rows: int = 1000, windows=((400, 499), (700, 799))) -> NabSeries:
    score = np.zeros(rows)
    score[list(alarms)] = 1.0
    return NabSeries(score=score, windows=windows)


@pytest.mark.parametrize("score", [np.full(1000, 0.5), np.zeros(1000)])
def test_a_detector_that_never_alarms_has_0(score) -> None:
    found = nab_scores([NabSeries(score=score, windows=((400, 499), (700, 799)))])

    assert [one.score for one in found] == [0, 0, 0]
    assert [one.threshold for one in found] == [math.inf] * 3


def test_a_perfect_detector_has_100() -> None:
    found = nab_scores([series(400, 700), series(10, windows=())])

    assert [one.score for one in found] == pytest.approx([100, 100, 100])
    assert found[0].windows == 2


def test_a_later_alarm_in_a_window_is_worth_less() -> None:
    found = nab_score([series(450, 700)], STANDARD, threshold=1.0)

    hit = worth(-50 / 100) / worth(-1)
    assert found.score == pytest.approx(100 * (hit + 1 + 2) / 4)


def test_only_the_best_alarm_of_a_window_counts() -> None:
    once, twice = series(450), series(450, 460)

    assert nab_scores([once])[0].score == pytest.approx(nab_scores([twice])[0].score)


def test_a_missed_window_costs_twice_as_much_when_few_may_be_missed() -> None:
    standard, _, low_fn = nab_scores([series(400)])

    assert standard.score == pytest.approx(100 * (1 - 1 + 2) / 4)
    assert low_fn.score == pytest.approx(100 * (1 - 2 + 4) / 6)


def test_a_false_alarm_costs_the_more_the_further_it_is_behind_a_window() -> None:
    def cost(row: int, profile=STANDARD) -> float:
        return 2 - nab_score([series(400, 700, row)], profile, threshold=1.0).score / 100 * 4 + 2

    assert cost(520) == pytest.approx(-0.11 * worth(21 / 99))
    assert cost(599) == pytest.approx(-0.11 * worth(100 / 99))
    assert cost(200) == pytest.approx(0.11)  # before any window
    assert cost(999) == pytest.approx(-0.11 * worth(200 / 99))
    assert cost(200, LOW_FP) == pytest.approx(0.22)


def test_the_first_15_percent_count_for_nothing() -> None:
    assert nab_score([series(400, 700, 149)], STANDARD, threshold=1.0).score == pytest.approx(100)
    assert nab_score([series(400, 700, 150)], STANDARD, threshold=1.0).score < 100


def test_a_long_series_has_750_rows_of_probation() -> None:
    windows = ((5000, 5099),)

    for row, is_free in ((749, True), (750, False)):
        found = nab_score(
            [series(5000, row, rows=10_000, windows=windows)], STANDARD, threshold=1.0
        )
        assert (found.score == pytest.approx(100)) is is_free


def test_one_threshold_is_tuned_for_all_series() -> None:
    loud = NabSeries(score=np.where(np.arange(1000) == 400, 0.9, 0.0), windows=((400, 499),))
    noisy = np.zeros(1000)
    noisy[[300, 310, 320, 330]] = 0.95
    quiet = NabSeries(score=noisy, windows=())

    standard, low_fp, _ = nab_scores([loud, quiet])

    assert standard.threshold == 0.9
    assert standard.score == pytest.approx(100 * (1 - 0.44 + 1) / 2)
    assert low_fp.score == pytest.approx(100 * (1 - 0.88 + 1) / 2)


def test_slow_counting_gives_the_same() -> None:
    rng = np.random.default_rng(3)
    corpus = [
        NabSeries(score=rng.integers(0, 40, 600) / 40, windows=((150, 199), (300, 340))),
        NabSeries(score=rng.integers(0, 40, 400) / 40, windows=((100, 130),)),
    ]

    for profile in NAB_PROFILES:
        for threshold in (0.3, 0.9, 0.975, 1.1):
            total = 0.0
            for one in corpus:
                alarms = [
                    r for r in np.flatnonzero(one.score >= threshold) if r >= len(one.score) * 0.15
                ]
                for first, last in one.windows:
                    inside = [r for r in alarms if first <= r <= last]
                    width = last - first + 1
                    total += (
                        max(worth((r - last - 1) / width) / worth(-1) for r in inside)
                        if inside
                        else -profile.missed
                    )
                for row in alarms:
                    if any(first <= row <= last for first, last in one.windows):
                        continue
                    past = [(f, e) for f, e in one.windows if e < row]
                    far = (row - past[-1][1]) / (past[-1][1] - past[-1][0]) if past else 3
                    total += profile.false * (worth(far) if far < 3 else -1)
            expected = 100 * (total + profile.missed * 3) / (3 + profile.missed * 3)
            found = nab_score(corpus, profile, threshold=threshold)
            assert found.score == pytest.approx(expected)
            best = next(b for b in nab_scores(corpus) if b.profile == profile.name)
            assert best.score >= found.score - 1e-9

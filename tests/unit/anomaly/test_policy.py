"""From scores to alert episodes."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomaly.policy import Episode, Policy, PolicyState, Span, broken, step
from anomaly.runs import STILL_OPEN, Breaks, Rows, episodes_of, runs_of
from core.errors import InvalidError


def policy(**changes) -> Policy:
    given = {"open_above": 0.5, "clear_below": 0.3, "confirm": 2, "of": 3, **changes}
    return Policy(**given)


def spans(rule: Policy, scores: list[float], at: list[int] | None = None, breaks=()) -> list:
    """Episodes of one device with a score a second, as (opened, cleared)."""
    instants = np.array(range(len(scores)) if at is None else at, dtype=np.int64)
    rows = Rows(
        device=np.zeros(len(scores), dtype=np.int64), at_us=instants, score=np.array(scores)
    )
    cuts = Breaks(
        device=np.zeros(len(breaks), dtype=np.int64), at_us=np.array(breaks, dtype=np.int64)
    )
    runs = runs_of(rule, rows, cuts)
    ends = [None if end == STILL_OPEN else end for end in runs.cleared_us.tolist()]
    return list(zip(runs.opened_us.tolist(), ends, strict=True))


def test_an_alert_opens_when_two_of_three_scores_are_high() -> None:
    assert spans(policy(), [0, 0.6, 0, 0.6, 0.4, 0.4]) == [(3, None)]


def test_one_high_score_alone_opens_nothing() -> None:
    assert spans(policy(), [0, 0.9, 0, 0, 0.9, 0, 0]) == []


def test_an_alert_clears_when_two_of_three_scores_are_low() -> None:
    assert spans(policy(), [0.6, 0.6, 0.4, 0.2, 0.4, 0.2, 0.2]) == [(1, 5)]


def test_scores_between_the_two_levels_neither_open_nor_clear() -> None:
    assert spans(policy(), [0.4] * 5 + [0.6, 0.6] + [0.4] * 5) == [(6, None)]


def test_an_alert_that_comes_back_within_the_cool_down_is_the_same() -> None:
    scores = [0.6, 0.6, 0, 0, 0.6, 0.6, 0, 0, 0, 0, 0.6, 0.6]

    assert spans(policy(cooldown_us=2), scores) == [(1, 7), (11, None)]
    assert spans(policy(cooldown_us=1), scores) == [(1, 3), (5, 7), (11, None)]
    assert spans(policy(cooldown_us=4), scores) == [(1, None)]


def test_scores_before_a_silence_confirm_nothing() -> None:
    at = [0, 1, 100, 101]

    assert spans(policy(gap_us=10), [0, 0.6, 0.6, 0], at) == []
    assert spans(policy(), [0, 0.6, 0.6, 0], at) == [(100, None)]


def test_an_alert_stays_open_over_a_silence() -> None:
    at = [0, 1, 100, 101, 102]

    assert spans(policy(gap_us=10), [0.6, 0.6, 0, 0.4, 0], at) == [(1, 102)]


def test_a_service_ends_the_alert_and_forgets_the_scores() -> None:
    assert spans(policy(), [0.6, 0.6, 0.6, 0.6, 0.6], breaks=[2]) == [(1, 2), (4, None)]
    assert spans(policy(cooldown_us=99), [0.6, 0.6, 0, 0, 0.6, 0.6], breaks=[3]) == [
        (1, 3),
        (5, None),
    ]


def test_a_service_after_the_last_score_ends_the_alert() -> None:
    assert spans(policy(), [0.6, 0.6], breaks=[9]) == [(1, 9)]


def test_unknown_scores_count_for_nothing() -> None:
    assert spans(policy(), [0.6, np.nan, np.nan, 0.6, np.nan, 0, np.nan, 0]) == [(3, 7)]


def test_no_scores_make_no_episode() -> None:
    assert spans(policy(), []) == []
    assert spans(policy(), [np.nan]) == []


def test_devices_do_not_confirm_each_other() -> None:
    rows = Rows(
        device=np.array([0, 0, 1, 1, 2, 2]),
        at_us=np.array([0, 1, 0, 1, 0, 1]),
        score=np.array([0, 0.6, 0.6, 0, 0.6, 0.6]),
    )

    runs = runs_of(policy(), rows, Breaks(device=np.array([1, 2]), at_us=np.array([5, 7])))

    assert episodes_of(runs, devices=["a", "b", "c"], mode="worn") == (
        Episode(device="c", mode="worn", opened_us=1, cleared_us=7),
    )
    assert runs.row.tolist() == [5]


def test_another_threshold_keeps_the_ratio_of_the_two_levels() -> None:
    moved = policy(open_above=0.5, clear_below=0.25).at(0.8)

    assert (moved.open_above, moved.clear_below) == (0.8, 0.4)


def test_a_policy_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(InvalidError, match="4 of the last 3"):
        policy(confirm=4)
    with pytest.raises(InvalidError, match="cannot clear below 0.6"):
        policy(clear_below=0.6)


LEVELS = st.sampled_from([0.1, 0.3, 0.4, 0.5, 0.9, float("nan")])
POLICIES = st.builds(
    lambda confirm, more, cool, gap: policy(
        confirm=confirm, of=confirm + more, cooldown_us=cool, gap_us=gap
    ),
    st.integers(1, 4), st.integers(0, 4), st.integers(0, 9), st.none() | st.integers(1, 9),
)  # fmt: skip


def streamed(rule: Policy, at, scores, breaks) -> list:
    """Score by score, with the breaks as they come; each is handed in twice."""
    state, found = PolicyState(), []

    def taken(done):
        nonlocal state
        state = done.state
        found.extend((span.opened_us, span.cleared_us) for span in done.finished)

    for instant, score in zip(at, scores, strict=True):
        for cut in [b for b in breaks if b < instant] * 2:
            taken(broken(state, at_us=cut))
        taken(step(rule, state, at_us=instant, score=score))
    for cut in breaks:
        taken(broken(state, at_us=cut))
    if state.opened_us is not None:
        found.append((state.opened_us, state.cleared_us))
    return found


@given(
    rule=POLICIES,
    row=st.lists(st.tuples(st.integers(1, 12), LEVELS), max_size=60),
    breaks=st.lists(st.integers(0, 300), max_size=4, unique=True),
)
@settings(max_examples=400, deadline=None)
def test_score_by_score_finds_what_the_whole_row_shows(rule, row, breaks) -> None:
    at = np.cumsum([wait for wait, _ in row]).astype(int).tolist()
    scores = [score for _, score in row]

    assert streamed(rule, at, scores, sorted(breaks)) == spans(rule, scores, at, sorted(breaks))


@given(
    rule=POLICIES,
    row=st.lists(st.tuples(st.integers(1, 12), LEVELS), max_size=40),
    cut=st.integers(0, 40),
)
@settings(max_examples=100, deadline=None)
def test_a_state_that_was_stored_goes_on_as_if_nothing_had_happened(rule, row, cut) -> None:
    at = np.cumsum([wait for wait, _ in row]).astype(int).tolist()
    kept, through = PolicyState(), PolicyState()
    for number, (instant, (_, score)) in enumerate(zip(at, row, strict=True)):
        if number == cut:
            kept = msgspec.json.decode(msgspec.json.encode(kept), type=PolicyState)
        kept = step(rule, kept, at_us=instant, score=score).state
        through = step(rule, through, at_us=instant, score=score).state

    assert kept == through


def test_an_alert_is_told_when_it_opens_and_finished_when_it_has_cooled_down() -> None:
    rule = policy(confirm=1, of=1, cooldown_us=2)
    states, finished = [PolicyState()], []
    for at, score in enumerate([0.6, 0.1, 0.1, 0.1, 0.1]):
        done = step(rule, states[-1], at_us=at, score=score)
        states.append(done.state)
        finished.append(done.finished)

    assert [state.is_open for state in states[1:]] == [True, False, False, False, False]
    assert finished == [(), (), (), (), (Span(opened_us=0, cleared_us=1),)]

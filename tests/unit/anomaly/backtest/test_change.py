"""What `--what-if` may say, and what it does to policy and costs."""

from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly.backtest.change import Change, control_policy, parse_changes
from core.errors import InvalidError
from maintenance import decide
from maintenance.replay import REPLAY
from tests.unit.anomaly.bench import PUMP

MODE = PUMP.failure_modes[0]
POLICY = control_policy(MODE, forecast_every=PUMP.forecast_every)
EVERY = PUMP.forecast_every


def test_a_control_alerts_where_waiting_costs_more_than_a_visit():
    assert POLICY.open_above == pytest.approx(MODE.cost_of_visit / MODE.cost_of_failure)
    assert POLICY.cooldown_us == 24 * 3_600_000_000


def test_a_visit_that_costs_more_than_the_failure_is_made_for_a_certain_failure_only():
    dear = msgspec.structs.replace(MODE, cost_of_visit=5000)

    assert control_policy(dear, forecast_every=EVERY).open_above == 1.0


def test_controls_confirm_and_calm_as_tickets_do():
    assert POLICY.confirm == REPLAY.live.confirm
    assert POLICY.of == REPLAY.live.of
    assert POLICY.clear_below / POLICY.open_above == pytest.approx(decide.CALM_SHARE)
    assert POLICY.cooldown_us == REPLAY.live.calm_forecasts * EVERY.total_seconds() * 1e6


def test_several_texts_are_one_change():
    change = parse_changes(
        ["threshold=0.2,confirm=3", " of = 4 ", "cooldown=2 d", "cost_of_visit=0"]
    )

    assert change == Change(
        threshold=0.2, confirm=3, of=4, cooldown=timedelta(days=2), cost_of_visit=0
    )
    assert change.text == "threshold 0.2, confirm 3, of 4, cooldown 2 d, cost of visit 0"
    assert parse_changes([]) is None


def test_a_change_leaves_alone_what_it_does_not_name():
    change = Change(threshold=0.4)

    changed = change.of_policy(REPLAY.live, forecast_every=EVERY)

    assert changed == msgspec.structs.replace(REPLAY.live, threshold=0.4)
    assert change.of_product(PUMP) == PUMP


def test_costs_are_changed_in_all_failure_modes():
    changed = Change(cost_of_visit=50, cost_of_failure=70.5)

    modes = changed.of_product(PUMP).failure_modes

    assert {(mode.cost_of_visit, mode.cost_of_failure) for mode in modes} == {(50, 70.5)}
    assert changed.of_policy(REPLAY.live, forecast_every=EVERY) == REPLAY.live


@given(st.floats(min_value=1e-6, max_value=1), st.integers(1, 62), st.integers(1, 1000))
def test_what_is_written_is_what_is_read(threshold, confirm, hours):
    texts = [f"threshold={threshold!r}", f"confirm={confirm}", "of=62", f"cooldown={hours}h"]

    changed = parse_changes(texts).of_policy(REPLAY.live, forecast_every=EVERY)

    assert (changed.threshold, changed.confirm, changed.of) == (threshold, confirm, 62)
    calm = changed.calm_forecasts * EVERY
    assert timedelta(hours=hours) <= calm < timedelta(hours=hours) + EVERY


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mood=3", "nothing called 'mood'"),
        ("", "nothing called ''"),
        ("threshold", "it needs a value"),
        ("threshold=", "it needs a value"),
        ("threshold=high", "'high': that is no number"),
        ("threshold=0", "above 0 and at most 1"),
        ("threshold=nan", "above 0 and at most 1"),
        ("confirm=0", "at least 1"),
        ("confirm=1.5", "'1.5': that is no whole number"),
        ("cost_of_visit=much", "'much': that is no number"),
        ("cooldown=soon", "no duration"),
        ("cost_of_visit=-1", "at least 0"),
        ("cost_of_failure=nan", "at least 0"),
        ("of=3,of=4", "given twice"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_keys_that_can(text, said):
    with pytest.raises(InvalidError, match=said) as caught:
        parse_changes([text])

    assert caught.value.hint

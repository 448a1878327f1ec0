"""What `--what-if` may say, and what it does to a policy."""

from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly.backtest.change import Change, parse_changes, policy_of
from core.errors import InvalidError
from maintenance import decide
from tests.unit.anomaly.bench import PUMP

MODE = PUMP.failure_modes[0]
POLICY = policy_of(MODE, forecast_every=PUMP.forecast_every)


def test_an_alert_opens_where_waiting_costs_more_than_a_visit():
    assert POLICY.open_above == pytest.approx(MODE.cost_of_visit / MODE.cost_of_failure)
    assert POLICY.cooldown_us == 24 * 3_600_000_000


def test_a_visit_that_costs_more_than_the_failure_is_made_for_a_certain_failure_only():
    dear = msgspec.structs.replace(MODE, cost_of_visit=5000)

    assert policy_of(dear, forecast_every=PUMP.forecast_every).open_above == 1.0


def test_it_confirms_and_calms_as_tickets_do():
    assert POLICY.confirm == decide.CONFIRMATIONS
    assert POLICY.of == decide.CONFIRMATION_WINDOW
    assert POLICY.clear_below / POLICY.open_above == pytest.approx(decide.CALM_SHARE)
    assert POLICY.cooldown_us == decide.CALM_FORECASTS * PUMP.forecast_every.total_seconds() * 1e6


def test_several_texts_are_one_change():
    change = parse_changes(["threshold=0.2,confirm=3", " of = 4 ", "cooldown=2 d"])

    assert change == Change(threshold=0.2, confirm=3, of=4, cooldown=timedelta(days=2))
    assert change.text == "threshold 0.2, confirm 3, of 4, cooldown 2 d"
    assert parse_changes([]) is None


def test_a_change_leaves_alone_what_it_does_not_name():
    changed = Change(threshold=0.4).of_policy(POLICY)

    assert changed.open_above == 0.4
    assert changed.clear_below == pytest.approx(0.2)
    assert (changed.confirm, changed.of, changed.cooldown_us) == (
        POLICY.confirm, POLICY.of, POLICY.cooldown_us,
    )  # fmt: skip


@given(st.floats(min_value=1e-6, max_value=1), st.integers(1, 62), st.integers(0, 1000))
def test_what_is_written_is_what_is_read(threshold, confirm, hours):
    texts = [f"threshold={threshold!r}", f"confirm={confirm}", "of=62", f"cooldown={hours}h"]

    changed = parse_changes(texts).of_policy(POLICY)

    assert (changed.open_above, changed.confirm, changed.of) == (threshold, confirm, 62)
    assert changed.cooldown_us == hours * 3_600_000_000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mood=3", "nothing called 'mood'"),
        ("", "nothing called ''"),
        ("threshold", "it needs a value"),
        ("threshold=high", "'high'"),
        ("threshold=0", "above 0 and at most 1"),
        ("threshold=nan", "above 0 and at most 1"),
        ("confirm=0", "at least 1"),
        ("confirm=1.5", "'1.5'"),
        ("cooldown=soon", "no duration"),
        ("of=3,of=4", "given twice"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_keys_that_can(text, said):
    with pytest.raises(InvalidError, match=said) as caught:
        parse_changes([text])

    assert caught.value.hint

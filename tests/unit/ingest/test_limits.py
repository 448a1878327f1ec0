"""Token buckets: what passes, what is withheld, and for how long."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidError
from core.product import Allowance, Limits
from gateway.sheet import parse_sheet
from ingest.limits.buckets import Buckets, Taken, kinds_of_allowances
from tests.integration.gateway.sheets import SMALL

TEN_A_SECOND = (Allowance(amount=10, per=timedelta(seconds=1)),)
HUNDRED_VALUES_A_MINUTE = (Allowance(amount=100, per=timedelta(minutes=1)),)


def make_buckets(**more: int) -> Buckets:
    kinds = kinds_of_allowances(TEN_A_SECOND, HUNDRED_VALUES_A_MINUTE)
    return Buckets(lambda _sender: kinds, **more)


def take(buckets: Buckets, senders: list[int], *, values: int = 1, now_s: float = 0.0) -> Taken:
    return buckets.take(
        np.array(senders, dtype=np.int64),
        np.full(len(senders), values, dtype=np.int64),
        now_s=now_s,
    )


def passed(taken: Taken, number: int) -> int:
    return number if taken.withheld is None else int((~taken.withheld).sum())


def test_what_is_allowed_passes_untouched() -> None:
    taken = take(make_buckets(), [1] * 10 + [2] * 10)

    assert taken.withheld is None
    assert taken.overruns == ()


def test_what_is_more_is_withheld_and_the_limit_is_named() -> None:
    taken = take(make_buckets(), [1] * 25 + [2] * 3)

    assert taken.withheld is not None
    assert taken.withheld.tolist() == [False] * 10 + [True] * 15 + [False] * 3
    (overrun,) = taken.overruns
    assert (overrun.sender, overrun.messages, overrun.values) == (1, 15, 15)
    assert (overrun.kind.counts, overrun.kind.allowance.text) == ("messages", "10 per 1 s")
    assert overrun.is_new
    assert overrun.resets_s == pytest.approx(0.5)


def test_until_the_bucket_is_half_full_everything_is_withheld_then_it_is_heard_again() -> None:
    buckets = make_buckets()
    take(buckets, [1] * 25)

    during = take(buckets, [1], now_s=0.3)
    after = take(buckets, [1], now_s=0.6)

    assert passed(during, 1) == 0
    assert not during.overruns[0].is_new
    assert passed(after, 1) == 1
    assert after.relieved == (1,)


def test_values_count_for_themselves() -> None:
    taken = take(make_buckets(), [1] * 4, values=30)

    assert passed(taken, 4) == 3
    assert taken.overruns[0].kind.counts == "values"
    assert taken.overruns[0].resets_s == pytest.approx(24.0)  # 40 values more, at 100 a minute


def test_a_message_larger_than_a_bucket_passes_when_the_bucket_is_full() -> None:
    buckets = make_buckets()

    first = take(buckets, [1], values=1000)
    soon = take(buckets, [1], values=1, now_s=60)
    late = take(buckets, [1], values=1, now_s=700)

    assert (passed(first, 1), passed(soon, 1), passed(late, 1)) == (1, 0, 1)


def test_a_share_is_as_much_smaller() -> None:
    kinds = kinds_of_allowances(TEN_A_SECOND, (), share=0.25)

    taken = take(Buckets(lambda _sender: kinds), [1] * 10)

    assert passed(taken, 10) == 2


def test_senders_beyond_the_room_are_forgotten_but_not_those_over_a_limit() -> None:
    buckets = make_buckets(senders_max=100)
    take(buckets, [7] * 25)

    for sender in range(1000, 3000):
        take(buckets, [sender], now_s=0.01 + sender / 1e6)

    assert len(buckets) <= 101
    assert passed(take(buckets, [7], now_s=0.02), 1) == 0


@given(
    st.lists(
        st.tuples(
            st.lists(st.tuples(st.integers(1, 3), st.integers(0, 60)), max_size=40),
            st.floats(0, 3),
        ),
        max_size=12,
    )
)
def test_never_more_than_the_bucket_and_what_has_flowed_in(
    batches: list[tuple[list[tuple[int, int]], float]],
) -> None:
    buckets = make_buckets()
    now_s = 0.0
    messages: dict[int, int] = {}

    for batch, pause_s in batches:
        now_s += pause_s
        senders = np.array([sender for sender, _ in batch], dtype=np.int64)
        values = np.array([value for _, value in batch], dtype=np.int64)
        withheld = buckets.take(senders, values, now_s=now_s).withheld
        for place, sender in enumerate(senders.tolist()):
            if withheld is None or not withheld[place]:
                messages[sender] = messages.get(sender, 0) + 1

    for count in messages.values():
        assert count <= 10 + 10 * now_s + 1e-6


@given(st.lists(st.integers(1, 4), max_size=60), st.randoms(use_true_random=False))
def test_a_sender_is_judged_alike_whoever_sends_beside_it(senders, random) -> None:
    shuffled = list(senders)
    random.shuffle(shuffled)

    one, other = take(make_buckets(), senders), take(make_buckets(), shuffled)

    def withheld(taken: Taken) -> set[tuple[int, int]]:
        return {(overrun.sender, overrun.messages) for overrun in taken.overruns}

    assert withheld(one) == withheld(other)


def test_a_sheet_says_what_may_be_sent() -> None:
    sheet = f'{SMALL}\n[limits]\ndevice_messages = "5 per 1 s, 100 per 1 min"\n'

    found = parse_sheet(sheet, source="kettle.toml").limits

    assert [a.text for a in found.device_messages] == ["5 per 1 s", "100 per 60 s"]
    assert found.device_values == Limits().device_values


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('device_messages = "many"', "write an amount and a time"),
        ('device_messages = "0 per 1 s"', "lets nothing through"),
        ('device_values = "5 per 2 w"', "between 1 s and 1 day"),
        ('device_values = "5 per fortnight"', "is no duration"),
        ("device_values = 7", "must be a text"),
        ('device_mesages = "5 per 1 s"', "did you mean"),
    ],
)
def test_a_wrong_limit_is_told_with_its_remedy(line: str, what: str) -> None:
    with pytest.raises(InvalidError) as caught:
        parse_sheet(f"{SMALL}\n[limits]\n{line}\n", source="kettle.toml")

    assert what in str(caught.value)

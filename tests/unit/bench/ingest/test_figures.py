from hypothesis import given
from hypothesis import strategies as st

from bench.ingest.figures import lost_rows, messages_for, middle, percentile, ratio, summary

values = st.lists(st.floats(0, 1e6), min_size=1).map(sorted)


@given(values, st.floats(0.01, 1))
def test_a_percentile_is_a_value_that_so_many_do_not_exceed(
    ordered: list[float], share: float
) -> None:
    found = percentile(ordered, share)

    assert found in ordered
    assert sum(value <= found for value in ordered) >= share * len(ordered) - 1e-9


def test_of_a_hundred_values_the_99th_is_p99() -> None:
    assert summary([float(n) for n in range(100, 0, -1)]) == {"p50": 50, "p99": 99, "max": 100}


def test_without_values_there_is_no_summary() -> None:
    assert summary([]) == {}


def test_a_confirmed_message_without_all_its_rows_is_lost() -> None:
    lost = lost_rows({"a": 1, "b": 0, "c": -1}, {"a": 119, "b": 60, "c": 7}, samples=60)

    assert lost == 1


def test_rows_beyond_what_was_confirmed_make_up_for_nobody_elses_loss() -> None:
    assert lost_rows({"a": 0, "b": 0}, {"a": 0, "b": 2}, samples=1) == 1


def test_there_is_no_ratio_to_nothing() -> None:
    assert ratio(5, 0) is None
    assert middle([None, None]) is None
    assert middle([1, None, 3]) == 2


@given(st.floats(0, 1e6), st.integers(1, 3000))
def test_every_device_sends_as_many_messages_as_the_others(rate: float, devices: int) -> None:
    messages = messages_for(rate, seconds=5, devices=devices, at_most=600_000)

    assert messages % devices == 0
    assert 0 < messages <= 600_000 + devices

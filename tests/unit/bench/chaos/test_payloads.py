import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.chaos.payloads import _ESCORTS, _POISONS, Kind, Recipe, numbers_of
from bench.chaos.plan import Fault
from gateway.codecs import PAYLOAD_MAX, SAMPLES_MAX, CodecError, decode, salvage_numbers

START_MS = 1_764_000_000_000
SHARES = {Fault.POISON: 0.1, Fault.WRONG_CLOCK: 0.1, Fault.DUPLICATES: 0.1, Fault.SHUFFLED: 0.1}
RECIPE = Recipe(seed=7, start_ms=START_MS, shares=SHARES)


@given(st.integers(0, 50_000), st.integers(1, 50), st.integers(0, 80_000))
def test_a_message_follows_from_its_numbers(device: int, boot: int, seq: int) -> None:
    message = RECIPE.message(device, boot, seq)

    assert message == RECIPE.message(device, boot, seq)
    assert all(numbers_of(sample.number) == (boot, seq) for sample in message.samples)
    if message.kind is Kind.GOOD:
        read = decode(message.payload, arrived_ms=0)
        assert (read.boot, read.seq) == (boot, seq)
        found = [(ms, values["number"], values["level"]) for ms, values in read.samples]
        assert found == [(s.measured_ms, s.number, s.level) for s in message.samples]


def test_two_messages_of_a_device_never_share_an_instant() -> None:
    times = [
        sample.measured_ms
        for boot in (1, 2)
        for seq in range(2000)
        for sample in RECIPE.message(3, boot, seq).samples
        if RECIPE.message(3, boot, seq).kind is Kind.GOOD
    ]

    assert len(times) == len(set(times))


def test_each_share_is_about_what_was_asked_for() -> None:
    messages = [RECIPE.message(device, 1, seq) for device in range(50) for seq in range(200)]

    poison = sum(m.kind is Kind.POISON or m.escort is not None for m in messages)
    assert 800 < poison < 1200
    assert 800 < sum(m.kind is Kind.WRONG_CLOCK for m in messages) < 1200
    assert 650 < sum(m.is_doubled for m in messages) < 1200
    assert 650 < sum(m.is_ahead for m in messages) < 1200


@pytest.mark.parametrize("place", range(len(_POISONS)))
def test_poison_can_be_counted_as_dealt_with_though_nobody_may_store_it(place: int) -> None:
    payload = _POISONS[place](b'{"boot":3,"seq":12,', START_MS)

    numbers = salvage_numbers(payload)
    assert numbers is not None
    assert numbers[:2] == (3, 12)
    assert len(payload) < 70_000
    try:
        samples = decode(payload, arrived_ms=0).samples
    except CodecError:
        return
    known = {"number", "level"}
    is_unknown = any(set(values) - known for _, values in samples)
    is_out = any(v > 1000 for _, values in samples for v in values.values())
    is_none = not samples or not all(values for _, values in samples)
    assert (
        is_unknown or is_out or is_none or len(samples) > SAMPLES_MAX or len(payload) > PAYLOAD_MAX
    )


@pytest.mark.parametrize("place", range(len(_ESCORTS)))
def test_an_escort_has_no_number(place: int) -> None:
    payload = _ESCORTS[place](2**40 + 12_345)

    assert salvage_numbers(payload) is None
    assert payload != _ESCORTS[place](2**40 + 54_321)

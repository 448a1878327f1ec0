"""The arithmetic of the ledger, and the judge: a run that has lost something must fail."""

from dataclasses import replace
from hashlib import sha256

import pytest

from bench.chaos.count import Counts, count_up
from bench.chaos.judge import Observed, Recovery, Storm, Tally, by_part, judge
from bench.chaos.ledger import Entries
from bench.chaos.payloads import Kind, Recipe
from bench.chaos.plan import Fault
from bench.chaos.store import Letter, Repeats, Row

RECIPE = Recipe(
    seed=7,
    start_ms=1_764_000_000_000,
    shares={Fault.POISON: 0.2, Fault.WRONG_CLOCK: 0.3},
)
KEYS = [(device, 1, seq) for device in range(4) for seq in range(50)]
MESSAGES = {key: RECIPE.message(*key) for key in KEYS}
ENTRIES = Entries(
    attempted=frozenset(KEYS),
    acknowledged=frozenset(KEYS),
    confirmed_through={(device, 1): 39 for device in range(4)},
)


def rows() -> list[Row]:
    return [
        Row(device=key[0], number=s.number, level=s.level, measured_ms=s.measured_ms)
        for key, message in MESSAGES.items()
        for s in message.samples
        if message.kind is Kind.GOOD
    ]


def letters() -> list[Letter]:
    refused = [
        (key[0], message.payload)
        for key, message in MESSAGES.items()
        if message.kind is not Kind.GOOD
    ]
    refused += [(k[0], m.escort) for k, m in MESSAGES.items() if m.escort is not None]
    return [
        Letter(device=device, digest=sha256(payload).digest(), reason="unreadable")
        for device, payload in refused
    ]


def count(*, having: list[Row] | None = None, refused: list[Letter] | None = None) -> Counts:
    return count_up(
        ENTRIES,
        RECIPE,
        rows=rows() if having is None else having,
        letters=letters() if refused is None else refused,
        repeats=Repeats(rows=5, letters=1),
    )


def observed(counts: Counts) -> Observed:
    return Observed(
        counts=counts,
        faults={Fault.BROKER_KILL: Tally(planned=2, struck=2)},
        recoveries=[Recovery(fault=Fault.BROKER_KILL, back_s=0.5)],
        storms=[Storm(all_back_s=3.0, ingest_back_s=0.5)],
        is_drained=True,
        receive_max=5000,
        in_flight_max=5000,
        is_receive_max_obeyed=True,
        ingest_rss_mib_max=90.0,
        unexplained_deaths=0,
    )


def first_row_of(key: tuple[int, int, int]) -> Row:
    sample = MESSAGES[key].samples[0]
    return next(r for r in rows() if (r.device, r.number) == (key[0], sample.number))


GOOD = next(key for key in KEYS if MESSAGES[key].kind is Kind.GOOD and key[2] < 39)
UNCONFIRMED = next(key for key in KEYS if MESSAGES[key].kind is Kind.GOOD and key[2] > 39)


def test_a_run_that_has_everything_passes() -> None:
    counts = count()

    assert (counts.attempted, counts.confirmed, counts.stored) == (200, 160, 200)
    assert (counts.lost, counts.missing_after_resend, counts.unexpected_rows) == (0, 0, 0)
    assert counts.letters_expected == counts.letters_found == counts.poison > 0
    assert counts.letters_unexpected == 0
    assert counts.repeats_absorbed == 6
    assert judge(observed(counts)).is_passed


def test_a_confirmed_message_that_is_absent_is_lost_and_the_run_fails() -> None:
    gone = first_row_of(GOOD)

    counts = count(having=[row for row in rows() if row != gone])

    assert (counts.lost, counts.missing_after_resend) == (1, 1)
    verdict = judge(observed(counts))
    assert not verdict.is_passed
    assert "1 messages were confirmed and are lost" in verdict.failures


def test_an_unconfirmed_message_that_is_absent_is_missing_and_not_lost() -> None:
    gone = first_row_of(UNCONFIRMED)

    counts = count(having=[row for row in rows() if row != gone])

    assert (counts.lost, counts.missing_after_resend) == (0, 1)
    assert not judge(observed(counts)).is_passed


def test_a_row_with_another_value_is_a_loss_and_unexpected() -> None:
    wrong = first_row_of(GOOD)
    spoilt = [replace(row, level=row.level + 1) if row == wrong else row for row in rows()]

    counts = count(having=spoilt)

    assert (counts.lost, counts.unexpected_rows) == (1, 1)


def test_a_row_at_another_time_is_unexpected() -> None:
    wrong = first_row_of(GOOD)
    spoilt = [replace(row, measured_ms=0) if row == wrong else row for row in rows()]

    assert count(having=spoilt).unexpected_rows == 1


def test_a_row_that_stands_there_twice_fails_the_run() -> None:
    counts = count(having=[*rows(), replace(first_row_of(GOOD), measured_ms=1)])

    assert counts.rows_twice == 1
    assert not judge(observed(counts)).is_passed


def test_a_row_that_nobody_sent_is_unexpected() -> None:
    counts = count(having=[*rows(), Row(device=9, number=1, level=1, measured_ms=1)])

    assert counts.unexpected_rows == 1


def test_poison_that_left_no_trace_is_lost_when_it_was_confirmed() -> None:
    key = next(k for k in KEYS if MESSAGES[k].kind is Kind.POISON and k[2] < 39)
    digest = sha256(MESSAGES[key].payload).digest()

    counts = count(refused=[letter for letter in letters() if letter.digest != digest])

    assert counts.lost == 1
    assert counts.letters_missing == 1


def test_a_sample_of_a_wrong_clock_may_be_stored_with_the_time_of_the_server() -> None:
    key = next(k for k in KEYS if MESSAGES[k].kind is Kind.WRONG_CLOCK)
    sample = MESSAGES[key].samples[0]
    digest = sha256(MESSAGES[key].payload).digest()

    counts = count(
        having=[
            *rows(),
            Row(device=key[0], number=sample.number, level=sample.level, measured_ms=5),
        ],
        refused=[letter for letter in letters() if letter.digest != digest],
    )

    assert (counts.lost, counts.unexpected_rows, counts.letters_unexpected) == (0, 0, 0)


def test_a_dead_letter_of_a_good_message_is_unexpected_and_one_without_reason_is_told() -> None:
    payload = MESSAGES[GOOD].payload
    strange = Letter(device=GOOD[0], digest=sha256(payload).digest(), reason="")

    counts = count(refused=[*letters(), strange])

    assert (counts.letters_unexpected, counts.letters_without_reason) == (1, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"faults": {Fault.BROKER_KILL: Tally(planned=2, struck=1)}},
        {"is_drained": False},
        {"is_receive_max_obeyed": False},
        {"receive_max": 0},
        {"unexplained_deaths": 1},
        {"recoveries": [Recovery(fault=Fault.BROKER_KILL, back_s=None)]},
    ],
    ids=str,
)
def test_a_run_that_broke_a_rule_or_tested_too_little_fails(change: dict[str, object]) -> None:
    assert not judge(replace(observed(count()), **change)).is_passed  # type: ignore[arg-type]


def test_a_run_that_absorbed_no_repetition_has_tested_nothing() -> None:
    counts = replace(count(), repeats_absorbed=0)

    assert not judge(observed(counts)).is_passed


def test_slowness_is_told_and_fails_nothing() -> None:
    slow = replace(
        observed(count()),
        recoveries=[Recovery(fault=Fault.DATABASE_KILL, back_s=12.0)],
        storms=[Storm(all_back_s=70.0, ingest_back_s=None)],
        ingest_rss_mib_max=300.0,
    )

    verdict = judge(slow)

    assert verdict.is_passed
    assert len(verdict.goals_missed) == 4


def test_recoveries_are_told_by_part() -> None:
    seconds = [1.0, 3.0, 2.0]
    found = by_part([Recovery(fault=Fault.INGEST_KILL, back_s=s) for s in seconds])

    assert found == {"ingest": (3, 2.0, 3.0)}

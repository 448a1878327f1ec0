from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from anomaly.fleet.issue import Next, next_state
from anomaly.fleet.lives import Lives, make_trait
from anomaly.fleet.overlap import overlaps
from anomaly.fleet.standing import Group, Standing, judge
from anomaly.fleet.words import say
from tests.unit.anomaly.fleet.fleets import draw_fleet, make_lives, watch

STANDING = Standing(
    group=Group(mode="bearing", trait="lot", value="B7"),
    devices=40, well=34, failures=6, expected=1.12, signs=9, expected_signs=2.4, ratio=5.1,
    ratio_low=2.2, ratio_high=10.4, signs_low=1.9, log_evidence=7.0, since_day=10.0,
)  # fmt: skip


def bad_lot(seed: int = 3, *, at: int = 2) -> Lives:
    times = [1.0] * 6
    times[at] = 10.0
    return draw_fleet(np.random.default_rng(seed), sizes=[60] * 6, times=times, rate=0.0006)


def test_the_bad_lot_is_flagged_and_no_other():
    standings = judge([watch(bad_lot())])

    assert [s.group.value for s in standings if s.is_flagged] == ["L2"]
    worst = next(s for s in standings if s.is_flagged)
    assert worst.devices == 60
    assert worst.well == 60 - worst.failures
    assert worst.expected < worst.failures / 4
    assert worst.ratio_low > 2


def test_since_is_the_day_of_the_first_failure_of_the_run():
    rows = [(0, 0, 300, False)] * 40 + [(0, 0, d, True) for d in (100, 210, 215, 220, 230, 240)]
    rows += [(0, 0, d, True) for d in range(101, 141)] + [(0, 0, 300, False)] * 4
    lives = make_lives(rows, lot=["A"] * 40 + ["B"] * 6 + ["A"] * 40 + ["B"] * 4)

    of_b = next(s for s in judge([watch(lives)]) if s.group.value == "B")

    assert of_b.since_day == 210


def test_two_failures_are_never_flagged():
    lives = make_lives(
        [(0, 0, 1, True), (0, 0, 2, True), *[(0, 0, 900, False)] * 2000],
        lot=["B"] * 8 + ["A"] * 1994,
    )

    assert not any(s.is_flagged for s in judge([watch(lives)]))


def test_a_handful_of_devices_is_no_group():
    lives = make_lives(
        [*[(0, 0, d, True) for d in (1, 2, 3, 4)], *[(0, 0, 900, False)] * 2000],
        lot=["B"] * 4 + ["A"] * 2000,
    )

    assert not any(s.is_flagged for s in judge([watch(lives)]))


def test_a_lot_that_alone_has_a_firmware_cannot_be_told_from_it():
    lives = bad_lot()
    is_bad = lives.traits[0].code == 2
    firmware = make_trait("firmware", ["4.2.0" if bad else "4.1.0" for bad in is_bad])
    both = replace(lives, traits=(*lives.traits, firmware))

    flagged = [s for s in judge([watch(both)]) if s.is_flagged]
    found = overlaps(both, flagged)

    lot = found[Group(mode="bearing", trait="lot", value="L2")]
    assert [(o.trait, o.value, o.shared, o.devices, o.kind) for o in lot] == [
        ("firmware", "4.2.0", 60, 60, "inseparable")
    ]


def test_a_firmware_that_stands_out_by_its_bad_lot_is_explained_by_it():
    lives = bad_lot()
    wide = np.isin(lives.traits[0].code, [1, 2])
    firmware = make_trait("firmware", ["4.2.0" if w else "4.1.0" for w in wide])
    both = replace(lives, traits=(*lives.traits, firmware))

    flagged = [s for s in judge([watch(both)]) if s.is_flagged]
    found = overlaps(both, flagged)

    assert {s.group.value for s in flagged} == {"L2", "4.2.0"}
    assert [o.kind for o in found[Group(mode="bearing", trait="lot", value="L2")]] == ["explains"]
    assert [o.kind for o in found[Group(mode="bearing", trait="firmware", value="4.2.0")]] == [
        "explained_by"
    ]


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        (None, {"is_flagged": True}, Next(state="flagged", reason="stands_out")),
        (None, {}, Next(state="watched", reason="may_stand_out")),
        (None, {"ratio_low": 0.8, "signs_low": 0.7}, None),
        (None, {"failures": 2, "signs": 2}, None),
        ("watched", {"ratio_low": 0.8, "signs_low": 0.7}, Next(state="cleared", reason="within_chance")),
        ("flagged", {}, Next(state="flagged", reason="stands_out")),
        ("flagged", {"ratio_low": 0.9}, Next(state="cleared", reason="back_to_normal")),
        ("flagged", {"is_flagged": True, "well": 0}, Next(state="cleared", reason="none_left")),
        ("cleared", {"is_flagged": True}, Next(state="flagged", reason="stands_out")),
        ("cleared", {"well": 0}, Next(state="cleared", reason="none_left")),
    ],
)  # fmt: skip
def test_states_follow_the_evidence_without_blinking(before, change, after):
    assert next_state(before, replace(STANDING, **change)) == after


def test_an_issue_is_told_in_words():
    since = datetime(2026, 5, 3, tzinfo=UTC)

    sentences = say(
        STANDING, reason="stands_out", mode="Fan bearing wear", since=since, overlaps=()
    )

    assert [s.text for s in sentences] == [
        "Lot B7: 6 of 40 devices failed (fan bearing wear), 1.1 expected at this age; since 3 May.",
        "That is 5.1 times as often as others of the same age (95 % range: 2.2 to 10.4).",
        "9 devices show signs of it, 2.4 expected.",
        "34 devices of the group are still well.",
        "It stands out from all groups that are looked at.",
    ]


def test_the_other_group_of_the_same_devices_is_named():
    lives = bad_lot()
    firmware = make_trait(
        "firmware", ["4.2.0" if code == 2 else "" for code in lives.traits[0].code]
    )
    both = replace(lives, traits=(*lives.traits, firmware))
    flagged = [s for s in judge([watch(both)]) if s.is_flagged]
    lot = next(s for s in flagged if s.group.trait == "lot")

    sentences = say(
        lot,
        reason="stands_out",
        mode="Wear",
        since=None,
        overlaps=overlaps(both, flagged)[lot.group],
    )

    assert (
        "The same 60 devices also share firmware 4.2.0: the failures do not tell which of the two it is."
        in [s.text for s in sentences]
    )

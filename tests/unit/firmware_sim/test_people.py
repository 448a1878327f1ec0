"""Owners choose times; technicians look honestly."""

from email.message import EmailMessage

import pytest

from firmware_sim.fleet import MODELS
from firmware_sim.machine import Machine
from firmware_sim.model import Site
from firmware_sim.owners import choose_slot, tokens_in
from firmware_sim.plan import DAY_S, Failure
from firmware_sim.technicians import examine
from firmware_sim.truth import outcome

START_S = 1_789_992_000
SLOTS = [
    {"starts_at": f"2026-10-{day:02}T08:00:00Z", "ends_at": f"2026-10-{day:02}T10:00:00Z"}
    for day in (1, 2, 3, 9, 12)
]
OCTOBER_2_S, OCTOBER_5_S = 1_790_899_200, 1_791_158_400


def test_links_are_read_out_of_the_text_part_each_once():
    mail = EmailMessage()
    mail.set_content(
        "Choose: http://127.0.0.1:8000/t/MTI.aBc-_9 now.\nAgain http://127.0.0.1:8000/t/MTI.aBc-_9."
    )
    mail.add_alternative('<a href="http://127.0.0.1:8000/t/html">x</a>', subtype="html")

    assert tokens_in(mail) == ["MTI.aBc-_9"]


def test_an_owner_chooses_a_slot_that_lies_ahead_and_before_the_due_date():
    for turn in range(6):
        slot = choose_slot(SLOTS, now_s=OCTOBER_2_S, due_s=OCTOBER_5_S, turn=turn)

        assert slot["starts_at"] in {"2026-10-02T08:00:00Z", "2026-10-03T08:00:00Z"}


def test_an_owner_takes_a_late_slot_rather_than_none():
    slot = choose_slot(SLOTS, now_s=OCTOBER_5_S, due_s=OCTOBER_5_S, turn=0)

    assert slot["starts_at"] == "2026-10-09T08:00:00Z"
    assert choose_slot([], now_s=OCTOBER_5_S, due_s=None, turn=0) is None


def test_an_owner_books_a_technician_who_will_come():
    slots = [{**slot, "technician_id": i} for i, slot in enumerate(SLOTS)]

    slot = choose_slot(slots, now_s=0, due_s=OCTOBER_5_S, turn=0, technicians=[2, 9])

    assert slot["technician_id"] == 2


def machine_with(*failures):
    site = Site(latitude=48, utc_offset_s=0, weather_key=1)
    return Machine(
        name="m",
        model=MODELS["heat_pump"],
        site=site,
        key=9,
        start_s=START_S,
        failures=list(failures),
    )


def bearing(**changes):
    fields = {"onset_s": START_S + 10 * DAY_S, "fails_s": START_S + 30 * DAY_S} | changes
    return Failure(device=0, mode="fan_bearing", **fields)


@pytest.mark.parametrize(
    ("suspected", "day", "verdict", "found"),
    [
        ("fan_bearing", 11, "no_fault_found", "fan_bearing"),
        ("fan_bearing", 25, "incipient", "fan_bearing"),
        ("fan_bearing", 31, "confirmed", "fan_bearing"),
        ("filter_clogged", 25, "other_fault", "fan_bearing"),
        ("filter_clogged", 11, "no_fault_found", "filter_clogged"),
    ],
)
def test_the_verdict_is_what_the_physics_says(suspected, day, verdict, found):
    seen, mode = examine(machine_with(bearing()), suspected, START_S + day * DAY_S)

    assert (seen, mode.name) == (verdict, found)


def test_a_repaired_part_is_found_well():
    machine = machine_with(bearing(repaired_s=START_S + 20 * DAY_S))

    assert examine(machine, "fan_bearing", START_S + 31 * DAY_S)[0] == "no_fault_found"


def test_a_dead_board_is_found_dead_and_not_foreseen():
    board = Failure(device=0, mode="control_board", onset_s=START_S, fails_s=START_S)

    assert examine(machine_with(board), "control_board", START_S - 60)[0] == "no_fault_found"
    assert examine(machine_with(board), "control_board", START_S)[0] == "confirmed"


@pytest.mark.parametrize(
    ("repaired_day", "through_day", "result"),
    [(None, 20, "pending"), (None, 40, "failed"), (20, 40, "prevented"), (33, 40, "failed")],
)
def test_the_truth_says_prevented_only_if_somebody_came_before_the_failure(
    repaired_day, through_day, result
):
    repaired_s = None if repaired_day is None else START_S + repaired_day * DAY_S

    assert (
        outcome(bearing(repaired_s=repaired_s), through_s=START_S + through_day * DAY_S) == result
    )

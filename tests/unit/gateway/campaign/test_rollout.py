"""Who comes when, and how fast."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidError
from gateway.campaign.commands import per_hour, share, span
from gateway.campaign.deliveries import Deliveries, Question
from gateway.campaign.judge import Verdict
from gateway.campaign.member import State
from gateway.campaign.records import CampaignDraft
from gateway.campaign.rollout import (
    Bucket,
    StageCount,
    check_stages,
    judge_stage,
    refill,
    stages_of,
)
from gateway.campaign.service import check_draft
from gateway.campaign.wire import read_fetch, read_progress
from gateway.campaign.words import detections_sentence, failures_sentence
from gateway.desk import Incoming

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
STAGES = (0.01, 0.1, 0.5, 1.0)


@given(st.integers(1, 400))
def test_stages_take_their_share_and_everybody_has_one(count: int) -> None:
    names = [f"k{i}" for i in range(count)]

    placed = stages_of(7, names, STAGES)

    assert set(placed) == set(names)
    for stage, part in enumerate(STAGES):
        own = sum(1 for other in placed.values() if other <= stage)
        assert part * count <= own + 1e-6 <= part * count + 1


def test_the_lot_falls_the_same_way_again_and_another_way_in_another_campaign() -> None:
    names = [f"k{i}" for i in range(200)]

    assert stages_of(7, names, STAGES) == stages_of(7, list(reversed(names)), STAGES)
    assert stages_of(7, names, STAGES) != stages_of(8, names, STAGES)


@pytest.mark.parametrize("stages", [(), (0.5,), (0.5, 0.1, 1.0), (0.0, 1.0), (0.1, 1.1)])
def test_shares_that_do_not_rise_to_all_are_refused(stages: tuple[float, ...]) -> None:
    with pytest.raises(InvalidError):
        check_stages(stages)


def test_tokens_come_with_time_and_do_not_pile_up() -> None:
    empty = Bucket(tokens=0, at=NOW)

    assert refill(empty, per_hour=3600, now=NOW + timedelta(seconds=5)).tokens == 5
    assert refill(empty, per_hour=3600, now=NOW + timedelta(days=5)).tokens == 60
    assert refill(empty, per_hour=1, now=NOW + timedelta(days=5)).tokens == 1
    assert refill(empty, per_hour=60, now=NOW - timedelta(days=5)).tokens == 0


def counted(**devices: int) -> list[StageCount]:
    return [
        StageCount(stage=0, state=State(state), devices=n, connected=n)
        for state, n in devices.items()
    ]


def pace(counts: list[StageCount], *, watched_days: float = 10, hours: float = 2) -> str:
    return judge_stage(
        counts,
        stage=0,
        stage_since=NOW - timedelta(hours=hours),
        hold=timedelta(hours=1),
        watch=timedelta(days=1),
        watched=timedelta(days=watched_days),
        now=NOW,
    ).waits_for


def test_a_stage_waits_for_devices_data_and_the_hold() -> None:
    assert pace(counted(installed=3, downloading=1)) == "1 device to be updated"
    assert pace(counted(waiting=2)) == "2 devices to be updated"
    assert pace(counted(failed=2)).startswith("the first device")
    assert pace(counted(installed=4), watched_days=1.5).startswith("2.5 more device-days")
    assert pace(counted(installed=4), hours=0.5).startswith("the hold, until 2026-11-24 12:30")
    assert pace(counted(installed=4)) == ""


def test_a_device_that_is_away_holds_up_nobody() -> None:
    away = StageCount(stage=0, state=State.WAITING, devices=3, connected=0)

    assert pace([*counted(installed=4), away]) == ""


@pytest.mark.parametrize(
    "more",
    [
        {"per_hour": 0},
        {"offers_max": 0},
        {"hold": timedelta(days=-1)},
        {"tolerated_failures": 0.9},
        {"false_stops": 0.0},
        {"lots": ("",)},
        {"title": "x" * 200},
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(more: dict[str, object]) -> None:
    check_draft(CampaignDraft(product="kettle", version="2.0"))

    with pytest.raises(InvalidError):
        check_draft(CampaignDraft(product="kettle", version="2.0", **more))  # type: ignore[arg-type]


def test_people_write_shares_rates_and_spans_as_they_speak() -> None:
    assert share("10%", "--x") == share("0.1", "--x") == pytest.approx(0.1)
    assert [per_hour(text) for text in ("50/h", "10/min", "2 / s")] == [50, 600, 7200]
    assert span("1.5 h", "--x") == timedelta(minutes=90)
    for wrong in (lambda: share("ten", "--x"), lambda: per_hour("5"), lambda: span("1", "--x")):
        with pytest.raises(InvalidError):
            wrong()


def question(device: str, chunk: int = 0) -> Question:
    return Question(
        device=device,
        shard=1,
        campaign_id=1,
        firmware_id=1,
        chunk=chunk,
        count=4,
        chunk_bytes=100,
    )


def test_pieces_are_handed_out_no_faster_than_the_budget() -> None:
    deliveries = Deliveries(bytes_per_s=400, burst_bytes=800)
    for number in range(5):
        deliveries.ask(question(f"k{number}"))

    first = deliveries.due(now=NOW)
    none = deliveries.due(now=NOW)
    later = deliveries.due(now=NOW + timedelta(seconds=1))

    assert [[q.device for q in found] for found in (first, none, later)] == [
        ["k0", "k1"],
        [],
        ["k2"],
    ]


def test_a_new_question_replaces_the_one_before() -> None:
    deliveries = Deliveries()
    deliveries.ask(question("k1", chunk=0))
    deliveries.ask(question("k1", chunk=4))
    deliveries.ask(question("k2"))
    deliveries.drop("k2")

    assert [(q.device, q.chunk) for q in deliveries.due(now=NOW)] == [("k1", 4)]


def said(kind: str, payload: bytes) -> Incoming:
    return Incoming(device="k1", shard=10, kind=kind, payload=payload)


@given(st.binary(max_size=200))
def test_no_bytes_raise(payload: bytes) -> None:
    read_fetch(said("fetch", payload))
    read_progress(said("progress", payload))


def test_a_question_without_measure_is_cut_to_size() -> None:
    found = read_fetch(said("fetch", b'{"campaign": 3, "chunk": 7, "count": 100000}'))

    assert found is not None
    assert (found.campaign_id, found.chunk, found.count) == (3, 7, 8)
    assert read_fetch(said("fetch", b'{"campaign": 3, "chunk": -7}')) is None


def test_the_evidence_is_told_in_words() -> None:
    verdict = Verdict(
        ended=20,
        failed=6,
        tolerated_failures=0.05,
        failures_e=123_456.0,
        new_detected=5,
        new_days=40.2,
        old_detected=2,
        old_days=400.4,
        detections_e=2_041.0,
        ratio_low=4.1,
        ratio_high=260.0,
        watched_days=41.0,
        through=NOW,
        stop_at_e=100.0,
    )

    assert detections_sentence(verdict, version="4.3.0") == (
        "5 devices with a detection in 40 device-days after 4.3.0 against 2 in 400 device-days on the"
        " old version in the same time; if the versions were alike, that would happen by chance in"
        " less than one of 2,000 campaigns."
    )
    assert failures_sentence(verdict) == (
        "6 devices of 20 failed to update or rolled back; with 5 % failing, the tolerated share, that"
        " happens by chance in less than one of 120,000 campaigns."
    )

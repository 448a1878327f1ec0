"""Looks at a running campaign: judges its numbers, and goes on, stops or ends accordingly."""

from datetime import datetime

from core.failpoint import failpoint
from core.log import get_logger
from core.pool import Connection
from gateway.campaign import judge, rollout, store, words
from gateway.campaign.judge import Verdict
from gateway.campaign.member import State
from gateway.campaign.records import Campaign
from gateway.campaign.rollout import StageCount

log = get_logger("gateway")

ACTOR = "forecare"


def look(connection: Connection, campaign: Campaign, *, now: datetime) -> bool:
    """Judge a running campaign that the caller holds, and do what follows; true: it stands still.

    Stopping withdraws the offers; what is being installed goes on. The next stage begins when this
    one is over, and after the last device the campaign is done.
    """
    if campaign.event_from is None:
        store.begin_comparison(connection, campaign.id)
    counts = store.stage_counts(connection, campaign.id)
    verdict = _judge(connection, campaign, counts)
    store.set_verdict(connection, campaign.id, verdict, now=now)
    if verdict.is_worse:
        reason = words.stop_reason(verdict, version=campaign.version)
        store.withdraw_members(
            connection, campaign.id, state=State.WAITING, reason="campaign stopped", now=now
        )
        _end(connection, campaign, "stopped", reason, now=now)
        return True
    if rollout.is_over(counts):
        reason = words.end_sentence(verdict, version=campaign.version)
        _end(connection, campaign, "done", reason, now=now)
        return True
    _go_on(connection, campaign, counts, verdict, now=now)
    return False


def _judge(connection: Connection, campaign: Campaign, counts: tuple[StageCount, ...]) -> Verdict:
    states = rollout.by_state(counts)
    failed = states[State.FAILED] + states[State.ROLLED_BACK]
    return judge.judge(
        store.lives(connection, campaign.id),
        begin=campaign.event_from,
        late_after=store.late_after(connection, campaign.id),
        ended=states[State.INSTALLED] + failed,
        failed=failed,
        tolerated_failures=campaign.tolerated_failures,
        stop_at_e=max(judge.threshold(campaign.false_stops), campaign.stop_from_e),
    )


def _go_on(
    connection: Connection,
    campaign: Campaign,
    counts: tuple[StageCount, ...],
    verdict: Verdict,
    *,
    now: datetime,
) -> None:
    """Begin the next stage if this one is over, else say what it waits for."""
    pace = rollout.judge_stage(
        counts,
        stage=campaign.stage,
        stage_since=campaign.stage_since or now,
        hold=campaign.hold,
        watch=campaign.watch,
        watched=verdict.watched,
        now=now,
    )
    stage = campaign.stage + 1
    if not pace.is_over or stage == len(campaign.stages):
        reason = f"waiting for {pace.waits_for}" if pace.waits_for else ""
        store.set_reason(connection, campaign.id, reason)
        return
    store.set_stage(connection, campaign.id, stage, now=now)
    share = f"{campaign.stages[stage] * 100:.3g} % of the devices"
    store.add_event(connection, campaign.id, action="stage", by=ACTOR, reason=share, now=now)
    failpoint("campaign.stage")
    log.info("campaign.stage", campaign=campaign.id, stage=stage + 1)


def _end(
    connection: Connection, campaign: Campaign, state: str, reason: str, *, now: datetime
) -> None:
    store.set_state(connection, campaign.id, state, reason=reason, now=now)
    store.add_event(connection, campaign.id, action=state, by=ACTOR, reason=reason, now=now)
    failpoint("campaign.ended")
    log.info("campaign.ended", campaign=campaign.id, state=state)

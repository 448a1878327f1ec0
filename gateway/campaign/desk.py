"""The campaigns' desk: makes offers, hands out pieces, follows devices, judges and stops.

What a crash does: an offer, a withdrawal or a piece that was decided but not sent is sent again when
nothing is heard (offers), when the device next speaks (withdrawals), or when it asks again (pieces).
A message that is worked on twice changes nothing the second time. The judgement and what follows
from it are one transaction.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from core.clock import monotonic_s
from core.failpoint import failpoint
from core.log import get_logger
from core.pool import Connection
from gateway import store as registry_store
from gateway.campaign import rollout, store, wire
from gateway.campaign.deliveries import Deliveries, Question
from gateway.campaign.inspection import look
from gateway.campaign.member import (
    Answer,
    Born,
    Member,
    State,
    Step,
    asked,
    born,
    offered,
    overdue,
    told,
)
from gateway.campaign.records import Campaign
from gateway.campaign.rollout import Bucket
from gateway.campaign.store import CampaignFilter
from gateway.desk import Incoming, Outgoing
from gateway.firmware import store as firmware_store
from gateway.firmware.image import Firmware
from gateway.presence import believed, read_change

log = get_logger("gateway")

_CAMPAIGNS_MAX = 100
_OFFERS_MAX = 500
"""Offers, repeats and withdrawals of one tick, each."""
_LOOK_EVERY_S = 2.0
_LOOK_SHARE = 0.05
"""Share of the gateway's time that looking at the numbers may take, however large the fleet."""
_IDLE_S = 5.0
"""Pause after a look that found nobody to offer it to."""


class CampaignDesk:
    """Keeps gateway.campaign and its devices going."""

    kinds = frozenset({"birth", "fetch", "progress"})

    def __init__(self, deliveries: Deliveries | None = None) -> None:
        self._deliveries = deliveries or Deliveries()
        self._images: dict[int, Firmware] = {}
        """By id; a version never changes."""
        self._look_s: dict[int, float] = {}
        self._idle_until_s: dict[int, float] = {}

    def take(
        self, connection: Connection, incoming: Sequence[Incoming], *, now: datetime
    ) -> Sequence[Outgoing]:
        batch = _Batch(self, connection, incoming, now=now)
        answers = batch.work()
        return [*answers, *self._hand_out(connection, now=now)]

    def tick(self, connection: Connection, *, now: datetime) -> Sequence[Outgoing]:
        answers = list(self._repeat(connection, now=now))
        answers += self._withdraw(connection)
        running = store.list_campaigns(
            connection, CampaignFilter(states=("running",), limit=_CAMPAIGNS_MAX)
        )
        for campaign in running:
            if not self._look(connection, campaign, now=now):
                answers += self._offer(connection, campaign, now=now)
        answers += self._hand_out(connection, now=now)
        failpoint("campaign.ticked")
        return answers

    def image(self, connection: Connection, firmware_id: int) -> Firmware:
        if firmware_id not in self._images:
            (found,) = firmware_store.list_firmware(connection, firmware_id=firmware_id, limit=1)
            self._images[firmware_id] = found
        return self._images[firmware_id]

    def ask(self, member: Member, campaign: Campaign, image: Firmware, fetch: wire.Fetch) -> None:
        count = min(fetch.count, image.chunks - fetch.chunk)
        if count <= 0:
            return
        question = Question(
            device=member.device,
            shard=member.shard,
            campaign_id=campaign.id,
            firmware_id=image.id,
            chunk=fetch.chunk,
            count=count,
            chunk_bytes=image.chunk_bytes,
        )
        if not self._deliveries.ask(question):
            log.warning("campaign.too_many_questions", waiting=len(self._deliveries))

    def forget(self, device: str) -> None:
        self._deliveries.drop(device)

    def is_there(self, campaign_id: int) -> None:
        """Somebody who may be waiting for an offer has come."""
        self._idle_until_s.pop(campaign_id, None)

    def _hand_out(self, connection: Connection, *, now: datetime) -> list[Outgoing]:
        pieces = []
        for question in self._deliveries.due(now=now):
            chunks = firmware_store.read_chunks(
                connection, question.firmware_id, first=question.chunk, count=question.count
            )
            pieces += [
                wire.piece(
                    question.device,
                    question.shard,
                    campaign_id=question.campaign_id,
                    number=number,
                    data=data,
                )
                for number, data in chunks
            ]
        return pieces

    def _repeat(self, connection: Connection, *, now: datetime) -> list[Outgoing]:
        """Do what is due about devices of which nothing was heard in time."""
        found = store.members_overdue(connection, now=now, limit=_OFFERS_MAX)
        if not found:
            return []
        ids = {member.campaign_id for member, _ in found}
        campaigns = _by_id(connection, ids)
        steps = [
            overdue(member, terms=campaigns[member.campaign_id].terms, is_connected=there, now=now)
            for member, there in found
        ]
        store.keep_members(connection, [member for member, _ in steps])
        return self.answers(connection, campaigns, steps)

    def _withdraw(self, connection: Connection) -> list[Outgoing]:
        """Tell devices that their offer is no more. Should it get lost, they hear it when they ask."""
        found = store.members_to_withdraw(connection, limit=_OFFERS_MAX)
        for member in found:
            self.forget(member.device)
        store.keep_members(connection, [replace(member, is_withdrawn=False) for member in found])
        return [wire.withdrawal(member) for member in found]

    def answers(
        self, connection: Connection, campaigns: dict[int, Campaign], steps: Sequence[Step]
    ) -> list[Outgoing]:
        answers = []
        for member, answer in steps:
            if answer is Answer.OFFER:
                firmware_id = campaigns[member.campaign_id].firmware_id
                answers.append(wire.offer(member, self.image(connection, firmware_id)))
            elif answer is Answer.WITHDRAW:
                self.forget(member.device)
                answers.append(wire.withdrawal(member))
        return answers

    def _offer(
        self, connection: Connection, campaign: Campaign, *, now: datetime
    ) -> list[Outgoing]:
        """Let as many devices begin as the rate allows."""
        if monotonic_s() < self._idle_until_s.get(campaign.id, 0.0):
            return []
        bucket = rollout.refill(
            Bucket(tokens=campaign.tokens, at=campaign.tokens_at or now),
            per_hour=campaign.per_hour,
            now=now,
        )
        allowed = min(int(bucket.tokens), _OFFERS_MAX)
        if not allowed:
            return []
        found = store.members_to_offer(
            connection, campaign.id, stage=campaign.stage, now=now, limit=allowed
        )
        if len(found) < allowed:
            self._idle_until_s[campaign.id] = monotonic_s() + _IDLE_S
        if not found:
            return []
        boots = store.device_boots(connection, [member.device_id for member in found])
        members = [offered(member, boot=boots.get(member.device_id), now=now) for member in found]
        store.keep_members(connection, members)
        spent = Bucket(tokens=bucket.tokens - len(members), at=now)
        store.set_tokens(connection, campaign.id, spent)
        image = self.image(connection, campaign.firmware_id)
        return [wire.offer(member, image) for member in members]

    def _look(self, connection: Connection, campaign: Campaign, *, now: datetime) -> bool:
        """Judge the numbers now and then; returns whether the campaign stands still now."""
        begun_s = monotonic_s()
        if begun_s < self._look_s.get(campaign.id, 0.0):
            return False
        if store.lock_campaign(connection, campaign.id) != "running":
            return True  # somebody paused or cancelled it meanwhile
        is_still = look(connection, campaign, now=now)
        took_s = monotonic_s() - begun_s
        self._idle_until_s.pop(campaign.id, None)  # another stage may have begun
        self._look_s[campaign.id] = begun_s + max(_LOOK_EVERY_S, took_s / _LOOK_SHARE)
        return is_still


class _Batch:
    """The messages of one transaction, and the rows that they are about."""

    def __init__(
        self,
        desk: CampaignDesk,
        connection: Connection,
        incoming: Sequence[Incoming],
        *,
        now: datetime,
    ) -> None:
        self._desk, self._connection, self._now = desk, connection, now
        self._messages = [(message, _read(message)) for message in incoming]
        self._event_times: dict[str, datetime] | None = None
        timed = {m.device for m, said in self._messages if isinstance(said, Born) and said.event_at}
        self._products = registry_store.products_of_devices(connection, timed)

    def work(self) -> list[Outgoing]:
        devices = {message.device for message, said in self._messages if said is not None}
        if not devices:
            return []
        ids = {
            said.campaign_id
            for _, said in self._messages
            if isinstance(said, wire.Fetch | wire.Progress)
        }
        found = store.members_of_devices(self._connection, devices, campaign_ids=ids)
        campaigns = _by_id(self._connection, {member.campaign_id for member in found})
        self._campaigns = campaigns
        self._members = {(member.device, member.campaign_id): member for member in found}
        self._of_device: dict[str, list[int]] = defaultdict(list)
        for member in found:
            self._of_device[member.device].append(member.campaign_id)
        answers: list[Outgoing] = []
        before = dict(self._members)
        for message, said in self._messages:
            answers += self._one(message, said)
        changed = [m for key, m in self._members.items() if m != before[key]]
        store.keep_members(self._connection, changed)
        return answers

    def _one(
        self, message: Incoming, said: "Born | wire.Fetch | wire.Progress | None"
    ) -> list[Outgoing]:
        if said is None:
            log.warning("campaign.unreadable", device=message.device, kind=message.kind)
            return []
        if isinstance(said, Born):
            return self._birth(message, said)
        key = (message.device, said.campaign_id)
        if key not in self._members:
            return [wire.unknown_withdrawal(message, said.campaign_id)]
        member, campaign = self._members[key], self._campaigns[said.campaign_id]
        if isinstance(said, wire.Progress):
            step = told(member, said.told, terms=campaign.terms, now=self._now)
            if step[0].state in (State.FAILED, State.INSTALLING):
                self._desk.forget(member.device)
        else:
            step = asked(member, said.chunk, terms=campaign.terms, now=self._now)
            if step[1] is Answer.NOTHING:
                image = self._desk.image(self._connection, campaign.firmware_id)
                self._desk.ask(member, campaign, image, said)
        return self._keep(key, step)

    def _birth(self, message: Incoming, birth: Born) -> list[Outgoing]:
        answers: list[Outgoing] = []
        at = believed(birth.event_at, device=message.device, products=self._products, now=self._now)
        birth = replace(birth, event_at=at)
        for campaign_id in self._of_device.get(message.device, ()):
            key = (message.device, campaign_id)
            member, campaign = self._members[key], self._campaigns[campaign_id]
            if birth.version == campaign.version and member.state is not State.INSTALLED:
                birth = self._with_event_time(message.device, birth)
            self._desk.is_there(campaign_id)
            answers += self._keep(key, born(member, birth, terms=campaign.terms, now=self._now))
        return answers

    def _with_event_time(self, device: str, birth: Born) -> Born:
        """The device says by its own clock when it began; else its newest sample stands for that."""
        if birth.event_at is not None:
            return birth
        if self._event_times is None:
            devices = {message.device for message, _ in self._messages}
            self._event_times = store.device_event_times(self._connection, devices)
        return Born(version=birth.version, boot=birth.boot, event_at=self._event_times.get(device))

    def _keep(self, key: tuple[str, int], step: Step) -> list[Outgoing]:
        self._members[key] = step[0]
        return self._desk.answers(self._connection, self._campaigns, [step])


def _by_id(connection: Connection, ids: set[int]) -> dict[int, Campaign]:
    if not ids:
        return {}
    found = store.list_campaigns(connection, CampaignFilter(ids=sorted(ids), limit=len(ids)))
    return {campaign.id: campaign for campaign in found}


def _read(message: Incoming) -> Born | wire.Fetch | wire.Progress | None:
    if message.kind == "fetch":
        return wire.read_fetch(message)
    if message.kind == "progress":
        return wire.read_progress(message)
    change = read_change(message)
    if change is None:
        return None
    return Born(version=change.firmware, boot=change.boot, event_at=change.at)

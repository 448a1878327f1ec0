"""Turns the Sparkplug messages of a batch into telemetry, refusals and answers. Pure."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from core.units import to_epoch_ms
from gateway.codecs import CodecError, encode
from gateway.session import Arrival
from gateway.sparkplug.messages import (
    SparkplugTopic,
    parse_sparkplug_topic,
    read_payload,
    rebirth_command,
    rebirth_topic,
)
from gateway.sparkplug.session import Node, Outcome, take
from gateway.topics import DEVICE_NAME, shard_of, topic_of
from ingest.records import Refusal, Refused

_DETAIL_MAX = 300
_TOPIC_MAX = 200


@dataclass(slots=True)
class Translation:
    """What the Sparkplug messages of a batch mean."""

    telemetry: list[Arrival] = field(default_factory=list)
    """In Forecare's own form, on the topic of the device that it belongs to."""
    refused: list[Refused] = field(default_factory=list)
    nodes: dict[str, Node] = field(default_factory=dict)
    """As they are after the batch; only those that were heard."""
    presence: list[tuple[str, bytes]] = field(default_factory=list)
    """Topic and payload of births and wills, in order."""
    stale: dict[str, str] = field(default_factory=dict)
    """Nodes to be asked for a rebirth, and their group."""


def translate(
    arrivals: Sequence[Arrival],
    known: Mapping[str, Node | None],
    *,
    spoken_for: AbstractSet[tuple[str, str]],
    now: datetime,
) -> Translation:
    """Work on a batch.

    Parameters
    ----------
    arrivals : sequence of Arrival
        In order of arrival.
    known : mapping
        Every node of the batch as it was before; None: never heard.
    spoken_for : set of (node, device)
        The devices behind a node that it may speak for.
    now : datetime
        Time of arrival.
    """
    translator = _Translator(known, spoken_for, now)
    for arrival in arrivals:
        translator.take(arrival)
    return translator.translation


def rebirths(stale: Mapping[str, str], *, now_ms: int) -> list[tuple[str, bytes]]:
    """Return the commands that ask nodes to be born again."""
    payload = rebirth_command(now_ms=now_ms)
    return [(rebirth_topic(group=group, node=node), payload) for node, group in stale.items()]


class _Translator:
    def __init__(
        self,
        known: Mapping[str, Node | None],
        spoken_for: AbstractSet[tuple[str, str]],
        now: datetime,
    ) -> None:
        self.translation = Translation()
        self._known = known
        self._spoken_for = spoken_for
        self._now = now

    def take(self, arrival: Arrival) -> None:
        topic = parse_sparkplug_topic(arrival.topic)
        if topic is None:
            self._refuse(arrival, "", Refusal.UNKNOWN_DEVICE, "no topic that a node writes")
            return
        node = self.translation.nodes.get(topic.node, self._known.get(topic.node))
        try:
            message = read_payload(arrival.payload)
        except CodecError as error:
            self._refuse(arrival, topic.device or topic.node, Refusal.UNREADABLE, str(error))
            return
        outcome = take(node, topic, message, arrived_ms=to_epoch_ms(self._now))
        self._note_node(topic, outcome)
        self._note_samples(arrival, topic, outcome)

    def _note_node(self, topic: SparkplugTopic, outcome: Outcome) -> None:
        node, found = outcome.node, self.translation
        if node is not None:
            found.nodes[topic.node] = node
        if node is not None and outcome.presence is not None:
            kind = outcome.presence.value
            told = topic_of(topic.node, shard=shard_of(topic.node), kind=kind)
            found.presence.append((told, msgspec.json.encode({"boot": node.boot})))
        if topic.kind == "NBIRTH" and not outcome.refusal:
            found.stale.pop(topic.node, None)
        elif outcome.wants_rebirth:
            found.stale[topic.node] = topic.group

    def _note_samples(self, arrival: Arrival, topic: SparkplugTopic, outcome: Outcome) -> None:
        name = topic.device or topic.node
        if outcome.refusal:
            reason = Refusal.NOT_DECLARED if outcome.is_undeclared else Refusal.UNREADABLE
            self._refuse(arrival, name, reason, outcome.refusal)
        elif outcome.telemetry is None:
            return
        elif topic.device and (topic.node, topic.device) not in self._spoken_for:
            shown = topic.device[:64]
            self._refuse(
                arrival,
                name,
                Refusal.UNKNOWN_DEVICE,
                f"node {topic.node} does not speak for {shown};"
                f" `forecare device speaks-for {topic.node} {shown}` allows it",
            )
        else:
            own = topic_of(name, shard=shard_of(name), kind="telemetry")
            self.translation.telemetry.append(Arrival(own, encode(outcome.telemetry), 0))

    def _refuse(self, arrival: Arrival, device: str, reason: Refusal, detail: str) -> None:
        self.translation.refused.append(
            Refused(
                device_name=device if DEVICE_NAME.fullmatch(device) else "",
                topic=arrival.topic.replace("\0", "\\0")[:_TOPIC_MAX],
                payload=arrival.payload,
                reason=reason,
                detail=detail.replace("\0", "\\0")[:_DETAIL_MAX],
                received_at=self._now,
            )
        )

"""What an edge node has declared, and what its messages mean by it. Pure.

A birth declares names, aliases and types; data may then be told by alias alone. Nothing is stored
under a name that is not sure: after a gap in `seq` a birth may be missing, so data by alias is
refused until the node is born again, which is asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import msgspec

from gateway.codecs.records import CodecError, Telemetry, Values
from gateway.sparkplug.messages import (
    UNKNOWN,
    SparkplugMessage,
    SparkplugMetric,
    SparkplugTopic,
    is_number,
    number_of,
)

DEVICES_MAX = 1000
"""Devices behind one node."""
NAMES_MAX = 20_000
"""Metrics that a node and its devices may declare together."""
_SEQ_COUNT = 256
_REPEATS_MAX = 128
"""How far behind a `seq` may be to count as a repetition."""
_BD_SEQ = "bdSeq"
_ABOUT_ITSELF = ("Node Control/", "Device Control/", "Node Info/", "Device Info/", "Properties/")
"""Names that Sparkplug reserves for what a node says about itself."""


class Declaration(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One line of a birth certificate."""

    name: str
    alias: int | None
    datatype: int


class Birth:
    """What one device (or the node itself) has declared."""

    __slots__ = ("by_alias", "lines", "types")

    def __init__(self, lines: Sequence[Declaration]) -> None:
        self.lines = tuple(lines)
        self.types = {line.name: line.datatype for line in lines}
        self.by_alias = {line.alias: line.name for line in lines if line.alias is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """An edge node, as far as its messages have told."""

    group: str
    boot: int
    """Births so far: the number of its session."""
    bd_seq: int | None
    """Ties a death to its birth."""
    born_ms: int | None
    newest_ms: int | None
    next_seq: int
    is_alive: bool
    is_stale: bool
    """A message is missing, and it may have been a birth."""
    births: Mapping[str, Birth]
    """By device; the node itself has the empty name."""


class Presence(StrEnum):
    BORN = "birth"
    GONE = "will"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a message changes."""

    node: Node | None
    telemetry: Telemetry | None = None
    refusal: str = ""
    """Why nothing of it is stored; empty: nothing was wrong."""
    is_undeclared: bool = False
    """It is refused because what it means was not declared, and not because it is wrong."""
    wants_rebirth: bool = False
    presence: Presence | None = None


def take(
    node: Node | None, topic: SparkplugTopic, message: SparkplugMessage, *, arrived_ms: int
) -> Outcome:
    """Work on one message of a node.

    Parameters
    ----------
    node : Node or None
        What is known of it.
    topic : SparkplugTopic
    message : SparkplugMessage
    arrived_ms : int
        Time of arrival, milliseconds since 1970, for values without a time of their own.

    Returns
    -------
    Outcome
        A value or a declaration against the specification is refused; its place in the sequence counts.
    """
    if topic.kind == "NDEATH":
        return _node_gone(node, message)
    is_repeat = False
    if topic.kind != "NBIRTH":
        if node is None or not node.is_alive:
            return _undeclared(node, f"no birth of node {topic.node} is known")
        node, is_repeat = _in_sequence(node, message)
    try:
        return _said(node, topic, message, arrived_ms, is_repeat=is_repeat)
    except _UnsureNameError as error:
        return _undeclared(node, str(error))
    except CodecError as error:
        return Outcome(node=node, refusal=str(error))


def _said(
    node: Node | None,
    topic: SparkplugTopic,
    message: SparkplugMessage,
    arrived_ms: int,
    *,
    is_repeat: bool,
) -> Outcome:
    if topic.kind == "NBIRTH" or node is None:
        return _node_born(node, topic, message, arrived_ms)
    if topic.kind == "DBIRTH":
        return _device_born(node, topic, message, arrived_ms)
    if topic.kind == "DDEATH":
        births = {name: birth for name, birth in node.births.items() if name != topic.device}
        return Outcome(
            node=node if is_repeat else replace(node, births=births), wants_rebirth=node.is_stale
        )
    return _data(node, topic, message, arrived_ms)


def _node_born(
    node: Node | None, topic: SparkplugTopic, message: SparkplugMessage, arrived_ms: int
) -> Outcome:
    birth = _declared(message)
    telemetry = _telemetry(message, birth, arrived_ms, by_alias=True)
    bd_seq = _bd_seq(message)
    if (
        node is not None
        and node.is_alive
        and message.at_ms is not None
        and (bd_seq, message.at_ms) == (node.bd_seq, node.born_ms)
    ):
        # The same birth once more: perhaps nobody has heard of it yet.
        return Outcome(node=node, telemetry=telemetry, presence=Presence.BORN)
    born = Node(
        group=topic.group,
        boot=1 if node is None else node.boot + 1,
        bd_seq=bd_seq,
        born_ms=message.at_ms,
        newest_ms=message.at_ms,
        next_seq=((message.seq or 0) + 1) % _SEQ_COUNT,
        is_alive=True,
        is_stale=False,
        births={"": birth},
    )
    return Outcome(node=born, telemetry=telemetry, presence=Presence.BORN)


def _node_gone(node: Node | None, message: SparkplugMessage) -> Outcome:
    """A late will of an earlier session has another bdSeq, and says nothing about this one."""
    if node is None or not node.is_alive or _bd_seq(message) != node.bd_seq:
        return Outcome(node=node)
    return Outcome(node=replace(node, is_alive=False), presence=Presence.GONE)


def _device_born(
    node: Node, topic: SparkplugTopic, message: SparkplugMessage, arrived_ms: int
) -> Outcome:
    birth = _declared(message)
    telemetry = _telemetry(message, birth, arrived_ms, by_alias=True)
    births = {**node.births, topic.device: birth}
    if len(births) > DEVICES_MAX + 1:
        raise CodecError(f"node {topic.node} has more than {DEVICES_MAX} devices")
    if sum(len(one.lines) for one in births.values()) > NAMES_MAX:
        raise CodecError(f"node {topic.node} declares more than {NAMES_MAX} metrics")
    return Outcome(
        node=replace(node, births=births), telemetry=telemetry, wants_rebirth=node.is_stale
    )


def _data(node: Node, topic: SparkplugTopic, message: SparkplugMessage, arrived_ms: int) -> Outcome:
    birth = node.births.get(topic.device)
    if birth is None:
        raise _UnsureNameError(f"no birth of device {topic.device[:60]} is known")
    telemetry = _telemetry(message, birth, arrived_ms, by_alias=not node.is_stale)
    return Outcome(node=node, telemetry=telemetry, wants_rebirth=node.is_stale)


def _undeclared(node: Node | None, why: str) -> Outcome:
    return Outcome(
        node=node,
        refusal=f"{why}; a rebirth was asked for",
        is_undeclared=True,
        wants_rebirth=True,
    )


def _in_sequence(node: Node, message: SparkplugMessage) -> tuple[Node, bool]:
    """Return the node after a message with a `seq`, and whether the message is a repetition."""
    newest_ms = max((ms for ms in (node.newest_ms, message.at_ms) if ms is not None), default=None)
    if message.seq == node.next_seq:
        next_seq = (node.next_seq + 1) % _SEQ_COUNT
        return replace(node, next_seq=next_seq, newest_ms=newest_ms), False
    if message.seq is not None and _is_repeat(node, message.seq, message.at_ms):
        return node, True
    seq = node.next_seq if message.seq is None else message.seq
    return (
        replace(node, next_seq=(seq + 1) % _SEQ_COUNT, newest_ms=newest_ms, is_stale=True),
        False,
    )


def _is_repeat(node: Node, seq: int, at_ms: int | None) -> bool:
    """A message of QoS 1 may come again. One of a new session that looks old is younger by its clock."""
    behind = (node.next_seq - 1 - seq) % _SEQ_COUNT
    is_known_time = at_ms is not None and node.newest_ms is not None and at_ms <= node.newest_ms
    return behind < _REPEATS_MAX and is_known_time


class _UnsureNameError(Exception):
    """An alias whose name is not sure."""


def _declared(message: SparkplugMessage) -> Birth:
    lines = []
    names: set[str] = set()
    aliases: set[int] = set()
    for metric in message.metrics:
        if not metric.name or metric.name in names or metric.alias in aliases:
            raise CodecError(
                f"a birth declares {metric.name[:60] or 'a metric without a name'} twice"
            )
        if metric.name != _BD_SEQ and metric.datatype == UNKNOWN:
            raise CodecError(f"a birth declares {metric.name[:60]} without a type")
        names.add(metric.name)
        if metric.alias is not None:
            aliases.add(metric.alias)
        lines.append(Declaration(metric.name, metric.alias, metric.datatype))
    return Birth(lines)


def _bd_seq(message: SparkplugMessage) -> int | None:
    for metric in message.metrics:
        if metric.name == _BD_SEQ and isinstance(metric.value, int):
            return int(metric.value)
    return None


def _telemetry(
    message: SparkplugMessage, birth: Birth, arrived_ms: int, *, by_alias: bool
) -> Telemetry | None:
    """Return the values that are numbers; None: there are none."""
    samples: dict[int, Values] = {}
    origins: dict[tuple[int, str], str] = {}
    for metric in message.metrics:
        name = metric.name or _name_of(metric, birth, by_alias=by_alias)
        if metric.is_null or name == _BD_SEQ or name.startswith(_ABOUT_ITSELF):
            continue
        datatype = metric.datatype or birth.types.get(name, UNKNOWN)
        if datatype == UNKNOWN:
            raise _UnsureNameError(f"{name[:60]} was not declared")
        if not is_number(datatype):
            continue
        value = number_of(metric, name=name[:60], datatype=datatype)
        at_ms = next((ms for ms in (metric.at_ms, message.at_ms) if ms is not None), arrived_ms)
        short = name.rpartition("/")[2]
        if origins.setdefault((at_ms, short), name) != name:
            other = origins[at_ms, short]
            raise CodecError(f"{other[:60]} and {name[:60]} are both the metric {short[:60]}")
        samples.setdefault(at_ms, {})[short] = value
    return Telemetry(list(samples.items())) if samples else None


def _name_of(metric: SparkplugMetric, birth: Birth, *, by_alias: bool) -> str:
    if metric.alias is None:
        raise CodecError("a metric has neither a name nor an alias")
    if not by_alias:
        raise _UnsureNameError("a message before this one is missing, so aliases are not sure")
    name = birth.by_alias.get(metric.alias)
    if name is None:
        raise _UnsureNameError(f"alias {metric.alias} was not declared")
    return name

"""Reads the topics and payloads of Sparkplug B, and writes the one that asks for a rebirth. Pure."""

import math
import re
import struct
from collections.abc import Sequence
from typing import Any

import msgspec
from google.protobuf.message import DecodeError

from gateway.codecs.records import PAYLOAD_MAX, CodecError
from gateway.sparkplug.schema import Payload

METRICS_MAX = 4000
"""Metrics in a message; the payload's size sets about the same limit."""
NAME_MAX = 300
NODE_KINDS = ("NBIRTH", "NDATA", "NDEATH")
DEVICE_KINDS = ("DBIRTH", "DDATA", "DDEATH")
FILTERS = (
    *(f"spBv1.0/+/{kind}/+" for kind in NODE_KINDS),
    *(f"spBv1.0/+/{kind}/+/+" for kind in DEVICE_KINDS),
)
"""What a host subscribes to."""

UNKNOWN = 0
INT64, UINT64, FLOAT, DOUBLE, BOOLEAN = 4, 8, 9, 10, 11
_SIGNED = {1: 8, 2: 16, 3: 32, INT64: 64}
_UNSIGNED = {5: 8, 6: 16, 7: 32, UINT64: 64}
_NUMBERS = frozenset((*_SIGNED, *_UNSIGNED, FLOAT, DOUBLE, BOOLEAN))
_INTEGER_FIELDS = ("int_value", "long_value")
_REAL_FIELDS = ("float_value", "double_value")
_TYPE_MAX = 34

_TS_MAX = 2**53
_TOPIC = re.compile(
    r"spBv1\.0/([^/]{1,200})/(?:(NBIRTH|NDATA|NDEATH)/([A-Za-z0-9_.-]{1,80})"
    r"|(DBIRTH|DDATA|DDEATH)/([A-Za-z0-9_.-]{1,80})/([^/]{1,200}))"
)
_REBIRTH = b"Node Control/Rebirth"


class SparkplugTopic(msgspec.Struct, frozen=True):
    group: str
    kind: str
    node: str
    """The edge node: the device whose credential it is."""
    device: str = ""
    """The device behind the node that it speaks for; empty: the node itself."""


class SparkplugMetric(msgspec.Struct, frozen=True, gc=False):
    name: str
    """Empty: told by its alias alone."""
    alias: int | None
    at_ms: int | None
    datatype: int
    """0: as its birth declares."""
    is_null: bool
    field: str
    """The field that carries the value; empty: none."""
    value: Any


class SparkplugMessage(msgspec.Struct, frozen=True):
    at_ms: int | None
    seq: int | None
    metrics: Sequence[SparkplugMetric]


def parse_sparkplug_topic(topic: str) -> SparkplugTopic | None:
    """Read a topic; None when it is none that a node writes."""
    match = _TOPIC.fullmatch(topic)
    if match is None:
        return None
    if match[2]:
        return SparkplugTopic(match[1], match[2], match[3])
    return SparkplugTopic(match[1], match[4], match[5], match[6])


def read_payload(payload: bytes) -> SparkplugMessage:
    """Read a payload.

    Raises
    ------
    CodecError
        If it is no Sparkplug B payload. Nothing else is ever raised, whatever the bytes.
    """
    if len(payload) > PAYLOAD_MAX:
        raise CodecError(f"{len(payload)} bytes, more than {PAYLOAD_MAX}")
    try:
        found = Payload.FromString(payload)
    except (DecodeError, RecursionError, ValueError) as error:
        raise CodecError(
            "no Sparkplug B payload: it does not follow the protobuf schema"
        ) from error
    if len(found.metrics) > METRICS_MAX:
        raise CodecError(f"{len(found.metrics)} metrics, more than {METRICS_MAX}")
    seq = found.seq if found.HasField("seq") else None
    if seq is not None and seq > 255:
        raise CodecError(f"seq {seq} is not in 0 to 255")
    return SparkplugMessage(
        at_ms=_time(found, "the payload"),
        seq=seq,
        metrics=[_metric(metric) for metric in found.metrics],
    )


def is_number(datatype: int) -> bool:
    """Tell whether values of a type can be stored as a metric."""
    return datatype in _NUMBERS


def number_of(metric: SparkplugMetric, *, name: str, datatype: int) -> float | bool:
    """Return the value of a metric of a numeric type.

    Raises
    ------
    CodecError
        If the value is missing, of another type, out of the type's range, or not finite.
    """
    value: Any = metric.value
    if datatype == BOOLEAN:
        if metric.field != "boolean_value":
            raise _mismatch(name, metric)
        return bool(value)
    if datatype in (FLOAT, DOUBLE):
        if metric.field not in _REAL_FIELDS:
            raise _mismatch(name, metric)
        if not math.isfinite(value):
            raise CodecError(f"{name} is not finite")
        return _shortest(value) if metric.field == "float_value" else float(value)
    if metric.field not in _INTEGER_FIELDS:
        raise _mismatch(name, metric)
    return float(_integer(value, name=name, datatype=datatype, field=metric.field))


def rebirth_command(*, now_ms: int) -> bytes:
    """Return the payload of the NCMD that asks a node for its births."""
    payload = Payload(timestamp=now_ms)
    metric = payload.metrics.add(name=_REBIRTH, timestamp=now_ms, datatype=BOOLEAN)
    metric.boolean_value = True
    return bytes(payload.SerializeToString())


def rebirth_topic(*, group: str, node: str) -> str:
    return f"spBv1.0/{group}/NCMD/{node}"


def _metric(metric: Any) -> SparkplugMetric:
    try:
        name = metric.name.decode()
    except UnicodeDecodeError:
        raise CodecError("the name of a metric is not UTF-8") from None
    if len(name) > NAME_MAX:
        raise CodecError(f"the name of a metric has {len(name)} characters, more than {NAME_MAX}")
    if metric.datatype > _TYPE_MAX:
        raise CodecError(f"{name or 'a metric'} has the unknown type {metric.datatype}")
    field = metric.WhichOneof("value") or ""
    return SparkplugMetric(
        name=name,
        alias=metric.alias if metric.HasField("alias") else None,
        at_ms=_time(metric, name or "a metric"),
        datatype=metric.datatype,
        is_null=metric.is_null,
        field=field,
        value=getattr(metric, field) if field else None,
    )


def _time(message: Any, what: str) -> int | None:
    if not message.HasField("timestamp"):
        return None
    at_ms = int(message.timestamp)
    if at_ms > _TS_MAX:
        raise CodecError(f"the time stamp of {what} is no time")
    return at_ms


def _integer(value: int, *, name: str, datatype: int, field: str) -> int:
    """Signed types come as two's complement, of their own width or of the field's."""
    bits = _SIGNED.get(datatype) or _UNSIGNED[datatype]
    if datatype in _UNSIGNED:
        if value >> bits:
            raise CodecError(f"{name} = {value} does not fit into {bits} bits")
        return value
    carried = 64 if field == "long_value" else 32
    signed = value - (1 << carried) if value >> (carried - 1) else value
    if 0 <= signed < 1 << bits:
        return signed - (1 << bits) if signed >> (bits - 1) else signed
    if -(1 << (bits - 1)) <= signed < 0:
        return signed
    raise CodecError(f"{name} = {signed} does not fit into {bits} bits")


def _shortest(value: float) -> float:
    """Return the shortest decimal that is the same 32-bit float: 20.1 and not 20.100000381."""
    short = float(f"{value:.7g}")
    try:
        return short if struct.pack("f", short) == struct.pack("f", value) else float(value)
    except OverflowError:
        return float(value)


def _mismatch(name: str, metric: SparkplugMetric) -> CodecError:
    carried = metric.field.removesuffix("_value") or "no"
    return CodecError(f"{name} carries {carried} value, which its type does not have")

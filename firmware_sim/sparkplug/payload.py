"""Sparkplug B on the wire: the few fields of its protobuf messages that an edge node needs. Pure.

Written out by hand, a dozen fields being less than a compiler and its generated code; field numbers
and types are those of the Sparkplug 3.0 specification, section 6.4.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from firmware_sim.errors import SimulatorError

Value = float | int | bool


class DataType(IntEnum):
    """Numbers of the specification, table 6.4.16."""

    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    datatype: DataType
    """In what way the value is written; told in births alone."""
    value: Value | None
    """None: it is null."""
    name: str = ""
    alias: int | None = None
    at_ms: int | None = None
    is_historical: bool = False
    tells_type: bool = False


_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_TIMESTAMP, _METRICS, _SEQ = 1, 2, 3
_NAME, _ALIAS, _METRIC_TIMESTAMP, _DATATYPE, _IS_HISTORICAL, _IS_NULL = 1, 2, 3, 4, 5, 7
_INT, _LONG, _FLOAT, _DOUBLE, _BOOLEAN = 10, 11, 12, 13, 14
_BITS = {DataType.INT8: 8, DataType.INT16: 16, DataType.INT32: 32, DataType.INT64: 64}
_SEVEN_BITS = 0x7F
_VARINT_BITS_MAX = 70


def write_payload(metrics: Sequence[Metric], *, at_ms: int, seq: int | None) -> bytes:
    """Write a payload; without a `seq` it is a death."""
    parts = [_number(_TIMESTAMP, at_ms)]
    for metric in metrics:
        body = _metric(metric)
        parts += [_key(_METRICS, _BYTES), _varint(len(body)), body]
    if seq is not None:
        parts.append(_number(_SEQ, seq))
    return b"".join(parts)


def is_true(payload: bytes, name: str) -> bool:
    """Tell whether a command sets a metric of this name to true.

    Raises
    ------
    SimulatorError
        If the payload is no protobuf message.
    """
    wanted = name.encode()
    for field, content in _fields(payload):
        if field == _METRICS and isinstance(content, bytes):
            found = dict(_fields(content))
            if found.get(_NAME) == wanted and found.get(_BOOLEAN) == 1:
                return True
    return False


def _metric(metric: Metric) -> bytes:
    parts = []
    if metric.name:
        name = metric.name.encode()
        parts += [_key(_NAME, _BYTES), _varint(len(name)), name]
    if metric.alias is not None:
        parts.append(_number(_ALIAS, metric.alias))
    if metric.at_ms is not None:
        parts.append(_number(_METRIC_TIMESTAMP, metric.at_ms))
    if metric.tells_type:
        parts.append(_number(_DATATYPE, metric.datatype))
    if metric.is_historical:
        parts.append(_number(_IS_HISTORICAL, 1))
    if metric.value is None:
        parts.append(_number(_IS_NULL, 1))
    else:
        parts.append(_value(metric.datatype, metric.value))
    return b"".join(parts)


def _value(datatype: DataType, value: Value) -> bytes:
    match datatype:
        case DataType.DOUBLE:
            return _key(_DOUBLE, _FIXED64) + struct.pack("<d", value)
        case DataType.FLOAT:
            return _key(_FLOAT, _FIXED32) + struct.pack("<f", value)
        case DataType.BOOLEAN:
            return _number(_BOOLEAN, int(bool(value)))
        case _:  # two's complement, of the type's own width
            bits = _BITS[datatype]
            field = _LONG if datatype is DataType.INT64 else _INT
            return _number(field, round(value) & ((1 << bits) - 1))


def _number(field: int, value: int) -> bytes:
    return _key(field, _VARINT) + _varint(value)


def _key(field: int, wire: int) -> bytes:
    return _varint(field << 3 | wire)


def _varint(value: int) -> bytes:
    if value <= _SEVEN_BITS:
        return bytes((value,))
    out = bytearray()
    while value > _SEVEN_BITS:
        out.append(value & _SEVEN_BITS | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Take a message apart into field numbers and their contents."""
    place = 0
    while place < len(message):
        key, place = _read_varint(message, place)
        match key & 7:
            case 0:
                content, place = _read_varint(message, place)
                yield key >> 3, content
                continue
            case 1:
                size = 8
            case 2:
                size, place = _read_varint(message, place)
            case 5:
                size = 4
            case _:
                raise _unreadable()
        if place + size > len(message):
            raise _unreadable()
        yield key >> 3, message[place : place + size]
        place += size


def _read_varint(message: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, _VARINT_BITS_MAX, 7):
        if place >= len(message):
            raise _unreadable()
        byte = message[place]
        place += 1
        value |= (byte & _SEVEN_BITS) << shift
        if byte <= _SEVEN_BITS:
            return value, place
    raise _unreadable()


def _unreadable() -> SimulatorError:
    return SimulatorError("a command is no Sparkplug B payload")

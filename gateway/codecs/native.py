"""Reads and writes Forecare's own JSON: the long form and the short ones. Pure.

Decoding is typed, so depth, types and number syntax (NaN, Infinity, 1e400) are settled by the
decoder and nothing of an unknown shape is built.
"""

import re
from typing import Annotated

import msgspec

from gateway.codecs.records import CodecError, Telemetry, Values

_TS_MAX = 2**53
_COUNTER_MAX = 2**62
Timestamp = Annotated[int, msgspec.Meta(ge=-_TS_MAX, le=_TS_MAX)]
Counter = Annotated[int, msgspec.Meta(ge=0, le=_COUNTER_MAX)]


class _Object(msgspec.Struct, gc=False):
    samples: list[tuple[Timestamp, Values]] | msgspec.UnsetType = msgspec.UNSET
    boot: Counter | msgspec.UnsetType = msgspec.UNSET
    seq: Counter | msgspec.UnsetType = msgspec.UNSET
    low: Counter | msgspec.UnsetType = msgspec.UNSET
    ts: Timestamp | msgspec.UnsetType = msgspec.UNSET
    values: Values | msgspec.UnsetType = msgspec.UNSET


class _Point(msgspec.Struct, gc=False):
    values: Values
    ts: Timestamp | msgspec.UnsetType = msgspec.UNSET


class _Numbers(msgspec.Struct):
    boot: Counter
    seq: Counter
    low: Counter = 0


_object = msgspec.json.Decoder(_Object)
_points = msgspec.json.Decoder(list[_Point])
_bare = msgspec.json.Decoder(Values)
_numbers = msgspec.json.Decoder(_Numbers)
_HEAD = re.compile(rb'\s*\{\s*"boot"\s*:\s*(\d{1,18})\s*,\s*"seq"\s*:\s*(\d{1,18})\s*[,}]')
_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError)


def decode(payload: bytes, *, arrived_ms: int) -> Telemetry:
    """Read a payload of any form.

    Parameters
    ----------
    payload : bytes
    arrived_ms : int
        Time of arrival, milliseconds since 1970, for the forms that carry none.

    Raises
    ------
    CodecError
        If it is no telemetry. Nothing else is ever raised, whatever the bytes.
    """
    try:
        if payload[:1] == b"[" or payload.lstrip()[:1] == b"[":
            return _from_points(payload, arrived_ms)
        return _from_object(payload, arrived_ms)
    except _ERRORS as error:
        raise CodecError(str(error)[:300]) from error


def encode(message: Telemetry) -> bytes:
    """Write the long form."""
    if message.boot is None:
        return msgspec.json.encode({"samples": message.samples})
    numbers = {"boot": message.boot, "seq": message.seq, "low": message.low}
    return msgspec.json.encode(numbers | {"samples": message.samples})


def salvage_numbers(payload: bytes) -> tuple[int, int, int] | None:
    """Return boot, seq and low of a message that was refused, if they can still be read.

    A refused message counts as stored; without its number a device would send it for ever.
    """
    try:
        found = _numbers.decode(payload)
    except _ERRORS:
        match = _HEAD.match(payload)
        return (int(match[1]), int(match[2]), 0) if match else None
    return found.boot, found.seq, found.low


def _from_object(payload: bytes, arrived_ms: int) -> Telemetry:
    try:
        found = _object.decode(payload)
    except msgspec.ValidationError as error:
        return _from_bare(payload, arrived_ms, error)
    if found.samples is not msgspec.UNSET:
        keys = _object_keys(found)
        for _, values in found.samples:
            keys += len(values)
        _check_keys(payload, keys)
        if found.boot is msgspec.UNSET and found.seq is msgspec.UNSET:
            return Telemetry(found.samples)
        if found.boot is msgspec.UNSET or found.seq is msgspec.UNSET:
            raise CodecError("boot and seq stand together or not at all")
        if found.ts is not msgspec.UNSET or found.values is not msgspec.UNSET:
            raise CodecError("samples and ts/values do not go together")
        low = 0 if found.low is msgspec.UNSET else found.low
        if low > found.seq:
            raise CodecError(f"low {low} is beyond seq {found.seq}")
        return Telemetry(found.samples, found.boot, found.seq, low)
    if found.values is not msgspec.UNSET:
        _check_keys(payload, _object_keys(found) + len(found.values))
        ts = arrived_ms if found.ts is msgspec.UNSET else found.ts
        return Telemetry([(ts, found.values)])
    return _from_bare(payload, arrived_ms, None)


def _from_points(payload: bytes, arrived_ms: int) -> Telemetry:
    points = _points.decode(payload)
    keys = 0
    samples: list[tuple[int, Values]] = []
    for point in points:
        keys += 1 + (point.ts is not msgspec.UNSET) + len(point.values)
        ts = arrived_ms if point.ts is msgspec.UNSET else point.ts
        samples.append((ts, point.values))
    _check_keys(payload, keys)
    return Telemetry(samples)


def _from_bare(payload: bytes, arrived_ms: int, cause: Exception | None) -> Telemetry:
    try:
        values = _bare.decode(payload)
    except msgspec.ValidationError as error:
        raise CodecError(str(cause or error)[:300]) from error
    _check_keys(payload, len(values))
    return Telemetry([(arrived_ms, values)])


def _object_keys(found: _Object) -> int:
    unset = msgspec.UNSET
    return (
        (found.samples is not unset)
        + (found.boot is not unset)
        + (found.seq is not unset)
        + (found.low is not unset)
        + (found.ts is not unset)
        + (found.values is not unset)
    )


def _check_keys(payload: bytes, keys: int) -> None:
    """Refuse keys that stand twice or that nobody knows.

    No accepted form has a text besides its keys, so two quotation marks a key is all there may be;
    of two equal keys the decoder keeps one.
    """
    if payload.count(b'"') != 2 * keys:
        raise CodecError("a key stands twice, is unknown, or is written with an escape")

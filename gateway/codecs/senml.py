"""Reads SenML (RFC 8428), as JSON and as CBOR. Pure.

Only flat records are built: a record of numbers, texts, bytes and booleans. Nesting, tags and
declared lengths beyond that end the reading before anything is allocated for them.
"""

import re
from collections.abc import Sequence
from io import BytesIO
from typing import Any, NoReturn

import cbor2
import msgspec

from gateway.codecs.records import CodecError, Telemetry
from gateway.codecs.senml_pack import Record, resolve

RECORDS_MAX = 5000
"""A pack of 65,536 bytes with a name and a value in each record has fewer."""
LABELS = {
    -1: "bver",
    -2: "bn",
    -3: "bt",
    -4: "bu",
    -5: "bv",
    -6: "bs",
    0: "n",
    1: "u",
    2: "v",
    3: "vs",
    4: "vb",
    5: "s",
    6: "t",
    7: "ut",
    8: "vd",
}
"""RFC 8428, table 4: the integers that stand for the labels in CBOR."""

_KNOWN_TAGS = (0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100)
_LATER_TAGS = (256, 258, 260, 261, 1004, 43000, 55799)
_JSON = re.compile(rb"\s*\[\s*(\{|\])")
_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_CBOR_ARRAY = range(0x80, 0xA0)

_records = msgspec.json.Decoder(list[dict[str, float | bool | str]])


class SenmlJson:
    """application/senml+json."""

    name = "SenML JSON"

    def takes(self, payload: bytes) -> bool:
        return _JSON.match(payload) is not None

    def decode(self, payload: bytes, *, arrived_ms: int) -> Telemetry:
        try:
            records = _records.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError) as error:
            raise CodecError(f"no SenML: {str(error)[:300]}") from error
        _check_count(records)
        texts = sum(len(r) + sum(isinstance(v, str) for v in r.values()) for r in records)
        if _ESCAPE.sub(b"", payload).count(b'"') != 2 * texts:
            raise CodecError("a label stands twice in a record")
        return resolve(records, arrived_ms=arrived_ms)


class SenmlCbor:
    """application/senml+cbor."""

    name = "SenML CBOR"

    def takes(self, payload: bytes) -> bool:
        return bool(payload) and payload[0] in _CBOR_ARRAY

    def decode(self, payload: bytes, *, arrived_ms: int) -> Telemetry:
        records = _read_cbor(payload)
        if not isinstance(records, list):
            raise CodecError("no SenML: not an array of records")
        _check_count(records)
        return resolve([_named(record) for record in records], arrived_ms=arrived_ms)


def _read_cbor(payload: bytes) -> Any:
    stream = BytesIO(payload)
    # An array of maps is all there is: with a depth of 2, nothing but a plain value can be a key,
    # and nobody can make a dictionary slow with keys of one hash.
    decoder = cbor2.CBORDecoder(
        stream,
        max_depth=2,
        allow_duplicate_keys=False,
        semantic_decoders=dict.fromkeys((*_KNOWN_TAGS, *_LATER_TAGS), _refuse_tag),
        tag_hook=_refuse_tag,
    )
    try:
        found = decoder.decode()
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise CodecError(f"no SenML: {str(error)[:300]}") from error
    if stream.read(1):
        raise CodecError("no SenML: something follows after the array")
    return found


def _refuse_tag(*_: object) -> NoReturn:
    raise ValueError("a CBOR tag; numbers are written as integers or floats")


def _check_count(records: Sequence[object]) -> None:
    if len(records) > RECORDS_MAX:
        raise CodecError(f"{len(records)} SenML records, more than {RECORDS_MAX}")


def _named(record: object) -> Record:
    """Give the integer labels of CBOR the names of JSON."""
    if not isinstance(record, dict):
        raise CodecError("no SenML: a record is a map")
    named: Record = {}
    for label, value in record.items():
        name = label
        if isinstance(label, int) and not isinstance(label, bool):
            name = LABELS.get(label, str(label))
        if not isinstance(name, str) or name in named:
            raise CodecError(f"no SenML: {str(label)[:60]!r} is no label, or stands twice")
        named[name] = value
    return named

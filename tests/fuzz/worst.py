"""The worst payloads that fit into a packet: each aims at the time or the memory of a codec."""

import json
from collections.abc import Iterator

PACKET_MAX = 70_000
"""What the broker lets through, bytes."""


def worst_payloads() -> dict[str, bytes]:
    """Return the corpus, by name; each as long as the broker lets through, where length does harm."""
    return {
        name: payload[:PACKET_MAX]
        for name, payload in (*_json(), *_senml(), *_cbor(), *_sparkplug())
    }


def _filled(pattern: bytes, head: bytes = b"", tail: bytes = b"") -> bytes:
    """Repeat a pattern as often as it fits into a payload that ingest takes at all."""
    count = (65_536 - len(head) - len(tail)) // len(pattern)
    return head + pattern * count + tail


def _json() -> Iterator[tuple[str, bytes]]:
    keys = ",".join(f'"k{i}":1' for i in range(6000))
    yield "arrays in arrays", b"[" * PACKET_MAX
    yield "arrays in arrays, closed", b"[" * 32_000 + b"]" * 32_000
    yield "objects in objects", b'{"a":' * 13_000
    yield "objects in objects, closed", b'{"a":' * 10_000 + b"1" + b"}" * 10_000
    yield "nested below an unknown key", b'{"x":' + b"[" * 30_000 + b"]" * 30_000 + b"}"
    yield "many keys", b"{" + keys.encode() + b"}"
    yield "many keys in a sample", b'{"samples":[[1,{' + keys.encode() + b"}]]}"
    yield "one key again and again", _filled(b'"a":1,', b"{", b'"a":1}')
    yield "many samples", _filled(b"[1,{}],", b'{"samples":[', b"[1,{}]]}")
    yield "many empty points", _filled(b'{"values":{}},', b"[", b'{"values":{}}]')
    yield "a huge number", b'{"a":' + b"9" * 65_000 + b"}"
    yield "a huge exponent", b'{"a":1e' + b"9" * 65_000 + b"}"
    yield "a long fraction", b'{"a":0.' + b"1" * 65_000 + b"}"
    yield "many floats to round", _filled(b"[1,{}],", b"[", b"1.7976931348623157e308]")
    yield "not a number", b'{"a":NaN,"b":Infinity}'
    yield "a long text", b'{"a":"' + b"x" * 65_000 + b'"}'
    yield "escapes", b'{"' + b"\\u0000" * 10_000 + b'":1}'
    yield "half surrogates", b'{"' + b"\\ud800" * 10_000 + b'":1}'
    yield "broken UTF-8", b'{"' + b"\xff" * 65_000 + b'":1}'
    yield "white space", b" " * 65_000 + b"["
    yield "white space and an object", b"\n" * 65_000 + b"{}"
    yield "a boot without an end", b'{"boot":' + b" " * 65_000
    yield "zeros", bytes(PACKET_MAX)
    yield "nothing", b""


def _senml() -> Iterator[tuple[str, bytes]]:
    yield "SenML: many empty records", _filled(b"{},", b"[", b"{}]")
    yield "SenML: many base times", _filled(b'{"bt":1},', b"[", b"{}]")
    yield "SenML: many names", _pack({"n": f"m{i}", "v": 1} for i in range(10_000))
    yield "SenML: many times", _pack({"n": "a", "t": i, "v": 1} for i in range(10_000))
    yield "SenML: many units", _pack({"n": f"m{i}", "u": f"u{i}", "v": i} for i in range(10_000))
    yield "SenML: a long name", b'[{"bn":"' + b"a:" * 32_000 + b'","n":"a","v":1}]'
    yield (
        "SenML: a long name, again and again",
        _filled(b'{"v":1},', b'[{"bn":"' + b"a:" * 16_000 + b'","n":"a","v":1},', b"{}]"),
    )
    yield "SenML: many unknown labels", _pack([{f"x{i}": 1 for i in range(6000)}])
    yield "SenML: escapes", b'[{"n":"' + b'\\"' * 30_000 + b'","v":1}]'
    yield "SenML: backslashes", b'[{"n":"' + b"\\\\" * 30_000 + b'","v":1}]'
    yield "SenML: nested", b'[{"n":' + b"[" * 60_000


def _pack(records: object) -> bytes:
    pieces: list[str] = []
    size = 2
    for record in records:  # type: ignore[attr-defined]
        piece = json.dumps(record, separators=(",", ":"))
        size += len(piece) + 1
        if size > 65_536:
            break
        pieces.append(piece)
    return f"[{','.join(pieces)}]".encode()


def _cbor() -> Iterator[tuple[str, bytes]]:
    yield "CBOR: arrays in arrays", b"\x81" * 65_000
    yield "CBOR: open arrays in arrays", b"\x9f" * 65_000
    yield "CBOR: maps in maps", b"\x81" + b"\xa1\x00" * 32_000
    yield "CBOR: tags on tags", b"\x81" + b"\xc6" * 65_000
    yield "CBOR: a tag of its own on tags", b"\x81" + b"\xd9\xd9\xf7" * 21_000
    yield "CBOR: a big number", b"\x81\xa1\x02\xc2\x59\xff\x00" + b"\xff" * 65_000
    yield (
        "CBOR: a decimal of a big number",
        b"\x81\xa1\x02\xc4\x82\x1a\x7f\xff\xff\xff\xc2\x59\xfe\x00" + (b"\xff" * 65_024),
    )
    yield "CBOR: a regular expression", b"\x81\xa1\x02\xd8\x23\x79\xfe\x00" + b"(a+)+" * 13_000
    yield "CBOR: shared references", b"\x81\xd8\x1c\x81\xd8\x1d\x00" * 9000
    yield "CBOR: an array of 2**64 claimed", b"\x9b" + b"\xff" * 8
    yield "CBOR: an array of 2**31 claimed", b"\x9a\x7f\xff\xff\xff\xa0"
    yield "CBOR: a map of 2**31 claimed", b"\x81\xba\x7f\xff\xff\xff\x00\x01"
    yield "CBOR: a text of 2**62 claimed", b"\x81\xa1\x00\x7b\x3f" + b"\xff" * 7
    yield "CBOR: bytes of 2 GiB claimed", b"\x81\xa1\x08\x5a\x7f\xff\xff\xff"
    yield "CBOR: many empty records", b"\x99\xff\x00" + b"\xa0" * 0xFF00
    yield "CBOR: many empty records, open", b"\x9f" + b"\xa0" * 65_000 + b"\xff"
    yield "CBOR: a text of many pieces", b"\x81\xa1\x00\x7f" + b"\x61a" * 32_000 + b"\xff"
    yield (
        "CBOR: many labels",
        b"\x81\xb9\x3f\x00"
        + b"".join(b"\x19" + i.to_bytes(2, "big") + b"\x01" for i in range(0x3F00)),
    )
    yield (
        "CBOR: labels of one hash",
        b"\x81\xb9\x1a\x00"
        + b"".join(
            b"\x1b" + (((i << 32) * 0x1000001) % 2**64).to_bytes(8, "big") + b"\x01"
            for i in range(0x1A00)
        ),
    )
    yield "CBOR: many small records", b"\x99\x13\x88" + b"\xa2\x00\x61a\x02\x01" * 5000
    yield (
        "CBOR: many small records at many times",
        b"\x99\x13\x88"
        + b"".join(b"\xa3\x00\x61a\x02\x01\x06\x19" + i.to_bytes(2, "big") for i in range(5000)),
    )
    yield "CBOR: simple values as labels", b"\x81\xb8\x14" + bytes(range(0xE0, 0xF4)) * 100


def _sparkplug() -> Iterator[tuple[str, bytes]]:
    yield "protobuf: many empty metrics", b"\x12\x00" * 32_000
    yield "protobuf: many small metrics", _filled(b"\x12\x04\x10\x01\x50\x01")
    yield "protobuf: the most metrics there may be", b"\x12\x04\x10\x01\x50\x01" * 4000
    yield (
        "protobuf: the most metrics with names",
        b"".join(
            b"\x12\x0d\x0a\x05" + b"m%04d" % i + b"\x20\x09\x65" + bytes(3) for i in range(4000)
        ),
    )
    yield "protobuf: groups in groups", b"\x0b" * 65_000
    yield "protobuf: metrics in templates", b"\x12\x7f\x92\x01\x7c" * 13_000
    yield "protobuf: a length of 2 GiB claimed", b"\x12\xff\xff\xff\xff\x07"
    yield "protobuf: a number without an end", b"\x08" + b"\xff" * 65_000
    yield "protobuf: wrong wire types", b"\x0a\x01a\x15\x00\x00\x00\x00" * 8000
    yield "protobuf: unknown fields", b"\xf8\x7f\x01" * 21_000
    yield "protobuf: a long name", b"\x12\xf0\xff\x03\x0a\xec\xff\x03" + b"n" * 65_516
    yield "protobuf: a name that is not UTF-8", b"\x12\x04\x0a\x02\xff\xff"

"""Every message of every device: follows from the seed and its numbers alone. Pure.

So a spool needs to keep numbers only, and a run can be done again. A message is good, poison
(numbered, never storable), or of a wrong clock. Some are escorted by poison that has no number.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b

from bench.chaos.plan import TRAITS, Fault

_PLACES_MAX = 4
_STEP_MS = 250
_BOOT_MS = 86_400_000
_SEQ_BITS, _PLACE_BITS = 26, 2
_PARTS = 10_000
_CLOCK_BURST = TRAITS[Fault.WRONG_CLOCK].burst
_ESCORTS_SHARE = 0.2
"""Part of the poison that comes as an escort."""


class Kind(Enum):
    GOOD = "good"
    POISON = "poison"
    WRONG_CLOCK = "wrong clock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    number: int
    measured_ms: int
    level: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    kind: Kind
    payload: bytes
    samples: tuple[Sample, ...] = ()
    """What becomes of it in the table; of a wrong clock the times are the device's own."""
    escort: bytes | None = None
    """A payload without a number that is sent just before."""
    is_doubled: bool = False
    is_ahead: bool = False
    """Sent before the message that precedes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What all payloads follow from."""

    seed: int
    start_ms: int
    """The oldest time stamp; the run's own start counts from here."""
    shares: Mapping[str, float]

    def message(self, device: int, boot: int, seq: int) -> Message:
        """Compose a message of a device, given by its place in the list."""
        drawn = _draw(self.seed, device, boot, seq)
        lot, choice, more = drawn % _PARTS, (drawn >> 16) % 4093, drawn >> 28
        at_ms = self.start_ms + boot * _BOOT_MS + seq * _STEP_MS * _PLACES_MAX
        head = b'{"boot":%d,"seq":%d,' % (boot, seq)
        kind, escort = self._kind(lot)
        # A clock is wrong for some messages on end: they may arrive together.
        clock = _draw(self.seed, device, boot, (1 << 31) + seq // _CLOCK_BURST)
        if kind is Kind.GOOD and self._is(Fault.WRONG_CLOCK, clock):
            kind = Kind.WRONG_CLOCK
        if kind is Kind.POISON:
            make = _POISONS[choice % len(_POISONS)]
            return Message(kind=kind, payload=make(head, at_ms), escort=None)
        marks = {
            "escort": _ESCORTS[choice % len(_ESCORTS)](drawn) if escort else None,
            "is_doubled": self._is(Fault.DUPLICATES, more),
            "is_ahead": self._is(Fault.SHUFFLED, more // _PARTS),
        }
        if kind is Kind.WRONG_CLOCK:
            shift = _CLOCKS[(clock >> 16) % len(_CLOCKS)]
            samples: tuple[Sample, ...] = (_sample(boot, seq, 0, shift(at_ms), drawn),)
        else:
            samples = tuple(
                _sample(boot, seq, place, at_ms + place * _STEP_MS, drawn)
                for place in range(1 + choice % (_PLACES_MAX - 1))
            )
        return Message(kind=kind, payload=_telemetry(head, samples), samples=samples, **marks)  # type: ignore[arg-type]

    def _kind(self, lot: int) -> tuple[Kind, bool]:
        poison = round(self.shares.get(Fault.POISON, 0.0) * _PARTS)
        numbered = poison - round(poison * _ESCORTS_SHARE)
        if lot < numbered:
            return Kind.POISON, False
        return Kind.GOOD, lot < poison

    def _is(self, fault: Fault, drawn: int) -> bool:
        return drawn % _PARTS < self.shares.get(fault, 0.0) * _PARTS


def numbers_of(number: int) -> tuple[int, int]:
    """Return boot and seq of the message that holds a sample."""
    return number >> (_SEQ_BITS + _PLACE_BITS), (number >> _PLACE_BITS) & ((1 << _SEQ_BITS) - 1)


def _draw(seed: int, device: int, boot: int, seq: int) -> int:
    place = struct.pack("<qIII", seed, device, boot, seq)
    return int.from_bytes(blake2b(place, digest_size=8).digest(), "little")


def _sample(boot: int, seq: int, place: int, at_ms: int, drawn: int) -> Sample:
    number = ((boot << _SEQ_BITS | seq) << _PLACE_BITS) | place
    return Sample(number=number, measured_ms=at_ms, level=(drawn >> 32) % 1000)


def _telemetry(head: bytes, samples: tuple[Sample, ...]) -> bytes:
    texts = (b'[%d,{"number":%d,"level":%d}]' % (s.measured_ms, s.number, s.level) for s in samples)
    return head + b'"samples":[' + b",".join(texts) + b"]}"


_Poison = Callable[[bytes, int], bytes]


def _with_value(value: bytes) -> _Poison:
    return lambda head, at_ms: head + b'"samples":[[%d,{"level":%s}]]}' % (at_ms, value)


def _with_time(text: bytes) -> _Poison:
    return lambda head, _: head + b'"samples":[[%s,{"level":1}]]}' % text


def _with_metric(name: bytes) -> _Poison:
    return lambda head, at_ms: head + b'"samples":[[%d,{"%s":1}]]}' % (at_ms, name)


def _with_rest(rest: bytes) -> _Poison:
    return lambda head, _: head + rest


def _crowd(head: bytes, at_ms: int) -> bytes:
    return head + b'"samples":[%s]}' % b",".join([b'[%d,{"level":1}]' % at_ms] * 1001)


_POISONS: tuple[_Poison, ...] = (
    _with_value(b"NaN"),
    _with_value(b"-Infinity"),
    _with_value(b"1e400"),
    _with_value(b"9" * 5000),
    _with_value(b"1e9"),
    _with_value(b'"12"'),
    _with_value(b"null"),
    _with_value(b"[1]"),
    _with_value(b'1,"level":2'),
    _with_value(b'1,"steam":2'),
    _with_time(b"1.5"),
    _with_time(b'"2026-01-01T00:00:00Z"'),
    _with_time(b"1" + b"0" * 30),
    _with_metric(b'x\\"; drop table telemetry.chaos; --'),
    _with_metric(b"le\\u0000vel"),
    _with_metric(b"\xff\xfe"),
    _with_rest(b'"samples":' + b"[" * 20_000),
    _with_rest(b'"samples":[[1,' + b'{"a":' * 5_000),
    _with_rest(b'"samples":[[17'),
    _with_rest(b'"samples":[]}'),
    _with_rest(b'"samples":[[1764000000000,{}]]}'),
    _with_rest(b'"samples":[{"t":1}]}'),
    _with_rest(b'"samples":[[1764000000000,{"level":1}]],"evil":true}'),
    _with_rest(b'"samples":[%s]}' % (b" " * 66_000)),
    _crowd,
)
"""What nobody may store; each begins with its numbers, so that it can be counted as dealt with."""

_ESCORTS: tuple[Callable[[int], bytes], ...] = (
    lambda drawn: b"\xff" + blake2b(drawn.to_bytes(8, "little")).digest(),
    lambda drawn: f'{{"level": {drawn}}}'.encode("utf-16"),
    lambda drawn: b"level is %d" % drawn,
    lambda drawn: b"\x1f\x8b\x08\x00" + drawn.to_bytes(8, "little"),
    lambda drawn: b"[" * 50_000 + b"%d" % drawn,
    lambda drawn: b'{"boot":-1,"seq":-%d,"samples":[[1764000000000,{"level":1}]]}' % drawn,
    lambda drawn: b'{"boot":%d,"samples":[[1764000000000,{"level":1}]]}' % (drawn >> 8),
    lambda drawn: b'{"level":true,"steam_%d":1}' % drawn,
)
"""What has no number that could be read: it is never confirmed, and found among the dead letters."""

_CLOCKS: tuple[Callable[[int], int], ...] = (
    lambda _: 0,
    lambda _: -1,
    lambda at_ms: at_ms // 1000,
    lambda at_ms: at_ms * 1000,
    lambda at_ms: at_ms + 365 * _BOOT_MS,
    lambda _: 253_402_300_799_000,
    lambda at_ms: at_ms - 500 * _BOOT_MS,
    lambda at_ms: at_ms - 300 * _BOOT_MS,
)
"""What a device believes the time is."""

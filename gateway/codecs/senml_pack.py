"""Resolves the records of a SenML pack into samples (RFC 8428, sections 4.5 and 4.6). Pure."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.codecs.records import CodecError, Telemetry, Values
from gateway.codecs.units import unit_of_sum

Record = dict[str, Any]

VERSION = 10
"""Of RFC 8428."""
_SECONDARY_UNITS = 1 << 4
"""RFC 9100: the versions above 10 are sets of features; this one is known (RFC 8798)."""
ABSOLUTE_FROM_S = 2**28
"""Smaller times are relative to now."""
_TS_MAX = 2**53

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9:./_-]*")
_SEPARATOR = re.compile(r"[:/.]")
_NAME_MAX = 300
_TEXTS = frozenset(("bn", "bu", "n", "u"))
_NUMBERS = frozenset(("bt", "bv", "bs", "bver", "v", "s", "t", "ut"))
_OF_A_MEASUREMENT = frozenset(("n", "u", "v", "vs", "vb", "vd", "s", "t", "ut"))


def resolve(records: Sequence[Record], *, arrived_ms: int) -> Telemetry:
    """Turn the records of a pack into samples, one for each time, in the order of the pack.

    Parameters
    ----------
    records : sequence of dict
        By label as in JSON, values as they were read.
    arrived_ms : int
        What "now" means for times that are relative to it, milliseconds since 1970.

    Raises
    ------
    CodecError
        If a record breaks the specification, or says what a metric cannot hold.
    """
    pack = _Pack(arrived_ms)
    for place, record in enumerate(records):
        try:
            pack.take(record)
        except CodecError as error:
            raise CodecError(f"SenML record {place}: {error}") from None
    return Telemetry(list(pack.samples.items()), units=pack.units)


class _Pack:
    """The base values that hold, and what the records gave so far."""

    def __init__(self, arrived_ms: int) -> None:
        self._arrived_ms = arrived_ms
        self._base_name, self._base_unit = "", ""
        self._base_time = self._base_value = 0.0
        self._base_sum: float | None = None
        self._has_base_value = False
        self._version: float | None = None
        self._prefix: str | None = None
        self.samples: dict[int, Values] = {}
        self.units: dict[str, str] = {}

    def take(self, record: Record) -> None:
        _check_types(record)
        self._take_bases(record)
        if not record.keys() & _OF_A_MEASUREMENT:
            return  # bases alone, for the records that follow
        name = self._metric(record.get("n", ""))
        at_ms = self._time_ms(record.get("t", 0.0))
        unit = record.get("u", self._base_unit)
        value, total = self._value(record), self._sum(record)
        if value is None and total is None:
            raise CodecError(f"{name} has neither a value nor a sum")
        if value is not None:
            self._put(at_ms, name, value, unit=unit)
        if total is not None:
            self._put(at_ms, f"{name}_sum", total, unit=unit_of_sum(unit))

    def _take_bases(self, record: Record) -> None:
        if "bver" in record:
            self._check_version(record["bver"])
        self._base_name = record.get("bn", self._base_name)
        self._base_unit = record.get("bu", self._base_unit)
        self._base_time = record.get("bt", self._base_time)
        self._base_sum = record.get("bs", self._base_sum)
        if "bv" in record:
            self._base_value, self._has_base_value = record["bv"], True

    def _check_version(self, version: float) -> None:
        if self._version not in (None, version):
            raise CodecError(f"bver is {version:g} and was {self._version:g} before")
        if not (0 < version <= VERSION or version == VERSION + _SECONDARY_UNITS):
            raise CodecError(
                f"bver {version:g} is not known; {VERSION} and {VERSION + _SECONDARY_UNITS} are"
            )
        self._version = version

    def _metric(self, name: str) -> str:
        """Return what stands after the last separator; what stands before names the device.

        A device speaks for itself alone, so a second prefix means values of something else.
        """
        whole = self._base_name + name
        if len(whole) > _NAME_MAX or not _NAME.fullmatch(whole):
            raise CodecError(f"{whole[:60]!r} is no SenML name")
        cut = max((found.end() for found in _SEPARATOR.finditer(whole)), default=0)
        # RFC 9039 joins a device's URN and the name with a "_", which a metric's name may have too.
        if name and self._base_name.endswith(("_", "-")):
            cut = max(cut, len(self._base_name))
        prefix, metric = whole[:cut], whole[cut:]
        if not metric:
            raise CodecError(f"{whole!r} names no metric")
        if self._prefix not in (None, prefix):
            raise CodecError(f"values of two things, {self._prefix!r} and {prefix!r}")
        self._prefix = prefix
        return metric

    def _time_ms(self, time_s: float) -> int:
        at_s = self._base_time + time_s
        if at_s < ABSOLUTE_FROM_S:
            at_s += self._arrived_ms / 1000
        if not abs(at_s) < _TS_MAX / 1000:
            raise CodecError("t is no time")
        return round(at_s * 1000)

    def _value(self, record: Record) -> float | bool | None:
        given = [label for label in ("v", "vs", "vb", "vd") if label in record]
        if len(given) > 1:
            raise CodecError(f"{' and '.join(given)} do not go together")
        if not given:
            return self._base_value if self._has_base_value and "s" not in record else None
        if given[0] == "vb":
            return bool(record["vb"])
        if given[0] != "v":
            raise CodecError(f"{given[0]} is a text or bytes, and a metric is a number")
        return _finite(self._base_value + record["v"])

    def _sum(self, record: Record) -> float | None:
        if "s" not in record and self._base_sum is None:
            return None
        return _finite((self._base_sum or 0.0) + record.get("s", 0.0))

    def _put(self, at_ms: int, name: str, value: float | bool, *, unit: str) -> None:  # noqa: FBT001 - a reading
        values = self.samples.setdefault(at_ms, {})
        if name in values:
            raise CodecError(f"{name} has two values at one time")
        values[name] = value
        if self.units.setdefault(name, unit) != unit:
            raise CodecError(f"{name} comes in {self.units[name]!r} and in {unit!r}")


def _check_types(record: Mapping[str, Any]) -> None:
    for label, value in record.items():
        if label in _NUMBERS:
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise CodecError(f"{label} is no number")
            _finite(value)
        elif label in _TEXTS:
            if not isinstance(value, str):
                raise CodecError(f"{label} is no text")
        elif label == "vb":
            if not isinstance(value, bool):
                raise CodecError("vb is neither true nor false")
        elif label.endswith("_"):
            raise CodecError(f"{label[:60]} must be understood, and is not known here")


def _finite(number: float) -> float:
    try:
        found = float(number)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise CodecError("a number is not finite")
    return found

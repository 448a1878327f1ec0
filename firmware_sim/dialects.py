"""In what way a device writes its samples down: this platform's own JSON, SenML (RFC 8428) or Sparkplug B. Pure.

A SenML pack has no number of its own, so the platform cannot say `stored` for it: the broker's PUBACK
is all that such a device gets, and what empties its spool. What the broker loses after that is lost.
What a Sparkplug node sends depends on its session, so its spool holds rows that are written when they go.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cbor2
import orjson

from firmware_sim.errors import SimulatorError
from firmware_sim.payload import MESSAGE_BYTES_MAX, MESSAGE_SAMPLES_MAX, Body, compose, make_bodies

_RECORDS_MAX = 5000
_NODE_METRICS_MAX = 2000
"""Values in a Sparkplug message, of at most 28 bytes each with alias, time and mark."""
_VERSION = 10
_UNITS: dict[str, tuple[str, float]] = {"c": ("Cel", 1), "w": ("W", 1), "bar": ("Pa", 100_000)}
"""By the last word of a metric's name: unit of the SenML registry, and how many of it the metric's is."""
_LABELS = {"bver": -1, "bn": -2, "bt": -3, "n": 0, "u": 1, "v": 2}
"""RFC 8428, table 4."""

Row = Sequence[Any]
"""`[ms, {metric: value}]`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    name: str
    has_numbers: bool
    """The platform says `stored`; else the PUBACK confirms."""
    bodies: Callable[[str, Sequence[Row]], list[Body]]
    """Device name and rows to messages."""

    def message(self, body: bytes, *, boot: int, seq: int, low: int) -> bytes:
        """Return what goes over the line."""
        return compose(body, boot=boot, seq=seq, low=low) if self.has_numbers else body


def _packs(
    device: str, rows: Sequence[Row], write: Callable[[list[dict[str, Any]]], bytes]
) -> list[Body]:
    """Halve the rows until each pack is small enough to be sent."""
    if not rows:
        return []
    records = _records(device, rows)
    encoded = write(records)
    is_small = len(encoded) <= MESSAGE_BYTES_MAX and len(records) <= _RECORDS_MAX
    if is_small and len(rows) <= MESSAGE_SAMPLES_MAX:
        return [Body(samples=len(rows), encoded=encoded)]
    if len(rows) == 1:
        raise SimulatorError(
            f"one SenML sample takes {len(encoded)} bytes; a message may have {MESSAGE_BYTES_MAX}",
            hint="send fewer metrics a sample",
        )
    half = len(rows) // 2
    return [*_packs(device, rows[:half], write), *_packs(device, rows[half:], write)]


def _records(device: str, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Make one record a value; the first of each sample sets the absolute time for those behind it."""
    records: list[dict[str, Any]] = []
    for ms, values in rows:
        begin = len(records)
        for metric, value in values.items():
            unit, factor = _UNITS.get(metric.rpartition("_")[2], ("", 1))
            named = {"n": metric, "u": unit} if unit else {"n": metric}
            records.append({**named, "v": value if factor == 1 else round(value * factor, 6)})
        if len(records) > begin:
            records[begin]["bt"] = ms / 1000
    if records:
        records[0] |= {"bn": f"{device}/", "bver": _VERSION}
    return records


def _cbor(records: list[dict[str, Any]]) -> bytes:
    return cbor2.dumps([{_LABELS[k]: v for k, v in record.items()} for record in records])


def _rows_of_a_node(rows: Sequence[Row]) -> list[Body]:
    """Cut the rows into what one message of a Sparkplug node may hold."""
    if not rows:
        return []
    widest = max(len(values) for _, values in rows)
    if widest > _NODE_METRICS_MAX:
        raise SimulatorError(
            f"one sample has {widest} metrics; a Sparkplug message may have {_NODE_METRICS_MAX}",
            hint="send fewer metrics a sample",
        )
    each = min(_NODE_METRICS_MAX // max(1, widest), MESSAGE_SAMPLES_MAX)
    parts = (rows[begin : begin + each] for begin in range(0, len(rows), each))
    return [Body(samples=len(part), encoded=orjson.dumps(part)) for part in parts]


JSON = Dialect(name="json", has_numbers=True, bodies=lambda _device, rows: make_bodies(rows))
SENML_JSON = Dialect(
    name="senml",
    has_numbers=False,
    bodies=lambda device, rows: _packs(device, rows, orjson.dumps),
)
SENML_CBOR = Dialect(
    name="cbor", has_numbers=False, bodies=lambda device, rows: _packs(device, rows, _cbor)
)
SPARKPLUG = Dialect(
    name="sparkplug", has_numbers=False, bodies=lambda _device, rows: _rows_of_a_node(rows)
)
BEHIND = Dialect(
    name="behind", has_numbers=False, bodies=lambda _device, rows: _rows_of_a_node(rows)
)
"""Has no line of its own: the Sparkplug node before it in the fleet speaks for it."""
DIALECTS = {dialect.name: dialect for dialect in (JSON, SENML_JSON, SENML_CBOR, SPARKPLUG, BEHIND)}


def parse_dialects(text: str) -> list[str]:
    """Read the names of a list that is dealt out over the fleet; a name may stand in it twice."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = sorted(set(names) - set(DIALECTS))
    if unknown or not names:
        raise SimulatorError(
            f"no such way to speak: {', '.join(unknown) or repr(text)}",
            hint=f"choose from {', '.join(DIALECTS)}",
        )
    if BEHIND.name in names and SPARKPLUG.name not in names[: names.index(BEHIND.name)]:
        raise SimulatorError(
            "a device stands behind no node",
            hint=f"name a node before it: {SPARKPLUG.name},{BEHIND.name}",
        )
    return names


def dialect_of(place: int, names: Sequence[str]) -> Dialect:
    """Deal the names out, device by device."""
    return DIALECTS[names[place % len(names)]]


def node_of(place: int, names: Sequence[str]) -> int:
    """Return the place of the node that speaks for a device behind one: the last one before it."""
    before = reversed(range(place))
    return next(other for other in before if dialect_of(other, names) is SPARKPLUG)

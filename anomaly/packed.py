"""The states of many devices as one array of records of fixed width: what is stored, to the bit. Pure.

Devices that are scored against a baseline are packed, and those that follow themselves by several metrics; the few
that are learning, and those with a lone metric, stay single `DeviceState`s, stored as JSON.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import isnan
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from anomaly.features import Layout
from anomaly.records import FloatArray, IntArray
from anomaly.state import DeviceState, ModeState, SensorState
from anomaly.stream.record import from_records, record_shapes, to_records

NEVER = -(1 << 63)
"""An instant that is not."""
Records = NDArray[np.void]
_T = TypeVar("_T")

_DEVICE_TIMES = ("learn_from_us", "learn_until_us", "through_us", "windows_us", "forecast_us")
_DEVICE_OPTIONAL = ("serviced_us", "newest_us")
_ANEW_TIMES = ("anew_from_us", "anew_until_us")
_WATCHED = ("offsets", "smooth", "weight", "observed", "expected", "spread")
_MODE_VALUES = ("degradation", "trace", "score", "tolerated")
_MODE_TIMES = ("since_us", "reported_us", "tolerated_us", "serviced_us", "path_from_us")


class Rest(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What few devices have, and has no fixed width."""

    sensors: dict[str, SensorState] = msgspec.field(default_factory=dict)
    services: list[int] = msgspec.field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not self.sensors and not self.services


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """What a record's places stand for: a product's layout as it was when the record was written."""

    measured: tuple[str, ...]
    watched: tuple[str, ...]
    conditions: tuple[str, ...]
    modes: tuple[str, ...]
    follows: bool = False
    """Devices follow themselves: records hold what each has learned of itself."""

    @classmethod
    def of(cls, layout: Layout) -> "Names":
        return cls(
            measured=layout.measured,
            watched=layout.watched,
            conditions=layout.conditions,
            modes=layout.modes,
            follows=layout.follows,
        )

    @property
    def dtype(self) -> np.dtype[np.void]:
        """Fields of a record, little-endian and without gaps."""
        watched, modes = len(self.watched), len(self.modes)
        conditions = len(self.conditions)
        fields: list[tuple[str, str, tuple[int, ...]]] = [
            *((name, "<i8", ()) for name in (*_DEVICE_TIMES, "fault_code", *_DEVICE_OPTIONAL)),
            *((name, "<f8", (watched,)) for name in _WATCHED),
            ("unseen", "<i4", (watched,)),
            ("away_us", "<i8", (watched,)),
            ("excess", "<f8", (conditions,)),
            ("conditions", "<f8", (conditions,)),
            *((name, "<f8", (modes,)) for name in _MODE_VALUES),
            ("hits", "<i2", (modes,)),
            ("is_raised", "<i2", (modes,)),
            *((f"mode_{name}", "<i8", (modes,)) for name in _MODE_TIMES),
        ]
        if self.follows:
            fields += [(name, "<i8", (watched,)) for name in _ANEW_TIMES]
            fields += [(name, "<f8", shape) for name, shape in record_shapes(watched).items()]
        return np.dtype(fields)


@dataclass(frozen=True)
class PackedStates:
    """States of devices in the order in which they are scored together; changed in place."""

    names: Names
    records: Records
    rest: dict[int, Rest] = field(default_factory=dict)
    """Only of those that have any."""

    def __len__(self) -> int:
        return len(self.records)

    @property
    def through_us(self) -> IntArray:
        return np.asarray(self.records["through_us"])

    def get(self, place: int) -> DeviceState:
        """Return one device's state; changes of it are kept by `put`."""
        return unpacked(self.names, self.records[place], self.rest.get(place))

    def put(self, place: int, state: DeviceState) -> None:
        self.records[place], rest = packed(self.names, state)
        self.rest.pop(place, None)
        if rest is not None:
            self.rest[place] = rest

    def of(self, places: Sequence[int]) -> "PackedStates":
        """Return a copy of some."""
        rest = {i: self.rest[place] for i, place in enumerate(places) if place in self.rest}
        return replace(self, records=self.records[list(places)], rest=rest)


def packed_states(names: Names, states: Sequence[DeviceState]) -> PackedStates:
    made = PackedStates(names=names, records=np.zeros(len(states), dtype=names.dtype))
    for place, state in enumerate(states):
        made.put(place, state)
    return made


def packed(names: Names, state: DeviceState) -> tuple[np.void, Rest | None]:
    """Pack one state that is being scored; what its names lack is left out."""
    record = np.zeros(1, dtype=names.dtype)[0]
    for name in (*_DEVICE_TIMES, "fault_code"):
        record[name] = getattr(state, name)
    for name in _DEVICE_OPTIONAL:
        record[name] = _instant(getattr(state, name))
    for name in _WATCHED:
        record[name] = _floats(getattr(state, name), len(names.watched))
    record["unseen"] = state.unseen
    record["away_us"] = [_instant(at) for at in state.away_us]
    for name in ("excess", "conditions"):
        record[name] = _floats(getattr(state, name), len(names.conditions))
    if names.follows:
        assert state.detector is not None
        to_records(state.detector, record[None])
        for name in _ANEW_TIMES:
            instants = getattr(state, name) or [None] * len(names.watched)
            record[name] = [_instant(at) for at in instants]
    modes = [state.modes.get(name, ModeState()) for name in names.modes]
    for name in (*_MODE_VALUES, "hits", "is_raised"):
        record[name] = [getattr(mode, name) for mode in modes]
    for name in _MODE_TIMES:
        record[f"mode_{name}"] = [_instant(getattr(mode, name)) for mode in modes]
    rest = Rest(sensors=state.sensors, services=state.services)
    return record, None if rest.is_empty else rest


def unpacked(names: Names, record: np.void, rest: Rest | None) -> DeviceState:
    kept = rest or Rest()
    has_window = record["newest_us"] != NEVER and not np.isnan(record["spread"]).all()
    state = DeviceState(
        phase="scoring",
        fault_code=int(record["fault_code"]),
        offsets=record["offsets"].tolist(),
        smooth=_listed(record["smooth"]),
        weight=record["weight"].tolist(),
        unseen=record["unseen"].tolist(),
        away_us=[_at_or_none(at) for at in record["away_us"].tolist()],
        excess=record["excess"].tolist(),
        conditions=_listed(record["conditions"]) if has_window else [],
        sensors=dict(kept.sensors),
        services=list(kept.services),
        learn_from_us=int(record["learn_from_us"]),
        learn_until_us=int(record["learn_until_us"]),
        through_us=int(record["through_us"]),
        windows_us=int(record["windows_us"]),
        forecast_us=int(record["forecast_us"]),
    )
    for name in _DEVICE_OPTIONAL:
        setattr(state, name, _at_or_none(int(record[name])))
    if has_window:
        for name in ("observed", "expected", "spread"):
            setattr(state, name, _listed(record[name]))
    if names.follows:
        state.detector = from_records(np.array([record], dtype=names.dtype))
        for name in _ANEW_TIMES:
            instants = [_at_or_none(at) for at in record[name].tolist()]
            setattr(state, name, instants if any(at is not None for at in instants) else [])
    columns = {name: record[name].tolist() for name in (*_MODE_VALUES, "hits")}
    for place, mode in enumerate(names.modes):
        own = ModeState(is_raised=bool(record["is_raised"][place]))
        for name, column in columns.items():
            setattr(own, name, column[place])
        for name in _MODE_TIMES:
            setattr(own, name, _at_or_none(int(record[f"mode_{name}"][place])))
        state.modes[mode] = own
    return state


def renamed(old: Names, new: Names, state: DeviceState) -> DeviceState:
    """Lay a state out anew after its product's sheet changed: what is new begins, what is gone is gone."""
    for name in _WATCHED:
        blank = None if name in ("observed", "expected", "spread") else 0.0
        setattr(state, name, _moved(getattr(state, name), old.watched, new.watched, blank))
    state.unseen = _moved(state.unseen, old.watched, new.watched, 0)
    state.away_us = _moved(state.away_us, old.watched, new.watched, None)
    if state.detector is not None:
        _rearrange(old, new, state)
    state.excess = _moved(state.excess, old.conditions, new.conditions, 0.0)
    state.conditions = _moved(state.conditions, old.conditions, new.conditions, None)
    state.modes = {name: state.modes.get(name, ModeState()) for name in new.modes}
    return state


def _rearrange(old: Names, new: Names, state: DeviceState) -> None:
    """Let metrics that are new to a device that follows itself be learned from now on."""
    assert state.detector is not None
    known = {name: place for place, name in enumerate(old.watched)}
    places = [known.get(name) for name in new.watched]
    state.detector = state.detector.rearranged(places)
    since = state.through_us + 1
    until = since + state.learn_until_us - state.learn_from_us
    for name, instant in (("anew_from_us", since), ("anew_until_us", until)):
        moved = getattr(state, name) or [None] * len(old.watched)
        setattr(state, name, [instant if p is None else moved[p] for p in places])
    if not any(at is not None for at in state.anew_from_us):
        state.anew_from_us, state.anew_until_us = [], []


def _moved(values: list[_T], before: Sequence[str], now: Sequence[str], blank: _T) -> list[_T]:
    if not values:
        return values
    known = dict(zip(before, values, strict=True))
    return [known.get(name, blank) for name in now]


def _instant(at_us: int | None) -> int:
    return NEVER if at_us is None else at_us


def _at_or_none(at_us: int) -> int | None:
    return None if at_us == NEVER else at_us


def _floats(values: Sequence[float | None], number: int) -> FloatArray:
    if not values:
        return np.full(number, np.nan)
    return np.array(values, dtype=np.float64)


def _listed(values: FloatArray) -> list[float | None]:
    return [None if isnan(value) else value for value in values.tolist()]

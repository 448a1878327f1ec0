"""Takes stored streams once more through the scorer that serves live devices. Pure but for its source.

What comes out is what would have been said at the time: the scorer sees no sample, finding or
baseline earlier than it would have been known. Devices that share a baseline are scored side by side
(`anomaly.fleet_scorer`), as they are live, which gives for each of them what it gives for it alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from anomaly.backtest.tape import Paths, Tape
from anomaly.backtest.track import Stream, Track
from anomaly.baseline import Baseline, fit_baseline, learned_ranges
from anomaly.features import Layout, summarise
from anomaly.fleet_scorer import Path, Survey, conclude
from anomaly.learn.history import Catalog
from anomaly.packed import NEVER, Names, PackedStates, packed_states
from anomaly.records import FleetSamples, IntArray, Samples, side_by_side
from anomaly.scorer import advance, read_from_us
from anomaly.state import DeviceState, first_state
from anomaly.yardstick import Yardstick
from core.units import US

DEVICES_TOGETHER = 128
"""Devices that are replayed side by side: bounds the memory."""
SAMPLES_AT_ONCE = 600_000
"""Samples of all of them that are drawn from their source at once, about: bounds the memory."""
_PIECE = timedelta(days=1)
"""What is scored at once. In a short piece few devices have anything to tell; each piece has its price, so
few devices take longer ones."""
_PIECES_MAX = 60
"""The longest, in days."""
LEARNING_DEVICES_MAX = 60


def learn_baseline(layout: Layout, streams: Sequence[Stream]) -> Baseline | None:
    """Learn a product's baseline from the learning time of its devices; None where they follow themselves."""
    if layout.follows:
        return None
    firsts = sorted(stream.first_us for stream in streams)
    start = firsts[(len(firsts) - 1) // 2]
    until = start + layout.product.learning // timedelta(microseconds=1)
    able = [s for s in streams if s.first_us < until and s.until_us > start]
    number = min(len(able), LEARNING_DEVICES_MAX)
    chosen = [able[i * len(able) // number] for i in range(number)]
    samples = [stream.samples(start, until) for stream in chosen]
    ranges = learned_ranges(layout, samples)
    return fit_baseline(
        layout, [summarise(layout, s, ranges=ranges) for s in samples], ranges=ranges
    )


def replay_streams(
    catalog: Catalog,
    yard: Yardstick,
    streams: Sequence[Stream],
    *,
    tick: Callable[[float], None] | None = None,
) -> Iterator[Track]:
    """Score devices from their first samples to their last; their tracks come in the same order.

    `tick` is told now and then which share of all the work has been done since it was told before.
    """
    for start in range(0, len(streams), DEVICES_TOGETHER):
        group = streams[start : start + DEVICES_TOGETHER]
        share = len(group) / len(streams)

        def done(part: float, share: float = share) -> None:
            if tick is not None:
                tick(part * share)

        yield from _replay_group(catalog, yard, group, done)


def _replay_group(
    catalog: Catalog, yard: Yardstick, streams: Sequence[Stream], done: Callable[[float], None]
) -> list[Track]:
    tape = Tape(catalog, yard.layout, streams)
    if yard.baseline is None:
        for place, stream in enumerate(streams):
            _follow(yard, tape, place, stream)
            done(1 / len(streams))
        return tape.tracks()
    first, last = min(s.first_us for s in streams), max(s.until_us for s in streams)
    paths = Paths(
        every_us=yard.forecast_every_us,
        devices=len(streams),
        modes=len(yard.layout.modes),
        from_us=first,
        until_us=last,
    )
    before = first
    for at_us in _learn(yard, tape, paths, streams).advance():
        done((at_us - before) / (last - first))
        before = at_us
    return tape.tracks()


def _follow(yard: Yardstick, tape: Tape, place: int, stream: Stream) -> None:
    """Score one device alone: devices that follow themselves have nothing in common."""
    state = _first_state(yard, stream)
    step = max(1, _PIECES_MAX * _PIECE // US // yard.layout.window_us) * yard.layout.window_us
    first = max(state.learn_until_us, state.learn_from_us + step)
    # While its product is being learned a device stays behind, so its state does not tell when it is done.
    for through in (*range(first, stream.until_us, step), stream.until_us):
        _advance(yard, tape, place, stream, state, through_us=through)


def _first_state(yard: Yardstick, stream: Stream) -> DeviceState:
    return first_state(
        first_us=stream.first_us,
        window_us=yard.layout.window_us,
        learning_us=yard.layout.product.learning // US,
    )


def _advance(  # noqa: PLR0913 - one device's parts, named
    yard: Yardstick,
    tape: Tape,
    place: int,
    stream: Stream,
    state: DeviceState,
    *,
    through_us: int,
    paths: Paths | None = None,
) -> None:
    from_us = read_from_us(yard, state, through_us=through_us)
    known = [finding for finding in stream.findings if finding.found_us <= through_us]
    samples = stream.samples(from_us, through_us + 1)
    output = advance(yard, state, samples, through_us=through_us, services=known)
    tape.add(place, output)
    if paths is not None:
        paths.add(place, output.traces)


def _learn(yard: Yardstick, tape: Tape, paths: Paths, streams: Sequence[Stream]) -> "_Crowd":
    """Take each device through its learning time; those that have come to its end are scored on together."""
    states, places = [], []
    for place, stream in enumerate(streams):
        state = _first_state(yard, stream)
        through_us = min(state.learn_until_us, stream.until_us)
        _advance(yard, tape, place, stream, state, through_us=through_us, paths=paths)
        if state.phase == "scoring":
            states.append(state)
            places.append(place)
    return _Crowd(
        yard=yard,
        tape=tape,
        paths=paths,
        streams=[streams[place] for place in places],
        places=np.array(places, dtype=np.int64),
        states=packed_states(Names.of(yard.layout), states),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Crowd:
    """Devices that are scored side by side against one baseline."""

    yard: Yardstick
    tape: Tape
    paths: Paths
    streams: Sequence[Stream]
    places: IntArray
    """Of each in tape and paths."""
    states: PackedStates

    def advance(self) -> Iterator[int]:
        """Score all devices up to their ends, piece by piece; yields how far it has come."""
        until = np.array([stream.until_us for stream in self.streams], dtype=np.int64)
        if not len(until):
            return
        piece = self._piece_us()
        at = int(self.states.through_us.min()) // piece * piece
        block = _Block(from_us=at, until_us=at, samples=_no_samples(self.yard.layout))
        while at < int(until.max()):
            at += piece
            through = np.minimum(at, until)
            able = np.flatnonzero(through > self.states.through_us)
            if not len(able):
                continue
            if at > block.until_us:
                block = self._read(at, until, piece)
            self._score(able, through, block)
            yield min(at, int(until.max()))

    def _piece_us(self) -> int:
        window = self.yard.layout.window_us
        days = min(_PIECES_MAX, max(1, DEVICES_TOGETHER // len(self.streams)))
        return max(1, days * (_PIECE // US) // window) * window

    def _read(self, at: int, until: IntArray, piece: int) -> "_Block":
        """Draw what all devices need for some pieces, of which the first ends at an instant."""
        interval = max(1, self.yard.layout.product.interval // US)
        number = max(1, SAMPLES_AT_ONCE * interval // (piece * len(self.streams)))
        until_us = at + (number - 1) * piece
        records = self.states.records
        first = np.minimum(records["windows_us"], records["through_us"] + 1).tolist()
        ends = np.minimum(until_us, until).tolist()
        parts = [
            stream.samples(from_us, through_us + 1)
            for stream, from_us, through_us in zip(self.streams, first, ends, strict=True)
        ]
        return _Block(
            from_us=min(first), until_us=until_us, samples=_joined(self.yard.layout, parts)
        )

    def _score(self, able: IntArray, through: IntArray, block: "_Block") -> None:
        states = self.states.of(able.tolist())
        records = states.records
        first = np.minimum(records["windows_us"], records["through_us"] + 1)
        survey = Survey(
            yard=self.yard,
            states=states,
            samples=block.of(able, first, through[able]),
            through_us=through[able],
            is_worded=False,
            services={
                place: self.streams[device].findings
                for place, device in enumerate(able.tolist())
                if self.streams[device].findings
            },
        )
        places = self.places[able]
        output = conclude(survey, self._paths(survey, places))
        self.states.records[able] = states.records
        for place, device in enumerate(able.tolist()):
            self.states.rest.pop(device, None)
            if place in states.rest:
                self.states.rest[device] = states.rest[place]
        self.tape.add_fleet(output, places)
        self.paths.add_fleet(output, places)

    def _paths(self, survey: Survey, places: IntArray) -> Mapping[int, Mapping[str, Path]]:
        since = survey.states.records["mode_path_from_us"]
        found: dict[int, dict[str, Path]] = {}
        for place in survey.wants_path:
            found[place] = {
                mode: self.paths.newest(
                    int(places[place]),
                    number,
                    from_us=None if since[place, number] == NEVER else int(since[place, number]),
                )
                for number, mode in enumerate(self.yard.layout.modes)
            }
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """Samples of all devices over some pieces."""

    from_us: int
    until_us: int
    samples: FleetSamples

    def of(self, devices: IntArray, from_us: IntArray, through_us: IntArray) -> FleetSamples:
        """Return a stretch of each of some devices, both ends included, numbered in their order."""
        span = self.until_us - self.from_us + 2
        keys = self.samples.owner * span + (self.samples.at_us - self.from_us)
        low = np.searchsorted(keys, devices * span + np.maximum(from_us - self.from_us, 0))
        high = np.searchsorted(keys, devices * span + (through_us - self.from_us), side="right")
        counts = np.maximum(high - low, 0)
        owner = np.repeat(np.arange(len(devices)), counts)
        rows = np.arange(len(owner)) + np.repeat(low - (np.cumsum(counts) - counts), counts)
        values = self.samples.values
        columns = [values[:, place][rows] for place in range(values.shape[1])]
        return FleetSamples(
            owner=owner,
            at_us=self.samples.at_us[rows],
            values=side_by_side(columns, rows=len(owner)),
        )


def _no_samples(layout: Layout) -> FleetSamples:
    return _joined(layout, [])


def _joined(layout: Layout, parts: Sequence[Samples]) -> FleetSamples:
    """Lay the samples of devices end to end."""
    none = np.empty(0, dtype=np.int64)
    at_us = np.concatenate([none, *(part.at_us for part in parts)])
    columns = [
        np.concatenate([np.empty(0), *(part.values[:, place] for part in parts)])
        for place in range(len(layout.product.metrics))
    ]
    return FleetSamples(
        owner=np.repeat(np.arange(len(parts)), [len(part.at_us) for part in parts]),
        at_us=at_us,
        values=side_by_side(columns, rows=len(at_us)),
    )

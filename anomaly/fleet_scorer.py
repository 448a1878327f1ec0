"""Scores many devices at once: what most of them have in common is done in arrays. Pure.

What comes out for a device is what `scorer.advance` gives for it alone, to the bit. Windows are summed up,
smoothed and explained for all devices side by side. Devices about which there is nothing to tell get
their results in arrays too; the few in which something stands out, or to which something happened, go
through `scorer.walk`, event by event, with what their windows show already known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from anomaly.features import Windows, summarise_fleet
from anomaly.follow import Following, look_back
from anomaly.moment import RAISE_AT, Run, raise_hits
from anomaly.packed import NEVER, PackedStates
from anomaly.records import BoolArray, FleetSamples, FloatArray, IntArray, Output, ServiceEvent
from anomaly.report import AWAY, EXCESS_SAID, NEAR, silent_after_us
from anomaly.residuals import Carried, Seen, look, steps
from anomaly.scorer import expected_of, walk
from anomaly.state import DeviceState
from anomaly.stream.record import from_records, to_records
from anomaly.yardstick import Yardstick

Path = tuple[list[int], list[float]]
"""Instants and sizes, oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRows:
    """Windows of devices that have nothing to tell; columns as in `records.Scored`."""

    owner: IntArray
    at_us: IntArray
    measured: FloatArray
    expected: FloatArray
    spread: FloatArray
    """Of each watched metric; (watched,) where it is the same for all rows."""
    score: FloatArray
    health: FloatArray
    wear_score: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietForecasts:
    """Forecasts of devices that have nothing to tell: every failure mode of each gets one."""

    owner: IntArray
    at_us: IntArray
    is_silent: BoolArray
    """No window with data for long: nothing new is known."""
    outside: BoolArray
    """Conditions outside of what was seen while learning; (n, conditions)."""
    serviced_us: IntArray
    """When each mode's part was exchanged, or `NEVER`; (n, modes)."""
    sizes: FloatArray
    """Path of each failure mode, NaN while silent; (n, modes)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOutput:
    """Everything that a stretch of many devices brings forth."""

    rows: WindowRows
    forecasts: QuietForecasts
    told: dict[int, Output]
    """By place, of the devices that went through `walk`."""
    fresh: dict[int, list[int]]
    """By place, findings that were taken into account."""


@dataclass(frozen=True)
class Survey:
    """A stretch of many devices, looked at: what their windows show, and which have something to tell.

    Parameters
    ----------
    yard : Yardstick
        All devices share it.
    states : PackedStates
        Changed by `conclude`.
    samples : FleetSamples
        All samples from `read_from_us` up to and including `through_us` of each device.
    through_us : ndarray, shape (devices,)
        Each stream is complete up to here; not before its state's.
    services : mapping
        By place, all findings that are known of a device.
    is_worded : bool
        Whether forecasts carry evidence; a replay that is only counted needs none.
    """

    yard: Yardstick
    states: PackedStates
    samples: FleetSamples
    through_us: IntArray
    services: Mapping[int, Sequence[ServiceEvent]] = field(default_factory=dict)
    is_worded: bool = True

    @cached_property
    def whole_us(self) -> IntArray:
        """End of the last whole window of each device."""
        window = self.yard.layout.window_us
        whole = self.through_us // window * window
        return np.asarray(np.maximum(whole, self.states.records["windows_us"]))

    @cached_property
    def windows(self) -> Windows:
        """All new whole windows, but those that still show a part that was exchanged."""
        at, owner = self.samples.at_us, self.samples.owner
        begins, records = self.states.records["windows_us"], self.states.records
        part = self.samples.kept((at >= begins[owner]) & (at < self.whole_us[owner]))
        ranges = self.yard.baseline.ranges if self.yard.baseline else ()
        windows = summarise_fleet(self.yard.layout, part, ranges=ranges)
        if (records["serviced_us"] == NEVER).all():
            return windows
        first = records["serviced_us"][windows.owner]
        return windows.kept(
            (windows.index * self.yard.layout.window_us >= first) | (first == NEVER)
        )

    @cached_property
    def _carried(self) -> Carried:
        records = self.states.records
        return Carried(
            smooth=np.array(records["smooth"].T, order="C"),
            weight=np.array(records["weight"].T, order="C"),
            unseen=np.array(records["unseen"].T, order="C", dtype=np.int64),
            excess=np.array(records["excess"].T, order="C"),
        )

    @cached_property
    def following(self) -> Following:
        """Where devices follow themselves: what each knows, after its last window."""
        assert self.seen
        return self._following

    @cached_property
    def _following(self) -> Following:
        records = self.states.records
        return Following(detector=from_records(records), is_anew=records["anew_until_us"] != NEVER)

    @cached_property
    def seen(self) -> Seen:
        if self.yard.layout.follows:
            return look_back(self.yard, self.windows, self._following)
        return look(
            self.yard,
            self.windows,
            expected=expected_of(self.yard, self.windows),
            offsets=self.states.records["offsets"],
            carried=self._carried,
        )

    @cached_property
    def ends_us(self) -> IntArray:
        return self.seen.ends * self.yard.layout.window_us

    @cached_property
    def is_loud(self) -> BoolArray:
        """Devices about which there may be something to tell; (devices,)."""
        records = self.states.records
        loud = np.zeros(len(records), dtype=np.bool_)
        for name in ("hits", "is_raised", "degradation", "tolerated"):
            loud |= (records[name] != 0).any(axis=1)
        for name in ("mode_since_us", "mode_reported_us"):
            loud |= (records[name] != NEVER).any(axis=1)
        loud |= records["fault_code"] != 0
        loud[self._with_fault_codes()] = True
        loud[list(self._with_services())] = True
        loud[[place for place, rest in self.states.rest.items() if rest.sensors]] = True
        strange = (self.seen.found.degradation != 0).any(axis=1) | self.seen.stuck.any(axis=1)
        if self.yard.layout.follows:
            loud |= (records["anew_until_us"] != NEVER).any(axis=1)
            strange[list(self.seen.bad)] = True
        else:
            strange |= np.isnan(self.windows.observed).any(axis=1)
            strange |= np.isnan(self.windows.conditions).any(axis=1)
            strange[list(self.seen.found.sensors)] = True
        loud[self.windows.owner[strange]] = True
        return loud

    @cached_property
    def wants_path(self) -> list[int]:
        """Places of the devices whose paths `conclude` needs: those of which a mode is raised, or may be.

        A mode is raised only if enough windows, old and new, show a degradation of that size.
        """
        records = self.states.records
        if not len(self.yard.layout.modes):
            return []
        wants = (records["is_raised"] != 0).any(axis=1)
        places = [self.yard.layout.modes.index(name) for name in self.yard.scored_modes]
        hits = np.bitwise_count(records["hits"]).astype(np.int64)
        for column, mode in enumerate(places):
            is_hit = self.seen.found.degradation[:, column] >= RAISE_AT
            hits[:, mode] += np.bincount(self.windows.owner[is_hit], minlength=len(records))
        wants |= (hits >= raise_hits(self.yard)).any(axis=1)
        wants[list(self.with_turns)] = True  # after a service windows are looked at again
        return np.flatnonzero(wants).tolist()

    @cached_property
    def with_turns(self) -> frozenset[int]:
        """Places of the devices whose normal begins anew in this stretch."""
        turns = set(self._with_services())
        if self.yard.layout.follows:
            until = self.states.records["anew_until_us"]
            is_due = (until != NEVER) & (until <= self.through_us[:, None])
            turns |= set(np.flatnonzero(is_due.any(axis=1)).tolist())
        return frozenset(turns)

    def _with_fault_codes(self) -> IntArray:
        name = self.yard.layout.product.fault_metric
        if name is None:
            return np.empty(0, dtype=np.int64)
        codes = self.samples.values[:, self.yard.layout.columns[name]]
        return self.samples.owner[np.abs(codes) >= 1]

    def _with_services(self) -> dict[int, list[ServiceEvent]]:
        """By place, the findings that are to be taken into account now."""
        found = {}
        for place, services in self.services.items():
            rest = self.states.rest.get(place)
            known = set(rest.services) if rest else set()
            until = int(self.through_us[place])
            new = [s for s in services if s.finding_id not in known and s.found_us <= until]
            if new:
                found[place] = new
        return found


def conclude(survey: Survey, paths: Mapping[int, Mapping[str, Path]]) -> FleetOutput:
    """Tell what a survey found, and bring the states up to date.

    Parameters
    ----------
    survey : Survey
    paths : mapping
        By place and failure mode, of the devices in `survey.wants_path`.
    """
    quiet = _Quiet(survey)
    rows, forecasts = quiet.rows(), quiet.forecasts()
    told, fresh = {}, {}
    for place in np.flatnonzero(survey.is_loud).tolist():
        told[place], fresh[place] = _tell(survey, place, paths.get(place, {}))
    quiet.keep()
    return FleetOutput(rows=rows, forecasts=forecasts, told=told, fresh=fresh)


def _tell(survey: Survey, place: int, paths: Mapping[str, Path]) -> tuple[Output, list[int]]:
    """Take one device event by event."""
    state = survey.states.get(place)
    _lay_down(state, paths)
    number = len(state.services)
    windows, seen = survey.windows.of(place), None
    if not survey.yard.layout.follows:
        seen = survey.seen.of(place)
    elif place not in survey.with_turns:
        seen = survey.seen.of(place)
        state.detector = survey.following.detector.of(np.array([place]))
    run = Run(yard=survey.yard, state=state, output=Output(), is_worded=survey.is_worded)
    walk(
        run,
        survey.samples.of(place),
        windows,
        until_us=int(survey.through_us[place]),
        services=survey.services.get(place, ()),
        seen=seen,
    )
    state.windows_us = int(survey.whole_us[place])
    survey.states.put(place, state)
    return run.output, state.services[number:]


def _lay_down(state: DeviceState, paths: Mapping[str, Path]) -> None:
    for name, (at_us, sizes) in paths.items():
        state.modes[name].path_us, state.modes[name].path = list(at_us), list(sizes)


@dataclass(frozen=True)
class _Quiet:
    """The devices of a survey that have nothing to tell."""

    survey: Survey

    @cached_property
    def is_row(self) -> BoolArray:
        """Windows of these devices."""
        return ~self.survey.is_loud[self.survey.windows.owner]

    @cached_property
    def last(self) -> tuple[IntArray, IntArray]:
        """Places of the devices that have a new window, and the row of the last one of each."""
        rows = np.flatnonzero(self.is_row)
        owner = self.survey.windows.owner[rows]
        is_last = np.ones(len(rows), dtype=np.bool_)
        is_last[:-1] = owner[1:] != owner[:-1]
        return owner[is_last], rows[is_last]

    @cached_property
    def traces(self) -> FloatArray:
        """Of all failure modes, those without evidence too; (rows, modes)."""
        yard, found = self.survey.yard, self.survey.seen.found
        traces = np.zeros((len(found.traces), len(yard.layout.modes)))
        for column, name in enumerate(yard.scored_modes):
            traces[:, yard.layout.modes.index(name)] = found.traces[:, column]
        return traces

    @cached_property
    def wear_scores(self) -> FloatArray:
        """Largest score among each failure mode's metrics; (rows, modes)."""
        scores = self.survey.seen.scores
        found = np.zeros((len(scores), len(self.survey.yard.layout.modes)))
        for mode, places in enumerate(self.survey.yard.evidence_places):
            for place in places:
                found[:, mode] = np.fmax(found[:, mode], scores[:, place])
        return found

    def rows(self) -> WindowRows:
        survey, kept = self.survey, self.is_row
        windows = survey.windows.kept(kept)
        return WindowRows(
            owner=windows.owner,
            at_us=survey.ends_us[kept],
            measured=windows.measured(survey.yard.layout),
            expected=survey.seen.normal[kept],
            spread=survey.seen.spreads[kept] if survey.yard.layout.follows else survey.yard.sigma,
            score=survey.seen.scores[kept],
            health=np.ones((len(windows), len(survey.yard.layout.modes))),
            wear_score=self.wear_scores[kept],
        )

    def forecasts(self) -> QuietForecasts:
        """Forecasts between the states' instants and `through_us`, after the newest window of each."""
        survey, yard = self.survey, self.survey.yard
        records, every = survey.states.records, yard.forecast_every_us
        places = np.flatnonzero(~survey.is_loud)
        first = records["through_us"][places] // every + 1
        counts = np.maximum(survey.through_us[places] // every - first + 1, 0)
        owner = np.repeat(places, counts)
        step = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        at_us = (np.repeat(first, counts) + step) * every
        row = self._newest_row(owner, at_us)
        is_new = row >= 0
        newest = np.where(
            records["newest_us"] == NEVER, records["learn_until_us"], records["newest_us"]
        )[owner]
        newest[is_new] = survey.ends_us[row[is_new]]
        is_silent = at_us - newest > silent_after_us(yard)
        # Silence is said once; said again only when there is something new.
        was_silent = is_silent & (at_us - every - newest > silent_after_us(yard))
        excess, sizes = records["excess"][owner], records["trace"][owner]
        excess[is_new] = survey.seen.excess[row[is_new]]
        sizes[is_new] = self.traces[row[is_new]]
        sizes[is_silent] = np.nan
        told = ~was_silent
        return QuietForecasts(
            owner=owner[told],
            at_us=at_us[told],
            is_silent=is_silent[told],
            outside=excess[told] > EXCESS_SAID,
            serviced_us=records["mode_serviced_us"][owner[told]],
            sizes=sizes[told],
        )

    def _newest_row(self, owner: IntArray, at_us: IntArray) -> IntArray:
        """Row of the newest window of each device at each instant; -1 where it is older than all rows."""
        ends = self.survey.ends_us
        if not len(ends) or not len(owner):
            return np.full(len(owner), -1)
        least = min(int(ends.min()), int(at_us.min()))
        span = max(int(ends.max()), int(at_us.max())) - least + 1
        keys = self.survey.windows.owner * span + (ends - least)
        row = np.searchsorted(keys, owner * span + (at_us - least), side="right") - 1
        return np.where((row >= 0) & (self.survey.windows.owner[row] == owner), row, -1)

    def keep(self) -> None:
        """Bring the states up to date."""
        survey, records = self.survey, self.survey.states.records
        quiet = np.flatnonzero(~survey.is_loud)
        through = survey.through_us[quiet]
        every = survey.yard.forecast_every_us
        is_due = through // every > records["through_us"][quiet] // every
        records["forecast_us"][quiet[is_due]] = through[is_due] // every * every
        records["through_us"][quiet] = through
        records["windows_us"][quiet] = survey.whole_us[quiet]
        places, rows = self.last
        seen = survey.seen
        records["newest_us"][places] = survey.ends_us[rows]
        for name in ("smooth", "weight", "unseen", "excess"):
            records[name][places] = getattr(seen, name)[rows]
        if survey.yard.layout.follows:
            part = records[places]
            to_records(survey.following.detector.of(places), part)
            records[places] = part
        for name, values in (
            ("observed", survey.windows.observed),
            ("expected", seen.normal),
            ("spread", seen.spreads),
            ("conditions", survey.windows.conditions),
            ("trace", self.traces),
            ("score", self.wear_scores),
        ):
            records[name][places] = values[rows]
        self._keep_away()

    def _keep_away(self) -> None:
        """Note since when each metric has been away from normal."""
        rows = np.flatnonzero(self.is_row)
        owner, scores = self.survey.windows.owner[rows], self.survey.seen.scores[rows]
        ends, away = self.survey.ends_us[rows], self.survey.states.records["away_us"]
        for some, devices in steps(owner):
            score = scores[some]
            before = away[devices]
            begins = (score > AWAY) & (before == NEVER)
            now = np.where(begins, ends[some, None], before)
            away[devices] = np.where(score >= NEAR, now, NEVER)

"""Writes down what a replay of some devices brings forth, and hands out one `Track` per device. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from anomaly.backtest.track import STATUSES, Stream, Track
from anomaly.features import Layout
from anomaly.fleet_scorer import FleetOutput, Path, QuietForecasts, WindowRows
from anomaly.forecaster import base_outlook
from anomaly.learn.history import Catalog, History
from anomaly.learn.labels import ReportedFault, labels_of
from anomaly.learn.outlook import HORIZONS_HOURS
from anomaly.records import LIFE_SHARES, Forecast, IntArray, Output, Scored, Trace
from anomaly.report import FAILURES_PER_YEAR, worn_of
from anomaly.scorer import PATH_MAX

_SILENT, _OK = STATUSES.index("no_data"), STATUSES.index("ok")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """Rows of any devices; columns as wide as they are long."""

    owner: IntArray
    at_us: IntArray
    columns: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Tape:
    """What was said and seen of devices that are replayed together, in the order in which it came.

    Parameters
    ----------
    catalog : Catalog
    layout : Layout
    streams : sequence of Stream
        Numbered as `owner` numbers them.
    """

    catalog: Catalog
    layout: Layout
    streams: Sequence[Stream]
    _windows: list[_Rows] = field(default_factory=list)
    _forecasts: list[_Rows] = field(default_factory=list)
    _faults: dict[int, list[ReportedFault]] = field(default_factory=dict)
    _sensors: dict[int, list[tuple[int, str]]] = field(default_factory=dict)

    def add_fleet(self, output: FleetOutput, places: IntArray) -> None:
        """Write down what came of a survey, whose devices are these."""
        self._add_rows(output.rows, places)
        self._add_quiet(output.forecasts, places)
        for place, told in output.told.items():
            self.add(int(places[place]), told)

    def add(self, place: int, output: Output) -> None:
        """Write down what came of one device."""
        self._add_windows(place, output.windows)
        self._add_forecasts(place, output.forecasts)
        for one in output.detections:
            if one.change == "raised" and one.kind == "reported_fault":
                fault = ReportedFault(failure_mode=one.failure_mode, at_us=one.at_us)
                self._faults.setdefault(place, []).append(fault)
            elif one.change == "raised" and one.kind == "sensor":
                self._sensors.setdefault(place, []).append((one.at_us, one.failure_mode))

    def tracks(self) -> list[Track]:
        """Return what there is of each device."""
        width = len(self.catalog.modes)
        seen = np.empty((0, len(self.catalog.metrics)), np.float32), np.empty((0, width))
        windows = _by_owner(self._windows, seen, number=len(self.streams))
        told = (
            np.empty((0, width), np.int64),
            np.empty((0, width, len(HORIZONS_HOURS))),
            np.empty((0, width, len(LIFE_SHARES))),
            np.empty((0, width)),
        )
        said = _by_owner(self._forecasts, told, number=len(self.streams))
        return [self._track(n, windows[n], said[n]) for n in range(len(self.streams))]

    def _add_rows(self, rows: WindowRows, places: IntArray) -> None:
        if len(rows.at_us):
            columns = self._values(rows.measured), rows.health.astype(np.float32)
            self._windows.append(_Rows(owner=places[rows.owner], at_us=rows.at_us, columns=columns))

    def _add_windows(self, place: int, windows: Sequence[Scored]) -> None:
        if windows:
            measured = np.array([w.measured for w in windows], dtype=np.float32)
            health = np.array([w.health for w in windows], dtype=np.float32)
            at_us = np.array([w.at_us for w in windows], dtype=np.int64)
            columns = self._values(measured), health
            self._windows.append(_Rows(owner=_same(place, at_us), at_us=at_us, columns=columns))

    def _values(self, measured: np.ndarray) -> np.ndarray:
        """Put the columns of a layout into the order of the catalog, with the precision that is stored."""
        places = [self.layout.measured.index(name) for name in self.catalog.metrics]
        return np.asarray(measured[:, places], dtype=np.float32)

    def _add_quiet(self, quiet: QuietForecasts, places: IntArray) -> None:
        if not len(quiet.at_us):
            return
        number, width = len(quiet.at_us), len(self.catalog.modes)
        status = np.where(quiet.is_silent, _SILENT, _OK)
        base = base_outlook(FAILURES_PER_YEAR)
        chance = np.array([base.p_fail_1d, base.p_fail_7d, base.p_fail_30d])
        columns = (
            np.repeat(status[:, None], width, axis=1),
            np.broadcast_to(chance, (number, width, 3)),
            np.broadcast_to(np.inf, (number, width, len(LIFE_SHARES))),
            np.zeros((number, width)),
        )
        self._forecasts.append(_Rows(owner=places[quiet.owner], at_us=quiet.at_us, columns=columns))

    def _add_forecasts(self, place: int, forecasts: Sequence[Forecast]) -> None:
        if not forecasts:
            return
        modes = {name: i for i, name in enumerate(self.catalog.modes)}
        made = np.unique(np.array([f.made_us for f in forecasts], dtype=np.int64))
        status = np.full((len(made), len(modes)), _SILENT, dtype=np.int64)
        p_fail = np.full((len(made), len(modes), len(HORIZONS_HOURS)), np.nan)
        life = np.full((len(made), len(modes), len(LIFE_SHARES)), np.inf)
        worn = np.zeros((len(made), len(modes)))
        rows = {at: row for row, at in enumerate(made.tolist())}
        for f in forecasts:
            row, mode, o = rows[f.made_us], modes[f.failure_mode], f.outlook
            status[row, mode] = STATUSES.index(f.status)
            worn[row, mode] = worn_of(f)
            if o is not None:
                p_fail[row, mode] = (o.p_fail_1d, o.p_fail_7d, o.p_fail_30d)
                life[row, mode] = [np.inf if q is None else q for q in o.lives]
        columns = status, p_fail, life, worn
        self._forecasts.append(_Rows(owner=_same(place, made), at_us=made, columns=columns))

    def _track(self, place: int, windows: _Rows, said: _Rows) -> Track:
        stream = self.streams[place]
        labels = labels_of(
            self.catalog, findings=stream.findings, faults=self._faults.get(place, [])
        )
        history = History(
            device=stream.device,
            begins_us=stream.begins_us,
            until_us=stream.until_us,
            watched_from_us=stream.first_us,
            at_us=windows.at_us,
            values=windows.columns[0].astype(np.float64),
            health=windows.columns[1].astype(np.float64),
            service_us=labels.service_us,
            service_component=labels.service_component,
            failure_us=labels.failure_us,
            failure_mode=labels.failure_mode,
            doubt_us=labels.doubt_us,
            doubt_mode=labels.doubt_mode,
            traits=stream.traits,
        )
        modes, components = self.catalog.modes, self.catalog.components
        faults = self._faults.get(place, [])
        return Track(
            history=history, made_us=said.at_us, status=said.columns[0], p_fail=said.columns[1],
            life_hours=said.columns[2], worn=said.columns[3], labels=labels, sensors=tuple(self._sensors.get(place, ())),
            faults=tuple((fault.at_us, modes.index(fault.failure_mode)) for fault in faults),
            components=tuple(
                components.index(mode.component) for mode in self.catalog.product.failure_modes
            ),
        )  # fmt: skip


def _same(place: int, like: IntArray) -> IntArray:
    return np.full(len(like), place, dtype=np.int64)


def _by_owner(
    parts: Sequence[_Rows], nothing: tuple[np.ndarray, ...], *, number: int
) -> list[_Rows]:
    """Put rows in the order of devices and of time, and cut them by device."""
    no_place = np.empty(0, dtype=np.int64)
    owner = np.concatenate([no_place, *(part.owner for part in parts)])
    at_us = np.concatenate([no_place, *(part.at_us for part in parts)])
    order = np.lexsort((at_us, owner))
    columns = [
        np.concatenate([nothing[place], *(part.columns[place] for part in parts)])[order]
        for place in range(len(nothing))
    ]
    at_us = at_us[order]
    borders = np.searchsorted(owner[order], np.arange(number + 1))
    return [
        _Rows(
            owner=owner[order][first:last],
            at_us=at_us[first:last],
            columns=tuple(column[first:last] for column in columns),
        )
        for first, last in pairwise(borders)
    ]


class Paths:
    """The path of degradation of every failure mode of some devices: what live scoring keeps in `anomaly.path`.

    Forecasts are made on a grid of instants, so a path has a place for each of them.
    """

    def __init__(
        self, *, every_us: int, devices: int, modes: int, from_us: int, until_us: int
    ) -> None:
        self._every_us = every_us
        self._first = from_us // every_us
        places = until_us // every_us - self._first + 1
        self._sizes = np.full((devices, places, modes), np.nan)

    def add_fleet(self, output: FleetOutput, places: IntArray) -> None:
        quiet = output.forecasts
        self._sizes[places[quiet.owner], self._place(quiet.at_us)] = quiet.sizes
        for place, told in output.told.items():
            self.add(int(places[place]), told.traces)

    def add(self, place: int, traces: Sequence[Trace]) -> None:
        for trace in traces:
            sizes = [np.nan if size is None else size for size in trace.sizes]
            self._sizes[place, self._place(trace.at_us)] = sizes

    def newest(self, place: int, mode: int, *, from_us: int | None) -> Path:
        """Return the newest values of one path since an instant, oldest first."""
        sizes = self._sizes[place, :, mode]
        known = np.flatnonzero(np.isfinite(sizes))
        if from_us is not None:
            known = known[(known + self._first) * self._every_us >= from_us]
        known = known[-PATH_MAX:]
        return ((known + self._first) * self._every_us).tolist(), sizes[known].tolist()

    def _place(self, at_us: IntArray | int) -> IntArray | int:
        return at_us // self._every_us - self._first

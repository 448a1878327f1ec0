"""Takes stored streams once more through the scorer that serves live devices. Pure but for its source.

What comes out is what would have been said at the time: the scorer sees no sample, finding or
baseline earlier than it would have been known.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np

from anomaly.baseline import Baseline, fit_baseline, learned_ranges
from anomaly.features import Layout, running_mask, summarise
from anomaly.learn.history import Catalog, History
from anomaly.learn.labels import Labels, ReportedFault, labels_of
from anomaly.records import (
    LIFE_SHARES,
    FloatArray,
    Forecast,
    IntArray,
    Output,
    Samples,
    ServiceEvent,
)
from anomaly.scorer import advance, read_from_us
from anomaly.state import first_state
from anomaly.yardstick import Yardstick

_PIECE = timedelta(days=60)
"""Of a device's stream, taken at once: bounds the memory."""
LEARNING_DEVICES_MAX = 60
HORIZONS_HOURS = (24.0, 168.0, 720.0)
STATUSES = ("learning", "ok", "declining", "failed", "no_data")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One device's stored stream and what is known of it besides."""

    device: str
    begins_us: int
    """When its life began."""
    first_us: int
    until_us: int
    samples: Callable[[int, int], Samples]
    """From and until, microseconds since 1970, the second excluded."""
    findings: Sequence[ServiceEvent] = ()
    traits: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """What the scorer made of one device."""

    history: History
    made_us: IntArray
    """Instants of forecasts; shape (n,)."""
    status: IntArray
    """Place in `STATUSES`; (n, modes)."""
    p_fail: FloatArray
    """Within each of `HORIZONS_HOURS`, NaN where nothing is claimed; (n, modes, 3)."""
    life_hours: FloatArray
    """Quantiles of remaining life at `LIFE_SHARES`, inf beyond any horizon; (n, modes, 5)."""
    labels: Labels
    sensors: tuple[tuple[int, str], ...]
    """Instants at which a sensor was reported as bad, and its metric."""


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


def replay_stream(catalog: Catalog, yard: Yardstick, stream: Stream) -> Track:
    """Score one device from its first sample to its last."""
    layout = yard.layout
    state = first_state(
        first_us=stream.first_us,
        window_us=layout.window_us,
        learning_us=layout.product.learning // timedelta(microseconds=1),
    )
    made = Output()
    windows: list[tuple[IntArray, FloatArray]] = []
    for through_us in _steps(layout, stream, state.learn_until_us):
        windows_us = state.windows_us
        read_from = read_from_us(yard, state, through_us=through_us)
        samples = stream.samples(read_from, through_us + 1)
        known = [f for f in stream.findings if f.found_us <= through_us]
        part = advance(yard, state, samples, through_us=through_us, services=known)
        made.windows += part.windows
        made.detections += part.detections
        made.forecasts += part.forecasts
        if state.phase == "scoring":
            begin = min(windows_us, read_from)
            windows.append(window_means(catalog, layout, samples.between(begin, state.windows_us)))
    return _track(catalog, stream, made, windows)


def _steps(layout: Layout, stream: Stream, learn_until_us: int) -> Iterator[int]:
    """Up to which instants the stream is taken: first the whole learning time, then piece by piece."""
    window_us = layout.window_us
    step = max(1, _PIECE // timedelta(microseconds=1) // window_us) * window_us
    through = max(learn_until_us, stream.first_us // window_us * window_us + step)
    while through < stream.until_us:
        yield through
        through += step
    yield stream.until_us


def window_means(catalog: Catalog, layout: Layout, samples: Samples) -> tuple[IntArray, FloatArray]:
    """Mean of every measured metric over each window in which the device ran.

    Returns
    -------
    tuple of ndarray
        Ends of the windows, microseconds since 1970, shape (n,); means, NaN where missing, (n, metrics).
    """
    mask = running_mask(layout, samples.values)
    columns = [layout.columns[name] for name in catalog.metrics]
    at_us, values = samples.at_us[mask], samples.values[mask][:, columns]
    if not len(at_us):
        return np.empty(0, dtype=np.int64), np.empty((0, len(columns)))
    number = at_us // layout.window_us
    starts = np.flatnonzero(np.diff(number, prepend=number[0] - 1))
    counts = np.diff(starts, append=len(number))
    known = np.isfinite(values)
    sums = np.add.reduceat(np.where(known, values, 0.0), starts, axis=0)
    amount = np.add.reduceat(known.astype(np.float64), starts, axis=0)
    means = np.where(amount > 0, sums / np.maximum(amount, 1), np.nan)
    enough = counts >= layout.samples_min
    return (number[starts][enough] + 1) * layout.window_us, means[enough]


def _track(
    catalog: Catalog, stream: Stream, made: Output, windows: Sequence[tuple[IntArray, FloatArray]]
) -> Track:
    none = (np.empty(0, dtype=np.int64), np.empty((0, len(catalog.metrics))))
    windows = [*windows, none]
    at_us = np.concatenate([part[0] for part in windows])
    labels = labels_of(
        catalog,
        findings=stream.findings,
        faults=[
            ReportedFault(failure_mode=d.failure_mode, at_us=d.at_us)
            for d in made.detections
            if d.kind == "reported_fault" and d.change == "raised"
        ],
    )
    history = History(
        device=stream.device,
        begins_us=stream.begins_us,
        until_us=stream.until_us,
        watched_from_us=stream.first_us,
        at_us=at_us,
        values=_as_stored(np.concatenate([part[1] for part in windows])),
        health=_as_stored(_healths(catalog, made, at_us)),
        service_us=labels.service_us,
        service_component=labels.service_component,
        failure_us=labels.failure_us,
        failure_mode=labels.failure_mode,
        traits=stream.traits,
    )
    made_us, status, p_fail, life = _forecasts(catalog, made.forecasts)
    return Track(
        history=history, made_us=made_us, status=status, p_fail=p_fail, life_hours=life,
        labels=labels,
        sensors=tuple(
            (d.at_us, d.failure_mode)
            for d in made.detections
            if d.kind == "sensor" and d.change == "raised"
        ),
    )  # fmt: skip


def _as_stored(values: FloatArray) -> FloatArray:
    """Round as the database does: what learned from stored windows must see the same ones here."""
    return np.asarray(values.astype(np.float32), dtype=np.float64)


def _healths(catalog: Catalog, made: Output, at_us: IntArray) -> FloatArray:
    """Health index of every failure mode at the ends of windows; layout and catalog number modes alike."""
    out = np.full((len(at_us), len(catalog.modes)), np.nan)
    rows = np.searchsorted(at_us, [window.at_us for window in made.windows])
    for row, window in zip(rows.tolist(), made.windows, strict=True):
        if row < len(at_us) and at_us[row] == window.at_us:
            out[row] = [np.nan if health is None else health for health in window.health]
    return out


def _forecasts(
    catalog: Catalog, forecasts: Sequence[Forecast]
) -> tuple[IntArray, IntArray, FloatArray, FloatArray]:
    modes = {name: i for i, name in enumerate(catalog.modes)}
    made = np.unique(np.array([f.made_us for f in forecasts], dtype=np.int64))
    status = np.full((len(made), len(modes)), STATUSES.index("no_data"), dtype=np.int64)
    p_fail = np.full((len(made), len(modes), len(HORIZONS_HOURS)), np.nan)
    life = np.full((len(made), len(modes), len(LIFE_SHARES)), np.inf)
    rows = np.searchsorted(made, [f.made_us for f in forecasts])
    for row, f in zip(rows.tolist(), forecasts, strict=True):
        mode = modes[f.failure_mode]
        status[row, mode] = STATUSES.index(f.status)
        if f.outlook is None:
            continue
        o = f.outlook
        p_fail[row, mode] = (o.p_fail_1d, o.p_fail_7d, o.p_fail_30d)
        life[row, mode] = [np.inf if q is None else q for q in o.lives]
    return made, status, p_fail, life

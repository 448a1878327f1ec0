"""Remaining life of a failure mode, learned from its lives that ended: the same for production and every benchmark. Pure.

What `anomaly.learn.life` learns from is the age of the part, not of the device: a part that was replaced is as new.
The frame is the one from which the hazard learns, less what says when people look (the hour of the week, visits that
found nothing).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from anomaly.judge.life import life_losses
from anomaly.learn.frame import Frame, FrameSpec
from anomaly.learn.history import Catalog, History
from anomaly.learn.life import GROUPS, JUDGED_MAX, LeftOut, Life, Memory, fit_and_judge
from anomaly.learn.metrics import Metrics
from anomaly.learn.outcome import Outcome, outcome_of
from anomaly.learn.outlook import quantiles_of, shaped_by_life
from anomaly.learn.stack import is_surely_positive
from anomaly.learn.trend import (
    Trend,
    fit_trend,
    health_of,
    rmse_by_device,
    rows_tried,
    trend_hours,
)
from anomaly.learn.wear import Wear
from anomaly.records import LIFE_SHARES, FloatArray, IntArray

SHARES = (0.25, 0.5, 0.75, 1.0)
"""How much of its shape is in what is said, tried."""
SURE = 1.64
"""Standard errors, over devices, by which it must do better than the hazard alone: chance does so in one of twenty."""
LIVES_MIN = 10
"""Devices whose part failed below which nothing but a part's own path of wear is tried."""
ROWS_MAX = 8_000
"""Rows that it is learned from, and judged on, evenly along every device."""
TREND_ROWS_MAX = 2_000
"""The same for a path of wear, which takes some milliseconds a row."""
WATCHED = 0.8
"""Share of the time that judges up to which lives are told apart there: few rows are watched for longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Rows of a stretch of time, of one failure mode."""

    frame: Frame
    histories: Sequence[History]
    outcome: Outcome

    @classmethod
    def of(
        cls, catalog: Catalog, frame: Frame, histories: Sequence[History], *, mode: str
    ) -> "Slice":
        outcome = outcome_of(catalog, histories, frame, mode=mode)
        return cls(frame=frame, histories=histories, outcome=outcome)

    def take(self, rows: IntArray) -> "Slice":
        return Slice(
            frame=self.frame.take(rows),
            histories=self.histories,
            outcome=self.outcome.take(rows),
        )


def fit_mode_life(  # noqa: PLR0913 - rows and what is known of them, named
    catalog: Catalog,
    spec: FrameSpec,
    known: Slice,
    *,
    mode: str,
    seeds: Sequence[int],
    horizon_hours: float = np.inf,
    rows_max: int = JUDGED_MAX,
) -> tuple[Life, LeftOut] | None:
    """Learn remaining life from the rows whose failure came.

    Parameters
    ----------
    spec : FrameSpec
        Of the rows' features; those that `anomaly.learn.life` may look at are taken.
    known : Slice
        Rows and what came after them.
    seeds, horizon_hours
        As `anomaly.learn.life.fit_and_judge` has them.
    rows_max : int
        Rows that are looked at, evenly along every life.

    Returns
    -------
    tuple of Life, LeftOut or None
        With what was said about devices left out, at places of the rows given; None with too few lives.
    """
    rows = np.flatnonzero(known.outcome.has_failed)
    rows = rows[:: max(1, -(-len(rows) // rows_max))]
    names = tuple(spec.names[place] for place in spec.columns_of(*GROUPS))
    fitted = fit_and_judge(
        life_frame(catalog, known.frame, mode=mode, names=names, rows=rows),
        known.outcome.take(rows), seeds=seeds, horizon_hours=horizon_hours,
    )  # fmt: skip
    if fitted is None:
        return None
    life, left_out = fitted
    return life, replace(left_out, rows=rows[left_out.rows])


def life_frame(
    catalog: Catalog,
    frame: Frame,
    *,
    mode: str,
    names: Sequence[str],
    rows: IntArray | None = None,
) -> Frame:
    """What remaining life is told from: some features of a frame, the part's age in the place of the device's.

    Parameters
    ----------
    names : sequence of str
        `Life.names`.
    rows : ndarray, optional
        Of the frame; by default all.
    """
    some = slice(None) if rows is None else rows
    x = frame.x[some][:, [frame.names.index(name) for name in names]]
    own = f"{catalog.product.failure_mode(mode).component}_age_hours"
    if own in names:
        x[:, names.index("age_hours")] = x[:, names.index(own)]
    return Frame(device=frame.device[some], at_us=frame.at_us[some], x=x, names=tuple(names))


def life_hours(
    catalog: Catalog, life: Life, frame: Frame, histories: Sequence[History], *, mode: str
) -> FloatArray:
    """Remaining life in hours of every row, filtered along each part from its first row on; (rows,).

    Parameters
    ----------
    frame : Frame
        With the features of the model that has learned `life`, of these histories.
    """
    own = life_frame(catalog, frame, mode=mode, names=life.names)
    return life.predict(replace(own, device=parts_of(catalog, frame, histories, mode=mode)))


@dataclass(frozen=True, slots=True, kw_only=True)
class PartMemory:
    """What is kept of one part of a device between forecasts."""

    memory: Memory
    part: int
    """Failures and replacements of the part that were known."""


def life_hours_on(  # noqa: PLR0913 - a model, a device and where it stands, named
    catalog: Catalog,
    life: Life,
    frame: Frame,
    history: History,
    *,
    mode: str,
    kept: PartMemory | None,
) -> tuple[FloatArray, PartMemory | None]:
    """Go on from what was kept of a device: the same numbers as `life_hours` of all rows.

    Parameters
    ----------
    frame : Frame
        Of this device, all rows later than what was kept.
    kept : PartMemory or None
        None: these are its first rows.
    """
    parts = parts_of(catalog, frame, [history], mode=mode)
    estimates = life.estimate(life_frame(catalog, frame, mode=mode, names=life.names))
    found = np.empty(len(frame))
    for row, (at_us, part) in enumerate(zip(frame.at_us.tolist(), parts.tolist(), strict=True)):
        before = kept.memory if kept is not None and kept.part == part else None
        memory = life.step(before, at_us=at_us, estimate=float(estimates[row]))
        kept = PartMemory(memory=memory, part=part)
        found[row] = memory.hours
    return found, kept


def part_at(catalog: Catalog, history: History, at_us: int, *, mode: str) -> int:
    """Failures and replacements of a part up to an instant, as they are known now."""
    return int(np.searchsorted(_part_ends(catalog, history, mode=mode), at_us, side="right"))


def part_begins_us(catalog: Catalog, history: History, at_us: int, *, mode: str) -> int:
    """Return when the part that a device has at an instant was new there: nothing before it has a part in `life_hours`."""
    number = part_at(catalog, history, at_us, mode=mode)
    if not number:
        return history.seen_from_us
    return int(_part_ends(catalog, history, mode=mode)[number - 1])


def parts_of(
    catalog: Catalog, frame: Frame, histories: Sequence[History], *, mode: str
) -> IntArray:
    """Number the parts: another one after each failure of the mode and each replacement; (rows,)."""
    found = np.zeros(len(frame), dtype=np.int64)
    borders = np.searchsorted(frame.device, np.arange(len(histories) + 1))
    before = 0
    for number, history in enumerate(histories):
        rows = slice(borders[number], borders[number + 1])
        ends = _part_ends(catalog, history, mode=mode)
        found[rows] = before + np.searchsorted(ends, frame.at_us[rows], side="right")
        before += len(ends) + 1
    return found


def _part_ends(catalog: Catalog, history: History, *, mode: str) -> IntArray:
    place = catalog.modes.index(mode)
    component = catalog.components.index(catalog.product.failure_mode(mode).component)
    failures = history.failure_us[history.failure_mode == place]
    services = history.service_us[history.service_component == component]
    return np.sort(np.concatenate([failures, services]))


def learn_life(  # noqa: PLR0913 - what to learn from and what it must beat, named
    catalog: Catalog,
    spec: FrameSpec,
    train: Slice,
    *,
    mode: str,
    failed: Callable[[IntArray], FloatArray],
    group: IntArray,
    seeds: Sequence[int],
) -> tuple[Life | Trend, float] | None:
    """Learn remaining life, and how much of it speaks: nothing unless devices left out say that it is surely better.

    Parameters
    ----------
    spec : FrameSpec
        Of the features of `train`.
    failed : callable
        From places of rows of `train` to the hazard's chance of having failed by each of `outlook.LIFE_HOURS`, by
        hazards that did not see the device.
    group : ndarray, shape (histories,)
        Those of one number are no independent cases.

    Returns
    -------
    tuple of Life or Trend, float or None
        With its share. None also where the age may not be known, or nothing that wears is measured: the hazard then says
        all that there is to say.
    """
    if "age_hours" not in train.frame.names or not len(spec.columns_of(Wear, Metrics)):
        return None
    devices = len(np.unique(group[train.frame.device[train.outcome.has_failed]]))
    if devices < LIVES_MIN:
        told: Life | Trend = fit_trend(
            path_frame(catalog, train.frame, train.histories, mode=mode), train.outcome, mode=mode
        )
        left_out = None
    else:
        told, left_out = choose_way(catalog, spec, train, mode=mode, seeds=seeds, rows_max=ROWS_MAX)
    if told.errors is None:
        return None
    rows, hours = _judged(catalog, told, left_out, train, mode=mode)
    share = _choose_share(
        told, failed(rows), hours, train.outcome.take(rows), group[train.frame.device[rows]]
    )
    return (told, share) if share > 0 else None


def choose_way(  # noqa: PLR0913 - as in `fit_mode_life`
    catalog: Catalog,
    spec: FrameSpec,
    known: Slice,
    *,
    mode: str,
    seeds: Sequence[int],
    horizon_hours: float = np.inf,
    rows_max: int = JUDGED_MAX,
) -> tuple[Life | Trend, LeftOut | None]:
    """Learn remaining life from the lives that ended, or go on by each part's own path of wear: what did better on them.

    Both are judged on the later half of lives, what was learned by estimates for devices left out. The path stands where
    there are too few lives to learn from. Parameters as in `fit_mode_life`.
    """
    paths = path_frame(catalog, known.frame, known.histories, mode=mode)
    trend = fit_trend(paths, known.outcome, mode=mode)
    fitted = fit_mode_life(
        catalog, spec, known, mode=mode, seeds=seeds, horizon_hours=horizon_hours,
        rows_max=rows_max,
    )  # fmt: skip
    if fitted is None:
        return trend, None
    life, left_out = fitted
    both = np.isin(left_out.rows, rows_tried(paths, known.outcome))
    rows = left_out.rows[both]
    if not len(rows):
        return life, left_out
    error = rmse_by_device(left_out.life_hours[both], known.outcome.hours[rows], paths.device[rows])
    return (life, left_out) if error <= trend.rmse_hours else (trend, None)


def path_frame(catalog: Catalog, frame: Frame, histories: Sequence[History], *, mode: str) -> Frame:
    """What a path of wear is read from: the age and the health of each part, every part by itself."""
    names = [name for name in frame.names if name in ("age_hours", health_of(mode))]
    own = f"{catalog.product.failure_mode(mode).component}_age_hours"
    found = life_frame(
        catalog, frame, mode=mode, names=[*names, own] if own in frame.names else names
    )
    return replace(found, device=parts_of(catalog, frame, histories, mode=mode))


def _judged(
    catalog: Catalog, told: Life | Trend, left_out: LeftOut | None, train: Slice, *, mode: str
) -> tuple[IntArray, FloatArray]:
    """Rows of lives that ended, with what was said without them, and of lives that go on, from which nothing was learned.

    Of both one in as many: of those that ended only some may have been looked at.
    """
    has_failed = train.outcome.has_failed
    if isinstance(told, Trend) or left_out is None:
        paths = path_frame(catalog, train.frame, train.histories, mode=mode)
        rows = np.arange(len(paths))[:: max(1, -(-len(paths) // TREND_ROWS_MAX))]
        assert isinstance(told, Trend)
        return rows, trend_hours(paths, rows, mode=mode, path=told.path)
    taken = max(1, round(has_failed.sum() / len(left_out.rows)))
    every = max(1, -(-len(train.frame) // (taken * ROWS_MAX)))
    ended = left_out.rows[::every]
    goes_on = np.flatnonzero(~has_failed)[:: taken * every]
    some = train.take(goes_on)
    said = life_hours(catalog, told, some.frame, some.histories, mode=mode)
    rows = np.concatenate([ended, goes_on])
    order = np.argsort(rows)
    return rows[order], np.concatenate([left_out.life_hours[::every], said])[order]


def _choose_share(
    told: Life | Trend, failed: FloatArray, hours: FloatArray, outcome: Outcome, groups: IntArray
) -> float:
    """How much of the lives' shape does best; 0 unless it is surely better than none."""
    until = WATCHED * float(outcome.hours.max())
    losses = []
    for share in (0.0, *SHARES):
        said = quantiles_of(shaped_by_life(failed, told, hours, share=share))
        found = life_losses(
            outcome.hours, outcome.has_failed, said, shares=LIFE_SHARES, until_hours=until
        )
        losses.append(found.weight * found.loss)
    best = int(np.argmin([own.sum() for own in losses]))
    if best == 0 or not is_surely_positive(losses[0] - losses[best], groups, sure=SURE):
        return 0.0
    return SHARES[best - 1]

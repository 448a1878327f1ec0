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
from anomaly.learn.outcome import Outcome, outcome_of
from anomaly.learn.outlook import quantiles_of, shaped_by_life
from anomaly.learn.stack import is_surely_positive
from anomaly.records import LIFE_SHARES, FloatArray, IntArray

SHARES = (0.25, 0.5, 0.75, 1.0)
"""How much of its shape is in what is said, tried."""
SURE = 1.0
"""Standard errors, over devices, by which it must do better than the hazard alone; as in `anomaly.learn.stack`."""
LIVES_MIN = 10
"""Devices whose part failed below which the hazard's quantiles stand: a hazard is not learned from fewer failures either."""
ROWS_MAX = 8_000
"""Rows that it is learned from, and judged on, evenly along every device."""
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
        frame = self.frame
        return Slice(
            frame=Frame(
                device=frame.device[rows], at_us=frame.at_us[rows], x=frame.x[rows],
                names=frame.names,
            ),
            histories=self.histories,
            outcome=self.outcome.take(rows),
        )  # fmt: skip


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
        As `anomaly.learn.life.fit_life` has them.
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
) -> tuple[Life, float] | None:
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
    tuple of Life, float or None
        With its share.
    """
    if len(np.unique(group[train.frame.device[train.outcome.has_failed]])) < LIVES_MIN:
        return None
    fitted = fit_mode_life(catalog, spec, train, mode=mode, seeds=seeds, rows_max=ROWS_MAX)
    if fitted is None:
        return None
    life, left_out = fitted
    rows, hours = _judged(catalog, life, left_out, train, mode=mode)
    share = _choose_share(
        life, failed(rows), hours, train.outcome.take(rows), group[train.frame.device[rows]]
    )
    return (life, share) if share > 0 else None


def _judged(
    catalog: Catalog, life: Life, left_out: LeftOut, train: Slice, *, mode: str
) -> tuple[IntArray, FloatArray]:
    """Rows of lives that ended, with what was said without them, and of lives that go on, from which nothing was learned.

    Of both one in as many: of those that ended only some were looked at.
    """
    taken = max(1, round(train.outcome.has_failed.sum() / len(left_out.rows)))
    every = max(1, -(-len(train.frame) // (taken * ROWS_MAX)))
    ended = left_out.rows[::every]
    goes_on = np.flatnonzero(~train.outcome.has_failed)[:: taken * every]
    some = train.take(goes_on)
    said = life_hours(catalog, life, some.frame, some.histories, mode=mode)
    rows = np.concatenate([ended, goes_on])
    order = np.argsort(rows)
    return rows[order], np.concatenate([left_out.life_hours[::every], said])[order]


def _choose_share(
    life: Life, failed: FloatArray, hours: FloatArray, outcome: Outcome, groups: IntArray
) -> float:
    """How much of the lives' shape does best; 0 unless it is surely better than none."""
    until = WATCHED * float(outcome.hours.max())
    losses = []
    for share in (0.0, *SHARES):
        said = quantiles_of(shaped_by_life(failed, life, hours, share=share))
        found = life_losses(
            outcome.hours, outcome.has_failed, said, shares=LIFE_SHARES, until_hours=until
        )
        losses.append(found.weight * found.loss)
    best = int(np.argmin([own.sum() for own in losses]))
    if best == 0 or not is_surely_positive(losses[0] - losses[best], groups):
        return 0.0
    return SHARES[best - 1]

"""Judges intervals of remaining life by a truth that goes on after the observation. Pure.

Who has only the observation can judge an interval that ends within it, and no other: the narrow ones, and those about
parts that are soon to fail. A simulator knows when each part fails also where nobody watches any longer, so here every
life that was told is judged.
"""

from collections.abc import Sequence

import msgspec
import numpy as np

from anomaly.backtest.track import STATUSES, Track
from anomaly.backtest.verdict import Question
from anomaly.forecaster import HORIZON_HOURS
from anomaly.judge.report import Figures, Table
from anomaly.judge.rows import LifeRows, joined_lives, life_figures, life_intervals
from anomaly.judge.told import Ground
from anomaly.learn.history import Catalog
from bench.evaluate.readers.fleet import Truth

_CLAIMS = [STATUSES.index(name) for name in ("ok", "declining")]


def with_true_lives(
    catalog: Catalog,
    table: Table,
    tracks: Sequence[Track],
    truths: Sequence[Truth],
    question: Question,
) -> Table:
    """Return a table in which every remaining life that was told is judged by the truth."""
    ground = Ground(
        catalog=catalog,
        histories=tuple(track.history for track in tracks),
        from_us=question.from_us,
        until_us=question.until_us,
        useful_hours=question.useful_hours,
        seed=question.seeds[0],
        draws=question.draws,
    )
    rows = {
        mode.mode: true_life_rows(catalog, tracks, truths, mode=mode.mode, question=question)
        for mode in table.modes
    }
    return msgspec.structs.replace(
        table,
        modes=tuple(
            msgspec.structs.replace(mode, reached=_judged(ground, mode.reached, rows[mode.mode]))
            for mode in table.modes
        ),
        total=_judged(ground, table.total, joined_lives(list(rows.values()))),
    )


def true_life_rows(
    catalog: Catalog,
    tracks: Sequence[Track],
    truths: Sequence[Truth],
    *,
    mode: str,
    question: Question,
) -> LifeRows:
    """Lay every life that was told of a failure mode beside the true one.

    What lies beyond `HORIZON_HOURS` is told as infinite; there truth and forecast are the same.
    """
    place = catalog.modes.index(mode)
    device, left, told = [], [], []
    for number, (track, truth) in enumerate(zip(tracks, truths, strict=True)):
        rows = (track.made_us > question.from_us) & (track.made_us <= question.until_us)
        rows &= np.isin(track.status[:, place], _CLAIMS)
        rows &= np.isfinite(track.life_hours[:, place, 0])
        device.append(np.full(int(rows.sum()), number))
        left.append(truth.left_hours(mode, track.made_us[rows]))
        told.append(track.life_hours[rows, place])
    return LifeRows(
        device=np.concatenate(device),
        truth=np.minimum(np.concatenate(left), HORIZON_HOURS),
        quantiles=np.minimum(np.concatenate(told), HORIZON_HOURS),
    )


def _judged(ground: Ground, figures: Figures, rows: LifeRows | None) -> Figures:
    if rows is None:
        return figures
    return msgspec.structs.replace(
        figures,
        life=life_figures(rows),
        intervals={**figures.intervals, **life_intervals(ground, rows)},
    )

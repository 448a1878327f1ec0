"""Makes the table: from histories, forecasts and alerts to figures with intervals, controls beside them. Pure.

`forecare backtest`, `forecare evaluate fleet` and the benchmarks of the learned layer print it, so that one
judge says how good forecasts are, whoever made them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from anomaly.judge.alerts import Judgement, judge, together
from anomaly.judge.bootstrap import Interval, intervals
from anomaly.judge.lives import watch_of
from anomaly.judge.report import Figures, ModeTable, Table
from anomaly.judge.rows import (
    HorizonRows,
    LifeRows,
    horizon_figures,
    horizon_intervals,
    horizon_rows,
    joined_horizons,
    joined_lives,
    life_figures,
    life_intervals,
    life_rows,
)
from anomaly.judge.tally import AlertFigures, tally
from anomaly.judge.told import US_PER_HOUR, Ground, Told
from anomaly.records import IntArray
from anomaly.runs import Rows

_DRAWN = (
    "event_recall", "alert_precision", "false_alarms_per_device_year", "lead_hours_median",
    "cost_per_device_year",
)  # fmt: skip
"""Alert figures that get an interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One failure mode of one forecaster, laid beside what happened."""

    told: Told
    judged: Judgement
    horizons: tuple[HorizonRows, ...]
    life: LifeRows | None


def make_table(
    ground: Ground, told: Sequence[Told], *, controls: Mapping[str, Sequence[Told]] | None = None
) -> Table:
    """Judge a forecaster on a product.

    Parameters
    ----------
    ground : Ground
        Histories with what really happened, and the part of time that counts.
    told : sequence of Told
        What was said, one per failure mode, at least one.
    controls : mapping of str to sequence of Told, optional
        The same of each control, in the order of `told` (`anomaly.judge.beside`).
    """
    cases = [_case(ground, one) for one in told]
    beside = {name: [_case(ground, one) for one in said] for name, said in (controls or {}).items()}
    modes = [
        ModeTable(
            mode=case.told.mode,
            lead_hours=case.judged.rule.lead_us / US_PER_HOUR,
            horizon_hours=case.judged.rule.horizon_us / US_PER_HOUR,
            reached=_reached(ground, case),
            controls={name: _figures(ground, [said[place]]) for name, said in beside.items()},
        )
        for place, case in enumerate(cases)
    ]
    return Table(
        product=ground.catalog.product.name,
        devices=len(ground.histories),
        from_us=ground.from_us,
        until_us=ground.until_us,
        seed=ground.seed,
        modes=tuple(modes),
        total=_total(ground, cases, modes),
        controls={name: _figures(ground, said) for name, said in beside.items()},
    )


def _case(ground: Ground, told: Told) -> _Case:
    claimed = Rows(device=told.device, at_us=told.at_us, score=told.probability[:, 0])
    watch = watch_of(claimed, every_us=ground.catalog.every_us)
    lives = ground.lives(told.mode)
    return _Case(
        told=told,
        judged=judge(told.runs, lives=lives, watch=watch, rule=ground.rule(told.mode)),
        horizons=horizon_rows(ground, told),
        life=life_rows(ground, told),
    )


def _figures(ground: Ground, cases: Sequence[_Case]) -> Figures:
    """Judge some failure modes together, without intervals."""
    life = joined_lives([case.life for case in cases])
    return Figures(
        alerts=_counted(ground, cases),
        horizons=tuple(
            horizon_figures(rows) for rows in joined_horizons([case.horizons for case in cases])
        ),
        life=None if life is None else life_figures(life),
    )


def _reached(ground: Ground, case: _Case) -> Figures:
    found = _alert_intervals(ground, [case])
    for rows in case.horizons:
        found |= horizon_intervals(ground, rows)
    if case.life is not None:
        found |= life_intervals(ground, case.life)
    return msgspec.structs.replace(_figures(ground, [case]), intervals=found)


def _total(ground: Ground, cases: Sequence[_Case], modes: Sequence[ModeTable]) -> Figures:
    if len(cases) == 1:
        return modes[0].reached
    found = _alert_intervals(ground, cases)
    for rows in joined_horizons([case.horizons for case in cases]):
        found |= horizon_intervals(ground, rows)
    life = joined_lives([case.life for case in cases])
    if life is not None:
        found |= life_intervals(ground, life)
    return msgspec.structs.replace(_figures(ground, cases), intervals=found)


def _counted(ground: Ground, cases: Sequence[_Case], drawn: IntArray | None = None) -> AlertFigures:
    """Alerts of some failure modes together; each mode's costs are its own."""
    joint = tally(
        together([case.judged for case in cases]), leads_hours=ground.leads_hours, drawn=drawn
    )
    own = [tally(case.judged, costs=ground.costs(case.told.mode), drawn=drawn) for case in cases]
    return msgspec.structs.replace(
        joint,
        cost_per_device_year=_added([one.cost_per_device_year for one in own]),
        cost_without=_added([one.cost_without for one in own]),
        cost_best=_added([one.cost_best for one in own]),
    )


def _alert_intervals(ground: Ground, cases: Sequence[_Case]) -> dict[str, Interval]:
    def figures(drawn: IntArray) -> dict[str, float | None]:
        found = _counted(ground, cases, drawn)
        return {name: getattr(found, name) for name in _DRAWN}

    return intervals(figures, devices=len(ground.histories), seed=ground.seed, times=ground.draws)


def _added(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None

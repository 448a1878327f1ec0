"""What others may call: look once a day whether a product's metrics and forecasts have drifted."""

from dataclasses import dataclass
from datetime import datetime

from anomaly.daily import claim_day, keep_day
from anomaly.drift import store
from anomaly.drift.calibration import Block, Calibration, blocks_until, weigh
from anomaly.drift.inputs import Kind, State, shift_of, state_of
from anomaly.drift.store import RECENT, Drift
from anomaly.drift.words import say_calibration, say_shift
from anomaly.explain import Patterns
from anomaly.features import Layout
from anomaly.laid_out import laid_out
from anomaly.rules.store import read_champions
from anomaly.store import ProductRow, read_baseline
from core.failpoint import failpoint
from core.pool import Connection
from core.product import FailureMode

States = dict[tuple[Kind, str], State]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftLook:
    """What one look did."""

    through: datetime
    """Event time, the end of a day."""
    drifted: tuple[str, ...]
    """Metrics and failure modes that had not drifted at the look before."""


def look_at_drift(connection: Connection, row: ProductRow, *, now: datetime) -> DriftLook | None:
    """Compare a product's last two weeks with what was learned, once for each day; the caller commits.

    Blocks of forecasts are judged once, when they are over, and kept; everything else is judged anew.
    """
    through = claim_day(connection, row, job="drift", now=now)
    if through is None:
        return None
    before = store.read_states(connection, product_id=row.id)
    seen = _inputs(connection, row, before, through=through)
    seen += _calibration(connection, row, through=through, now=now)
    fresh = []
    for drift in seen:
        store.keep_drift(connection, product_id=row.id, drift=drift, through=through, now=now)
        if drift.state == "drifted" and before.get((drift.kind, drift.name)) != "drifted":
            fresh.append(drift.name)
    keep_day(connection, product_id=row.id, job="drift", through=through, now=now)
    failpoint("anomaly.before_drift_commit")
    return DriftLook(through=through, drifted=tuple(fresh))


def _inputs(
    connection: Connection, row: ProductRow, before: States, *, through: datetime
) -> list[Drift]:
    pairs = store.read_pairs(connection, row, recent_from=through - RECENT, through=through)
    conditions = set(Layout(row.product).conditions)
    tolerated = _tolerated(connection, row)
    found = []
    for name, own in pairs.items():
        kind: Kind = "condition" if name in conditions else "metric"
        shift = shift_of(own)
        state = state_of(
            shift, before=before.get((kind, name)), metrics=len(pairs),
            tolerated=tolerated.get(name, 0.0),
        )  # fmt: skip
        figures: dict[str, float | int | str] = {}
        if shift is not None:
            figures = {
                "index": shift.index, "shift": shift.shift, "spread_ratio": shift.spread_ratio,
                "devices": shift.devices, "agree": shift.agree, "chance": shift.chance,
                "tolerated": tolerated.get(name, 0.0),
            }  # fmt: skip
        said = say_shift(
            row.product.metric(name), shift, state=state, is_condition=kind == "condition"
        )
        found.append(
            Drift(
                kind=kind, name=name, state=state, figure=shift.index if shift else None,
                figures=figures, sentences=said,
            )
        )  # fmt: skip
    return found


def _tolerated(connection: Connection, row: ProductRow) -> dict[str, float]:
    """Return how far each watched metric may move before scoring takes notice, in its unit."""
    layout = Layout(row.product)
    known = read_baseline(connection, product_id=row.id)
    if known is None:
        return {}
    allowed = Patterns(layout, laid_out(layout, known.baseline)).unmodelled
    return dict(zip(layout.watched, allowed.tolist(), strict=True))


def _calibration(
    connection: Connection, row: ProductRow, *, through: datetime, now: datetime
) -> list[Drift]:
    """Judge the blocks that have ended since, and weigh all of those who speak now."""
    known = store.read_blocks(connection, product_id=row.id)
    first = store.first_forecast(connection, product_id=row.id)
    last = max((block.at for blocks in known.values() for block in blocks), default=None)
    for at in blocks_until(first, through) if first is not None else ():
        if last is not None and at <= last:
            continue
        judged = store.judge_block(connection, product_id=row.id, at=at)
        store.add_blocks(connection, product_id=row.id, blocks=judged, now=now)
        for key, block in judged.items():
            known.setdefault(key, []).append(block)
    speaking = read_champions(connection, product_id=row.id)
    return [
        _of_mode(mode, known.get((mode.name, speaking.get(mode.name, 0)), []))
        for mode in row.product.failure_modes
    ]


def _of_mode(mode: FailureMode, blocks: list[Block]) -> Drift:
    found = weigh(blocks)
    return Drift(
        kind="calibration",
        name=mode.name,
        state="unclear" if found is None else "drifted" if found.has_drifted else "steady",
        figure=found.observed / found.expected if found and found.expected > 0 else None,
        figures=_figures(found),
        sentences=say_calibration(mode, found),
    )


def _figures(found: Calibration | None) -> dict[str, float | int | str]:
    if found is None:
        return {}
    return {
        "forecasts": found.forecasts, "expected": found.expected, "observed": found.observed,
        "evidence": found.evidence, "direction": found.direction,
    }  # fmt: skip

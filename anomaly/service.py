"""What others may call: score what is new, learn a product's baseline, tell how far scoring is."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from anomaly import store
from anomaly.baseline import Baseline, fit_baseline, learned_ranges
from anomaly.features import Layout, summarise
from anomaly.records import Samples
from anomaly.scorer import advance, read_from_us
from anomaly.state import DeviceState, first_state
from anomaly.yardstick import Yardstick
from core.failpoint import failpoint
from core.pool import Connection
from core.product import Product

DEVICES_PER_TURN = 16
"""Devices that are scored in one transaction."""
DUE_DEVICES_MAX = 50_000
SAMPLES_PER_STEP = 50_000
"""Samples of one device that are read at once; a longer history is taken in several steps."""
LEARNING_DEVICES_MAX = 60
LEARNING_SAMPLES_MAX = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What one transaction did."""

    devices: int = 0
    samples: int = 0
    windows: int = 0
    forecasts: int = 0
    raised: int = 0


def score_product(
    connection: Connection,
    row: store.ProductRow,
    *,
    now: datetime,
    looked_at: dict[int, int] | None = None,
) -> Turn:
    """Score what is new of up to `DEVICES_PER_TURN` devices; the caller commits.

    `looked_at` remembers between calls how far each device had been delivered when it was last
    looked at. Samples within a window change nothing by themselves, so nothing is written for
    them; they are read again when the window is whole.
    """
    looked_at = {} if looked_at is None else looked_at
    newest = store.read_baseline(connection, product_id=row.id)
    known = {newest.id: newest} if newest else {}
    layout = Layout(row.product)
    yardsticks: dict[int | None, Yardstick] = {}
    outputs: list[store.DeviceOutput] = []
    samples_total = 0
    due = store.read_due_devices(connection, product_id=row.id, limit=DUE_DEVICES_MAX)
    for progress in due:
        if len(outputs) == DEVICES_PER_TURN:
            break
        if looked_at.get(progress.device_id) == progress.through_us:
            continue
        claimed = store.claim_state(
            connection, device_id=progress.device_id, make=partial(begin, layout, progress)
        )
        if claimed is None:
            continue
        baseline_id, state = claimed
        if baseline_id is None and newest is not None:
            baseline_id = newest.id
        if baseline_id is not None and baseline_id not in known:
            found = store.read_baseline_by_id(connection, baseline_id=baseline_id)
            assert found is not None
            known[baseline_id] = found
        if baseline_id not in yardsticks:
            baseline = known[baseline_id].baseline if baseline_id is not None else None
            yardsticks[baseline_id] = Yardstick(layout, baseline)
        yard = yardsticks[baseline_id]
        through = next_through(yard, state, progress)
        if through == progress.through_us:
            looked_at[progress.device_id] = progress.through_us
        if through <= state.through_us:
            continue
        samples = store.read_samples(
            connection,
            layout,
            device_id=progress.device_id,
            from_us=read_from_us(yard, state, through_us=through),
            through_us=through,
        )
        services = store.read_services(connection, device_id=progress.device_id)
        taken = set(state.services)
        output = advance(yard, state, samples, through_us=through, services=services)
        fresh = [
            s for s in services if s.finding_id in state.services and s.finding_id not in taken
        ]
        store.add_labels(connection, device_id=progress.device_id, services=fresh, now=now)
        kept = baseline_id if state.phase == "scoring" else None
        store.keep_state(connection, device_id=progress.device_id, baseline_id=kept, state=state)
        outputs.append(
            store.DeviceOutput(device_id=progress.device_id, baseline_id=kept, output=output)
        )
        samples_total += len(samples.at_us)
    store.write_outputs(connection, outputs, now=now)
    failpoint("anomaly.before_commit")
    return Turn(
        devices=len(outputs),
        samples=samples_total,
        windows=sum(len(o.output.healths) for o in outputs),
        forecasts=sum(len(o.output.forecasts) for o in outputs),
        raised=sum(d.change == "raised" for o in outputs for d in o.output.detections),
    )


def begin(layout: Layout, progress: store.DeviceProgress) -> DeviceState:
    """Make the first state of a device."""
    return first_state(
        first_us=progress.first_us,
        window_us=layout.window_us,
        learning_us=_us(layout.product.learning),
    )


def next_through(yard: Yardstick, state: DeviceState, progress: store.DeviceProgress) -> int:
    """Return how far to go in this step: a limit on rows, and a wait for the product's baseline."""
    step = SAMPLES_PER_STEP * _us(yard.layout.product.interval)
    if state.phase == "learning":
        if not yard.can_score:
            return min(progress.through_us, state.learn_until_us - 1)
        # The learning time is read in one piece, however long it is.
        return min(progress.through_us, max(state.learn_until_us, state.through_us) + step)
    return min(progress.through_us, state.through_us + step)


def learn_product(
    connection: Connection, row: store.ProductRow, *, now: datetime, is_forced: bool = False
) -> Baseline | None:
    """Learn a product's baseline when its learning time has passed; the caller commits.

    Returns
    -------
    Baseline or None
        None while it is too early, or where devices follow themselves.
    """
    layout = Layout(row.product)
    if layout.follows:
        return None
    fleet = store.read_fleet_progress(connection, product_id=row.id)
    start, until = learning_span(row.product, fleet)
    if watermark(row.product, fleet) < until and not is_forced:
        return None
    samples = _learning_samples(connection, layout, fleet, start=start, until=until)
    ranges = learned_ranges(layout, samples)
    baseline = fit_baseline(
        layout, [summarise(layout, s, ranges=ranges) for s in samples], ranges=ranges
    )
    store.add_baseline(
        connection,
        product_id=row.id,
        baseline=baseline,
        from_us=start,
        through_us=until,
        now=now,
    )
    return baseline


def learning_span(product: Product, fleet: list[store.DeviceProgress]) -> tuple[int, int]:
    """From when to when a product is learned: from the time at which half of its devices report."""
    firsts = sorted(p.first_us for p in fleet)
    start = firsts[(len(firsts) - 1) // 2]
    return start, start + _us(product.learning)


def watermark(product: Product, fleet: list[store.DeviceProgress]) -> int:
    """Event time that the product's devices have in common, allowing for lateness."""
    through = [p.through_us for p in fleet]
    return max(min(through), max(through) - _us(product.late_after))


def _learning_samples(
    connection: Connection,
    layout: Layout,
    fleet: list[store.DeviceProgress],
    *,
    start: int,
    until: int,
) -> list[Samples]:
    """Read the learning time of a fair choice of devices, within a limit on rows."""
    able = [p for p in fleet if p.first_us < until and p.through_us > start]
    rows = _us(layout.product.learning) // max(_us(layout.product.interval), 1)
    number = int(min(len(able), LEARNING_DEVICES_MAX, max(1, LEARNING_SAMPLES_MAX // max(rows, 1))))
    chosen = [able[i * len(able) // number] for i in range(number)] if number else []
    return [
        store.read_samples(
            connection, layout, device_id=p.device_id, from_us=start, through_us=until - 1
        )
        for p in chosen
    ]


def _us(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)

"""What others may call: score what is new, learn a product's baseline, tell how far scoring is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from anomaly import store
from anomaly.baseline import Baseline, fit_baseline, learned_ranges
from anomaly.features import Layout, summarise
from anomaly.fleet_scorer import Path, Survey, conclude
from anomaly.laid_out import laid_out
from anomaly.learn.history import Catalog
from anomaly.life_store import read_corrections
from anomaly.packed import NEVER
from anomaly.precedent.service import Precedents, tell_precedents
from anomaly.records import FleetSamples, IntArray, Samples, ServiceEvent
from anomaly.result_store import CrowdOutput, DeviceOutput, write_results
from anomaly.sample_store import Stretch, read_fleet_samples, read_samples
from anomaly.scorer import advance, read_from_us
from anomaly.state import DeviceState
from anomaly.state_store import (
    Crowd,
    DeviceProgress,
    LayoutRow,
    PathWish,
    Single,
    claim_states,
    keep_crowd,
    keep_single,
    read_layout,
    read_paths,
)
from anomaly.training.live import Voices, speak_live
from anomaly.yardstick import Yardstick
from core.failpoint import failpoint
from core.pool import Connection
from core.product import Product
from core.units import US

DEVICES_PER_TURN = 5_000
"""Devices that are scored in one transaction, at most."""
SAMPLES_PER_TURN = 500_000
"""Samples that are read for one transaction, about: a turn is a second of work and 100 MB."""
DUE_DEVICES_MAX = 200_000
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


def together(turns: Sequence[Turn]) -> Turn:
    """Add up what several transactions did."""
    return Turn(
        devices=sum(turn.devices for turn in turns),
        samples=sum(turn.samples for turn in turns),
        windows=sum(turn.windows for turn in turns),
        forecasts=sum(turn.forecasts for turn in turns),
        raised=sum(turn.raised for turn in turns),
    )


def score_product(
    connection: Connection,
    row: store.ProductRow,
    *,
    now: datetime,
    looked_at: dict[int, int] | None = None,
    voices: Voices | None = None,
) -> Turn:
    """Score what is new of a product's devices, as much as one turn takes; the caller commits."""
    looked_at = {} if looked_at is None else looked_at
    due = read_due(connection, row, looked_at=looked_at)
    devices = next_devices(row.product, due)
    return score_devices(connection, row, devices, now=now, looked_at=looked_at, voices=voices)


def read_due(
    connection: Connection, row: store.ProductRow, *, looked_at: dict[int, int]
) -> list[DeviceProgress]:
    """Find devices whose stream goes on beyond what was scored, those furthest behind first.

    `looked_at` remembers how far each device had been delivered when there was nothing to do for it yet.
    """
    due = store.read_due_devices(connection, product_id=row.id, limit=DUE_DEVICES_MAX)
    return [d for d in due if looked_at.get(d.device_id) != d.through_us]


def next_devices(product: Product, due: list[DeviceProgress]) -> list[DeviceProgress]:
    """Take as many devices off the front of `due` as make one turn."""
    number = samples = 0
    for progress in due[:DEVICES_PER_TURN]:
        if number and samples >= SAMPLES_PER_TURN:
            break
        since = progress.first_us if progress.scored_us is None else progress.scored_us
        samples += min(SAMPLES_PER_STEP, (progress.through_us - since) // _interval_us(product) + 1)
        number += 1
    taken = due[:number]
    del due[:number]
    return taken


def score_devices(  # noqa: PLR0913 - one turn, named
    connection: Connection,
    row: store.ProductRow,
    devices: Sequence[DeviceProgress],
    *,
    now: datetime,
    looked_at: dict[int, int],
    voices: Voices | None = None,
    precedents: Precedents | None = None,
) -> Turn:
    """Score what is new of some devices, and let learned models speak about it; the caller commits.

    Devices that another scorer has are left out. A crash before the COMMIT leaves nothing behind: the
    states stay what they were, and all of it is done again.
    """
    if not devices:
        return Turn()
    kind = read_layout(connection, product_id=row.id, layout=Layout(row.product))
    turn = _Turn(
        connection=connection,
        kind=kind,
        yards=_Yards(connection, kind.layout, store.read_baseline(connection, product_id=row.id)),
        looked_at=looked_at,
        now=now,
    )
    claimed = claim_states(connection, kind, devices)
    ids = [single.progress.device_id for single in claimed.singles]
    ids += [progress.device_id for crowd in claimed.crowds for progress in crowd.progress]
    services = store.read_services(connection, device_ids=ids)
    crowds = [turn.score_crowd(crowd, services) for crowd in claimed.crowds]
    outputs = turn.score_singles(claimed.singles, services)
    done = [crowd for crowd in crowds if crowd is not None]
    since_us = min(p.first_us if p.scored_us is None else p.scored_us for p in devices)
    write_results(
        connection,
        kind,
        devices=outputs,
        crowds=done,
        corrections=read_corrections(connection, product_id=row.id, since_us=since_us),
        now=now,
    )
    scored = [output.device_id for output in outputs]
    scored += [device_id for crowd in done for device_id in crowd.device_ids.tolist()]
    catalog = Catalog(row.product)
    speak_live(
        connection,
        catalog=catalog,
        roles=(voices or Voices()).of(connection, row.id, catalog),
        device_ids=scored,
        since_us=since_us,
        now=now,
    )
    known = (precedents or Precedents()).of(connection, row.id)
    tell_precedents(connection, known=known, device_ids=scored, since_us=since_us, now=now)
    failpoint("anomaly.before_commit")
    return _counted(outputs, done, samples=turn.samples)


def _counted(
    outputs: Sequence[DeviceOutput], crowds: Sequence[CrowdOutput], *, samples: int
) -> Turn:
    told = [o.output for o in outputs] + [o for c in crowds for o in c.output.told.values()]
    modes = [len(crowd.yard.layout.modes) for crowd in crowds]
    quiet = [len(crowd.output.forecasts.owner) for crowd in crowds]
    return Turn(
        devices=len(outputs) + sum(len(crowd.device_ids) for crowd in crowds),
        samples=samples,
        windows=sum(len(o.windows) for o in told) + sum(len(c.output.rows.at_us) for c in crowds),
        forecasts=sum(len(o.forecasts) for o in told)
        + sum(n * m for n, m in zip(quiet, modes, strict=True)),
        raised=sum(d.change == "raised" for o in told for d in o.detections),
    )


class _Yards:
    """What devices are measured against: by the baseline that they began with."""

    def __init__(
        self, connection: Connection, layout: Layout, newest: store.BaselineRow | None
    ) -> None:
        self._connection = connection
        self._layout = layout
        self.newest_id = newest.id if newest else None
        baseline = laid_out(layout, newest.baseline) if newest else None
        self._made = {self.newest_id: Yardstick(layout, baseline)}

    def get(self, baseline_id: int | None) -> Yardstick:
        if baseline_id is None and self._layout.follows:
            return self._made.setdefault(None, Yardstick(self._layout, None))
        if baseline_id not in self._made:
            assert baseline_id is not None
            found = store.read_baseline_by_id(self._connection, baseline_id=baseline_id)
            assert found is not None
            baseline = laid_out(self._layout, found.baseline)
            self._made[baseline_id] = Yardstick(self._layout, baseline)
        return self._made[baseline_id]


@dataclass(kw_only=True)
class _Turn:
    """One transaction on its way."""

    connection: Connection
    kind: LayoutRow
    yards: _Yards
    looked_at: dict[int, int]
    now: datetime
    samples: int = 0

    def score_crowd(
        self, crowd: Crowd, services: dict[int, list[ServiceEvent]]
    ) -> CrowdOutput | None:
        """Score devices that share a baseline, and keep their states."""
        yard = self.yards.get(crowd.baseline_id)
        step = SAMPLES_PER_STEP * _interval_us(yard.layout.product)
        scored = crowd.states.records["through_us"]
        delivered = np.array([p.through_us for p in crowd.progress], dtype=np.int64)
        through = np.minimum(delivered, scored + step)
        for device, goal in zip(crowd.progress, through.tolist(), strict=True):
            if goal == device.through_us:
                self.looked_at[device.device_id] = goal
        able = np.flatnonzero(through > scored).tolist()
        if not able:
            return None
        progress = [crowd.progress[place] for place in able]
        crowd = replace(crowd, progress=progress, states=crowd.states.of(able))
        survey = Survey(
            yard=yard,
            states=crowd.states,
            samples=self._read_crowd(crowd, through[able]),
            through_us=through[able],
            services={
                place: services[p.device_id]
                for place, p in enumerate(progress)
                if p.device_id in services
            },
        )
        output = conclude(survey, self._paths(crowd, survey))
        keep_crowd(self.connection, self.kind, crowd)
        for place, fresh in output.fresh.items():
            self._label(progress[place].device_id, fresh, survey.services.get(place, ()))
        ids = np.array([p.device_id for p in progress], dtype=np.int64)
        return CrowdOutput(device_ids=ids, baseline_id=crowd.baseline_id, yard=yard, output=output)

    def _read_crowd(self, crowd: Crowd, through: IntArray) -> FleetSamples:
        records = crowd.states.records
        first = np.minimum(records["windows_us"], records["through_us"] + 1)
        if self.kind.names.follows:
            until, since = records["anew_until_us"], records["anew_from_us"]
            is_due = (until != NEVER) & (until <= through[:, None])
            first = np.minimum(first, np.where(is_due, since, first[:, None]).min(axis=1))
        samples = read_fleet_samples(
            self.connection,
            self.kind.layout,
            [
                Stretch(device_id=p.device_id, from_us=from_us, through_us=through_us)
                for p, from_us, through_us in zip(
                    crowd.progress, first.tolist(), through.tolist(), strict=True
                )
            ],
        )
        self.samples += len(samples.at_us)
        return samples

    def _paths(self, crowd: Crowd, survey: Survey) -> dict[int, dict[str, Path]]:
        places = survey.wants_path
        since = crowd.states.records["mode_path_from_us"]
        wishes = [
            PathWish(
                device_id=crowd.progress[place].device_id,
                mode=mode,
                from_us=None if since[place, number] == NEVER else int(since[place, number]),
            )
            for place in places
            for number, mode in enumerate(self.kind.layout.modes)
        ]
        found = read_paths(self.connection, wishes)
        return {place: found.get(crowd.progress[place].device_id, {}) for place in places}

    def score_singles(
        self, singles: Iterable[Single], services: dict[int, list[ServiceEvent]]
    ) -> list[DeviceOutput]:
        """Score devices one by one, as many as the turn has room for; the others stay due."""
        goals: list[tuple[Single, Yardstick, int]] = []
        stretches: list[Stretch] = []
        planned = self.samples
        for single in singles:
            follows = self.kind.names.follows
            yard = self.yards.get(None if follows else single.baseline_id or self.yards.newest_id)
            progress, state = single.progress, single.state
            through = next_through(yard, state, progress)
            if through == progress.through_us:
                self.looked_at[progress.device_id] = through
            if through <= state.through_us:
                continue
            from_us = read_from_us(yard, state, through_us=through)
            planned += (through - from_us) // _interval_us(yard.layout.product)
            if goals and planned > SAMPLES_PER_TURN:
                self.looked_at.pop(progress.device_id, None)
                break
            goals.append((single, yard, through))
            stretches.append(
                Stretch(device_id=progress.device_id, from_us=from_us, through_us=through)
            )
        samples = read_fleet_samples(self.connection, self.kind.layout, stretches)
        self.samples += len(samples.at_us)
        self._lay_down_paths(goals)
        return [
            self._score_single(
                single,
                yard,
                samples.of(place),
                through,
                services.get(single.progress.device_id, []),
            )
            for place, (single, yard, through) in enumerate(goals)
        ]

    def _lay_down_paths(self, goals: Sequence[tuple[Single, Yardstick, int]]) -> None:
        """Give devices that are being scored their paths back."""
        scoring = {
            single.progress.device_id: single.state
            for single, _, _ in goals
            if single.state.phase == "scoring" and not single.traces
        }
        wishes = [
            PathWish(device_id=device_id, mode=name, from_us=own.path_from_us)
            for device_id, state in scoring.items()
            for name, own in state.modes.items()
        ]
        for device_id, paths in read_paths(self.connection, wishes).items():
            for name, (at_us, sizes) in paths.items():
                scoring[device_id].modes[name].path_us = at_us
                scoring[device_id].modes[name].path = sizes

    def _score_single(
        self,
        single: Single,
        yard: Yardstick,
        samples: Samples,
        through_us: int,
        services: Sequence[ServiceEvent],
    ) -> DeviceOutput:
        state, device_id = single.state, single.progress.device_id
        number = len(state.services)
        output = advance(yard, state, samples, through_us=through_us, services=services)
        output.traces[:0] = single.traces
        self._label(device_id, state.services[number:], services)
        baseline_id = single.baseline_id or self.yards.newest_id
        measures = state.phase == "scoring" and not yard.layout.follows
        kept = baseline_id if measures else None
        keep_single(self.connection, self.kind, device_id=device_id, baseline_id=kept, state=state)
        return DeviceOutput(device_id=device_id, baseline_id=kept, output=output)

    def _label(
        self, device_id: int, fresh: Sequence[int], services: Sequence[ServiceEvent]
    ) -> None:
        taken = [service for service in services if service.finding_id in set(fresh)]
        store.add_labels(self.connection, device_id=device_id, services=taken, now=self.now)


def next_through(yard: Yardstick, state: DeviceState, progress: DeviceProgress) -> int:
    """Return how far to go in this step: a limit on rows, and a wait for the product's baseline."""
    step = SAMPLES_PER_STEP * _interval_us(yard.layout.product)
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


def learning_span(product: Product, fleet: list[DeviceProgress]) -> tuple[int, int]:
    """From when to when a product is learned: from the time at which half of its devices report."""
    firsts = sorted(p.first_us for p in fleet)
    start = firsts[(len(firsts) - 1) // 2]
    return start, start + _us(product.learning)


def watermark(product: Product, fleet: list[DeviceProgress]) -> int:
    """Event time that the product's devices have in common, allowing for lateness."""
    through = [p.through_us for p in fleet]
    return max(min(through), max(through) - _us(product.late_after))


def _learning_samples(
    connection: Connection,
    layout: Layout,
    fleet: list[DeviceProgress],
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
        read_samples(connection, layout, device_id=p.device_id, from_us=start, through_us=until - 1)
        for p in chosen
    ]


def _us(duration: timedelta) -> int:
    return duration // US


def _interval_us(product: Product) -> int:
    return max(1, _us(product.interval))

"""Lays replayed forecasts before what opens tickets, and its tickets out as columns for the judge. Pure."""

from collections.abc import Mapping, Sequence

import numpy as np

from anomaly.backtest.track import Track
from anomaly.judge.told import Ground
from anomaly.learn.history import Catalog, History
from anomaly.records import LIFE_SHARES
from anomaly.runs import STILL_OPEN, Runs
from core.tickets import Decider, ForecastRows, TicketPolicy, TicketSpan, Visit

_QUANTILES = [LIFE_SHARES.index(share) for share in (0.1, 0.5, 0.9)]


def tickets_of(
    decider: Decider, ground: Ground, tracks: Sequence[Track], *, policy: TicketPolicy
) -> dict[str, Runs]:
    """Return the tickets that the judged forecasts would have opened, by failure mode.

    It begins anew with the judged time, as if nobody had been warned before. Devices are numbered as their tracks are.
    """
    catalog = ground.catalog
    spans = [
        decider.tickets(catalog.product, _rows(ground, track), policy=policy) for track in tracks
    ]
    by_mode: Mapping[str, list[tuple[int, TicketSpan]]] = {mode: [] for mode in catalog.modes}
    for device, own in enumerate(spans):
        for span in own:
            by_mode[span.failure_mode].append((device, span))
    return {mode: _runs(found) for mode, found in by_mode.items()}


def _rows(ground: Ground, track: Track) -> ForecastRows:
    chosen = (track.made_us > ground.from_us) & (track.made_us <= ground.until_us)
    return ForecastRows(
        at_us=track.made_us[chosen],
        status=track.status[chosen],
        p_fail=track.p_fail[chosen],
        life_hours=track.life_hours[chosen][:, :, _QUANTILES],
        visits=[v for v in _visits(ground.catalog, track.history) if v.at_us > ground.from_us],
    )


def _visits(catalog: Catalog, history: History) -> list[Visit]:
    """Visits as they were: what was replaced, and where no fault was found."""
    modes_of: dict[int, tuple[str, ...]] = {}
    for mode in catalog.product.failure_modes:
        place = catalog.components.index(mode.component)
        modes_of[place] = (*modes_of.get(place, ()), mode.name)
    replaced = zip(history.service_us.tolist(), history.service_component.tolist(), strict=True)
    doubts = zip(history.doubt_us.tolist(), history.doubt_mode.tolist(), strict=True)
    found = [
        *(Visit(at_us=at, failure_modes=modes_of[c], verdict="confirmed") for at, c in replaced),
        *(
            Visit(at_us=at, failure_modes=(catalog.modes[m],), verdict="no_fault_found")
            for at, m in doubts
        ),
    ]
    return sorted(found, key=lambda visit: visit.at_us)


def _runs(found: Sequence[tuple[int, TicketSpan]]) -> Runs:
    columns = np.array(
        sorted(
            (device, s.opened_us, STILL_OPEN if s.cleared_us is None else s.cleared_us)
            for device, s in found
        ),
        dtype=np.int64,
    ).reshape(-1, 3)
    return Runs(
        device=columns[:, 0],
        opened_us=columns[:, 1],
        cleared_us=columns[:, 2],
        row=np.full(len(columns), -1, dtype=np.int64),  # many rows led to it
    )

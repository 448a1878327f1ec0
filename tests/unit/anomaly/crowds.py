"""Scores fleets of the bench's devices side by side, and says what came out device by device."""

from collections.abc import Mapping, Sequence

import numpy as np

from anomaly.fleet_scorer import FleetOutput, Path, Survey, conclude
from anomaly.forecaster import base_outlook
from anomaly.packed import NEVER, Names, PackedStates, packed_states
from anomaly.records import (
    FleetSamples,
    Forecast,
    Output,
    Samples,
    Scored,
    ServiceEvent,
    Trace,
    side_by_side,
)
from anomaly.report import FAILURES_PER_YEAR, quiet_evidence
from anomaly.scorer import advance, read_from_us
from anomaly.state import DeviceState
from anomaly.yardstick import Yardstick
from tests.unit.anomaly.bench import YARD, begin


def together(parts: Sequence[Samples]) -> FleetSamples:
    counts = [len(part.at_us) for part in parts]
    values = np.concatenate([part.values for part in parts])
    return FleetSamples(
        owner=np.repeat(np.arange(len(parts)), counts),
        at_us=np.concatenate([part.at_us for part in parts]),
        values=side_by_side(list(values.T), rows=len(values)),
    )


def score_fleet(
    fleet: Sequence[Samples],
    *,
    cuts: Sequence[Sequence[int]],
    services: Sequence[Sequence[ServiceEvent]],
    yard: Yardstick = YARD,
) -> tuple[list[Output], int]:
    """Score a fleet in rounds, each up to its devices' cuts; the states go through bytes between rounds.

    Returns
    -------
    what came out of each device, and how many rounds of devices had nothing to tell
    """
    outputs = [Output() for _ in fleet]
    states = [begin(yard, first_us=int(samples.at_us[0])) for samples in fleet]
    quiet = 0
    for round_ in range(max(len(c) for c in cuts)):
        through = [int(c[min(round_, len(c) - 1)]) for c in cuts]
        through = [max(t, s.through_us) for t, s in zip(through, states, strict=True)]
        ready = [i for i, state in enumerate(states) if state.phase == "scoring"]
        for place in sorted(set(range(len(fleet))) - set(ready)):
            if through[place] > states[place].through_us:
                from_us = read_from_us(yard, states[place], through_us=through[place])
                part = fleet[place].between(from_us, through[place] + 1)
                _add(
                    outputs[place],
                    advance(
                        yard, states[place], part,
                        through_us=through[place], services=services[place],
                    ),
                )  # fmt: skip
        if ready:
            quiet += _round(fleet, states, ready, through, services, outputs, yard)
    return outputs, quiet


def _round(fleet, states, ready, through, services, outputs, yard) -> int:
    packed = packed_states(Names.of(yard.layout), [states[i] for i in ready])
    kept = PackedStates(
        names=packed.names,
        records=np.frombuffer(packed.records.tobytes(), dtype=packed.names.dtype).copy(),
        rest=packed.rest,
    )
    parts = [
        fleet[i].between(read_from_us(yard, states[i], through_us=through[i]), through[i] + 1)
        for i in ready
    ]
    survey = Survey(
        yard=yard,
        states=kept,
        samples=together(parts),
        through_us=np.array([through[i] for i in ready]),
        services={place: services[i] for place, i in enumerate(ready) if services[i]},
    )
    paths = {
        place: _path(states[ready[place]], outputs[ready[place]]) for place in survey.wants_path
    }
    output = conclude(survey, paths)
    for place, i in enumerate(ready):
        _add(outputs[i], told(yard, output, place))
        states[i] = kept.get(place)
    return int((~survey.is_loud).sum())


def _path(state: DeviceState, output: Output) -> Mapping[str, Path]:
    """Read a path back from what was written, as the store does."""
    found = {}
    for place, (name, own) in enumerate(state.modes.items()):
        least = own.path_from_us if own.path_from_us is not None else 0
        kept = [t for t in output.traces if t.at_us >= least and t.sizes[place] is not None][-240:]
        found[name] = [t.at_us for t in kept], [t.sizes[place] for t in kept]
    return found


def told(yard: Yardstick, output: FleetOutput, place: int) -> Output:
    """Everything about one device, in the form in which a single one is told."""
    if place in output.told:
        return output.told[place]
    found = Output()
    rows = output.rows
    for row in np.flatnonzero(rows.owner == place):
        found.windows.append(
            Scored(
                at_us=int(rows.at_us[row]),
                measured=_values(rows.measured[row]),
                expected=_values(rows.expected[row]),
                spread=_values(np.broadcast_to(rows.spread, rows.score.shape)[row]),
                score=_values(rows.score[row]),
                health=_values(rows.health[row]),
                wear_score=_values(rows.wear_score[row]),
            )
        )
    quiet = output.forecasts
    for row in np.flatnonzero(quiet.owner == place):
        at_us = int(quiet.at_us[row])
        if not quiet.is_silent[row]:
            found.traces.append(Trace(at_us=at_us, sizes=_values(quiet.sizes[row])))
        for number, mode in enumerate(yard.layout.product.failure_modes):
            serviced_us = int(quiet.serviced_us[row, number])
            found.forecasts.append(
                Forecast(
                    failure_mode=mode.name,
                    made_us=at_us,
                    status="no_data" if quiet.is_silent[row] else "ok",
                    health_index=1.0,
                    outlook=base_outlook(FAILURES_PER_YEAR),
                    evidence=quiet_evidence(
                        yard, mode, outside=quiet.outside[row].tolist(),
                        serviced_us=None if serviced_us == NEVER else serviced_us,
                    ),
                )
            )  # fmt: skip
    return found


def _values(row) -> tuple[float | None, ...]:
    return tuple(None if value != value else value for value in row.tolist())


def _add(whole: Output, part: Output) -> None:
    for name in Output.__slots__:
        getattr(whole, name).extend(getattr(part, name))

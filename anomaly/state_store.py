"""Claims, reads and keeps the scorer's states, of many devices with one query each. Never commits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from psycopg.types.json import Jsonb

from anomaly.evidence import instant
from anomaly.features import Layout
from anomaly.packed import Names, PackedStates, Rest, packed, renamed, unpacked
from anomaly.records import Trace
from anomaly.state import DeviceState, ModeState, first_state, state_from_json, state_to_builtins
from core.pool import Connection
from core.sql import Queries
from core.units import US

_queries = Queries("anomaly")
PATH_MAX = 240
_FORGOTTEN = ("windows", "path", "detections", "forecasts", "life_memory")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceProgress:
    device_id: int
    first_us: int
    through_us: int
    scored_us: int | None = None
    """How far it was scored; None: not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutRow:
    """A layout with the number under which arrays of it are stored."""

    id: int
    layout: Layout
    names: Names


@dataclass(frozen=True, slots=True, kw_only=True)
class Single:
    """A device whose state is not packed: it is learning, or follows a lone metric, or is in an older form."""

    progress: DeviceProgress
    baseline_id: int | None
    state: DeviceState
    traces: Sequence[Trace] = ()
    """A path that was stored with the state, in an older form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """Devices with packed states that share a baseline, or follow themselves."""

    baseline_id: int | None
    progress: Sequence[DeviceProgress]
    states: PackedStates


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """What this transaction has locked."""

    singles: Sequence[Single]
    crowds: Sequence[Crowd]


def read_layout(connection: Connection, *, product_id: int, layout: Layout) -> LayoutRow:
    """Find the number of a layout, or give it one."""
    names = Names.of(layout)
    values = {"product_id": product_id, **msgspec.structs.asdict(names)}
    lists = {key: list(v) if isinstance(v, tuple) else v for key, v in values.items()}
    row = connection.execute(_queries["find_layout"], lists).fetchone()
    if row is None:
        connection.execute(_queries["add_layout"], lists)
        row = connection.execute(_queries["find_layout"], lists).fetchone()
    assert row is not None
    return LayoutRow(id=row[0], layout=layout, names=names)


def claim_states(
    connection: Connection, kind: LayoutRow, devices: Sequence[DeviceProgress]
) -> Claimed:
    """Lock devices for this transaction; those that another scorer has are left out.

    A device without a state begins anew, and nothing of an earlier start stays.
    """
    by_id = {progress.device_id: progress for progress in devices}
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(_queries["claim_states"], {"ids": list(by_id)}).fetchall()
    others = {row[2] for row in rows if row[3] is not None} - {kind.id}
    layouts = read_layouts(connection, sorted(others))
    singles: list[Single] = []
    packed_rows: dict[int | None, list[tuple[DeviceProgress, bytes, Rest | None]]] = {}
    for device_id, baseline_id, layout_id, numbers, state in rows:
        progress = by_id[device_id]
        if numbers is None:
            singles.append(_single(kind, progress, baseline_id, state))
            continue
        rest = msgspec.convert(state, Rest) if state else None
        if (baseline_id is None) != kind.names.follows:
            old = layouts.get(layout_id, kind.names)
            again = _learns_again(kind, old, numbers, rest)
            singles.append(Single(progress=progress, baseline_id=None, state=again))
            continue
        kept = numbers, rest
        if layout_id != kind.id:
            old = msgspec.structs.replace(layouts[layout_id], follows=baseline_id is None)
            kept = _laid_out_anew(old, kind.names, numbers, rest)
        packed_rows.setdefault(baseline_id, []).append((progress, *kept))
    unknown = [p for p in devices if p.scored_us is None]
    locked = {row[0] for row in rows}
    singles += _begin(connection, kind, [p for p in unknown if p.device_id not in locked])
    return Claimed(
        singles=singles,
        crowds=[_crowd(kind, number, found) for number, found in packed_rows.items()],
    )


def _crowd(
    kind: LayoutRow,
    baseline_id: int | None,
    rows: Sequence[tuple[DeviceProgress, bytes, Rest | None]],
) -> Crowd:
    together = b"".join(numbers for _, numbers, _ in rows)
    records = np.frombuffer(together, dtype=kind.names.dtype).copy()
    rest = {place: row[2] for place, row in enumerate(rows) if row[2] is not None}
    return Crowd(
        baseline_id=baseline_id,
        progress=[progress for progress, _, _ in rows],
        states=PackedStates(names=kind.names, records=records, rest=rest),
    )


def _single(
    kind: LayoutRow, progress: DeviceProgress, baseline_id: int | None, value: object
) -> Single:
    state = state_from_json(value)
    instants = sorted({at for mode in state.modes.values() for at in mode.path_us})
    known = [
        dict(zip(own.path_us, own.path, strict=True))
        for own in (state.modes.get(name, ModeState()) for name in kind.layout.modes)
    ]
    traces = [Trace(at_us=at, sizes=tuple(sizes.get(at) for sizes in known)) for at in instants]
    return Single(progress=progress, baseline_id=baseline_id, state=state, traces=traces)


def _begin(
    connection: Connection, kind: LayoutRow, devices: Sequence[DeviceProgress]
) -> list[Single]:
    product = kind.layout.product
    found = []
    for progress in devices:
        state = first_state(
            first_us=progress.first_us,
            window_us=kind.layout.window_us,
            learning_us=product.learning // US,
        )
        key = {"device_id": progress.device_id, "scored_through": instant(state.through_us)}
        made = connection.execute(_queries["make_state"], key | {"state": _json(state)})
        if made.rowcount == 0:
            continue
        found.append(Single(progress=progress, baseline_id=None, state=state))
    for name in _FORGOTTEN if found else ():
        ids = [single.progress.device_id for single in found]
        connection.execute(_queries[f"forget_{name}"], {"ids": ids})
    return found


def read_layouts(connection: Connection, ids: Sequence[int]) -> Mapping[int, Names]:
    """Read what the places of arrays stand for, by number."""
    if not ids:
        return {}
    rows = connection.execute(_queries["layouts"], {"ids": list(ids)}).fetchall()
    return {
        row[0]: Names(
            measured=tuple(row[1]), watched=tuple(row[2]), conditions=tuple(row[3]), modes=tuple(row[4])
        )
        for row in rows
    }  # fmt: skip


def _laid_out_anew(
    old: Names, new: Names, numbers: bytes, rest: Rest | None
) -> tuple[bytes, Rest | None]:
    """Read a record by the names it was written with, and write it with those of today."""
    state = renamed(old, new, unpacked(old, np.frombuffer(numbers, dtype=old.dtype)[0], rest))
    record, kept = packed(new, state)
    return record.tobytes(), kept


def _learns_again(kind: LayoutRow, old: Names, numbers: bytes, rest: Rest | None) -> DeviceState:
    """Begin to learn anew: by its sheet, the product's devices are no longer compared with what they were."""
    names = msgspec.structs.replace(old, follows=not kind.names.follows)
    before = unpacked(names, np.frombuffer(numbers, dtype=names.dtype)[0], rest)
    state = first_state(
        first_us=before.through_us + 1,
        window_us=kind.layout.window_us,
        learning_us=kind.layout.product.learning // US,
    )
    state.fault_code, state.services = before.fault_code, before.services
    return state


def keep_crowd(
    connection: Connection, kind: LayoutRow, crowd: Crowd, *, places: Sequence[int] | None = None
) -> None:
    """Keep the states of a crowd with one query; of some places only, if given."""
    chosen = range(len(crowd.progress)) if places is None else places
    records = crowd.states.records[list(chosen)]
    rest = [
        (n, crowd.states.rest[place])
        for n, place in enumerate(chosen)
        if place in crowd.states.rest
    ]
    connection.execute(
        _queries["keep_states"],
        {
            "ids": [crowd.progress[place].device_id for place in chosen],
            "numbers": records.tobytes(),
            "width": records.dtype.itemsize,
            "scored_us": records["through_us"].tolist(),
            "forecast_us": records["forecast_us"].tolist(),
            "layout_id": kind.id,
            "baseline_id": crowd.baseline_id,
            "rest_places": [n + 1 for n, _ in rest],
            "rests": [msgspec.json.encode(value).decode() for _, value in rest],
        },
    )  # fmt: skip


def keep_single(
    connection: Connection,
    kind: LayoutRow,
    *,
    device_id: int,
    baseline_id: int | None,
    state: DeviceState,
) -> None:
    """Keep one state: packed as soon as the device is scored, whole while it learns or has a lone metric."""
    values: dict[str, object] = {
        "device_id": device_id,
        "baseline_id": baseline_id,
        "scored_through": instant(state.through_us),
        "forecast_through": instant(state.forecast_us),
        "layout_id": kind.id,
        "numbers": None,
        "state": _json(state),
    }  # fmt: skip
    if state.phase == "scoring" and (baseline_id is not None or _is_packed(kind, state)):
        record, rest = packed(kind.names, state)
        values |= {
            "numbers": record.tobytes(),
            "state": Jsonb(msgspec.to_builtins(rest) if rest else {}),
        }
    connection.execute(_queries["keep_state"], values)


def _is_packed(kind: LayoutRow, state: DeviceState) -> bool:
    """Whether a device that follows itself has a record of fixed width."""
    return kind.names.follows and state.detector is not None and not state.detector.rarities_


def _json(state: DeviceState) -> Jsonb:
    """Without the paths, which have a table of their own."""
    modes = {
        name: msgspec.structs.replace(own, path_us=[], path=[]) for name, own in state.modes.items()
    }
    return Jsonb(state_to_builtins(msgspec.structs.replace(state, modes=modes)))


@dataclass(frozen=True, slots=True, kw_only=True)
class PathWish:
    """A path that is needed."""

    device_id: int
    mode: str
    from_us: int | None
    """What was before belongs to another part."""


def read_paths(
    connection: Connection, wishes: Sequence[PathWish]
) -> dict[int, dict[str, tuple[list[int], list[float]]]]:
    """Read the newest values of some paths: by device and failure mode, oldest first."""
    found: dict[int, dict[str, tuple[list[int], list[float]]]] = {}
    if not wishes:
        return found
    rows = connection.execute(
        _queries["paths"],
        {
            "ids": [w.device_id for w in wishes],
            "modes": [w.mode for w in wishes],
            "from_us": [w.from_us or 0 for w in wishes],
            "limit": PATH_MAX,
        },
    )
    for device_id, mode, at_us, size in rows:
        at, sizes = found.setdefault(device_id, {}).setdefault(mode, ([], []))
        at.append(at_us)
        sizes.append(size)
    return found


def add_crowd(connection: Connection, kind: LayoutRow, crowd: Crowd) -> None:
    """Let devices that have no state begin with these: learned elsewhere, as a bench does."""
    connection.execute(
        _queries["add_states"],
        {
            "ids": [progress.device_id for progress in crowd.progress],
            "through": [instant(at) for at in crowd.states.through_us.tolist()],
        },
    )
    keep_crowd(connection, kind, crowd)

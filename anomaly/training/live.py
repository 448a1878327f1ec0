"""Lets champions speak about what has just been scored, and writes down what those in shadow would say.

Part of the transaction that writes the first layer's forecasts: a crash in between leaves neither.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
from psycopg.types.json import Jsonb

from anomaly import evidence as words
from anomaly.learn.fits import lost
from anomaly.learn.frame import make_frame
from anomaly.learn.history import Catalog, History
from anomaly.learn.outlook import outlook_rows
from anomaly.learn.reach import codes_needed, windows_needed
from anomaly.learn.remaining import PartMemory, part_at, part_begins_us
from anomaly.learn.store import Reach, read_recent
from anomaly.records import FloatArray
from anomaly.training import store
from anomaly.training.records import KeptModel, Role
from anomaly.training.speaker import SIGN, go_on, look
from core.log import get_logger
from core.pool import Connection
from core.product import Product
from core.sql import Queries
from core.units import EPOCH, US

_queries = Queries("anomaly")
_log = get_logger("anomaly")
_MONTH_DAYS = 30
Roles = Mapping[Role, Mapping[str, KeptModel]]
_Pair = tuple[int, int]
"""A device and a model, by their numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fresh:
    """A forecast of the first layer, written in this transaction."""

    id: int
    device_id: int
    failure_mode: str
    made_us: int
    status: str
    evidence: dict[str, Any]


def speak_live(  # noqa: PLR0913 - one turn, named
    connection: Connection,
    *,
    catalog: Catalog,
    roles: Roles,
    device_ids: Sequence[int],
    since_us: int,
    now: datetime,
) -> int:
    """Put learned outlooks in the place of the first layer's; the caller commits.

    Parameters
    ----------
    roles : mapping
        Champions and shadows by failure mode.
    device_ids : sequence of int
        Devices that were scored in this transaction.
    since_us : int
        Event time before which none of their new forecasts was made, microseconds since 1970.
    now : datetime
        Wall time that the forecasts of this transaction bear.

    Returns
    -------
    int
        Forecasts about which a champion spoke.
    """
    modes = sorted({mode for models in roles.values() for mode in models})
    if not modes or not device_ids:
        return 0
    query = {
        "device_ids": list(device_ids),
        "now": now,
        "from_at": words.instant(since_us),
        "modes": modes,
    }
    fresh = [
        _Fresh(**_named(row)) for row in connection.execute(_queries["fresh_forecasts"], query)
    ]
    if not fresh:
        return 0
    known = _read(connection, catalog, roles, fresh)
    spoken = 0
    for mode in modes:
        own = [f for f in fresh if f.failure_mode == mode]
        for role in ("champion", "shadow"):
            kept = roles[role].get(mode)
            if kept is None or not own:
                continue
            chance, life = _outlooks(connection, catalog, kept, known, own)
            if role == "champion":
                _replace(connection, kept, own, chance=chance, life=life)
                spoken += len(own)
            else:
                _note(connection, kept, own, chance=chance, life=life)
    return spoken


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What is known of the devices that are forecast."""

    histories: Mapping[int, History]
    """By device: as much of each as the models look at."""
    memories: Mapping[_Pair, PartMemory]
    """Where models go on from. Without one, the history goes back to where the part was new, and it begins there."""


def _read(
    connection: Connection, catalog: Catalog, roles: Roles, fresh: Sequence[_Fresh]
) -> _Known:
    """Read of each device what the models look at that are asked about it.

    Of a part on which a model has not been asked yet, or no longer stands where it stood, all windows are read since the part
    was new: an estimate never quite forgets the ones before, so nothing later gives the same numbers.
    """
    asked = _asked(roles, fresh)
    models = {kept.id: kept.model for kept in asked.values()}
    windows = max(windows_needed(catalog, model) for model in models.values())
    codes = codes_needed([model.spec for model in models.values()])

    def read(from_us: Mapping[int, int]) -> dict[int, History]:
        reach = Reach(from_us=from_us, windows=windows, codes=codes)
        return dict(
            zip(from_us, read_recent(connection, catalog, list(from_us), reach), strict=True)
        )

    first: dict[int, int] = {}
    for forecast in fresh:
        first.setdefault(forecast.device_id, forecast.made_us)
    memories = _memories(connection, asked, first)
    from_us = dict(first)
    for (device_id, _), memory in memories.items():
        from_us[device_id] = min(from_us[device_id], memory.memory.at_us)
    histories = read(from_us)
    begins: dict[int, int] = {}
    for (device_id, model_id), kept in _remembering(asked).items():
        history, known = histories[device_id], memories.get((device_id, model_id))
        if known is not None and not _has_changed(catalog, kept, history, known):
            continue
        memories.pop((device_id, model_id), None)
        begin = part_begins_us(catalog, history, first[device_id], mode=kept.failure_mode)
        begins[device_id] = min(begins.get(device_id, from_us[device_id]), begin)
    return _Known(histories=histories | read(begins), memories=memories)


def _asked(roles: Roles, fresh: Sequence[_Fresh]) -> dict[_Pair, KeptModel]:
    """Which models are asked about which devices."""
    found = {}
    for forecast in fresh:
        for models in roles.values():
            kept = models.get(forecast.failure_mode)
            if kept is not None:
                found[forecast.device_id, kept.id] = kept
    return found


def _remembering(asked: Mapping[_Pair, KeptModel]) -> dict[_Pair, KeptModel]:
    """Those to which earlier estimates count."""
    return {
        pair: kept
        for pair, kept in asked.items()
        if kept.model.life is not None and kept.model.life.memory_hours > 0
    }


def _memories(
    connection: Connection, asked: Mapping[_Pair, KeptModel], first: Mapping[int, int]
) -> dict[_Pair, PartMemory]:
    """Where they stand, if that is before the first instant that is asked about."""
    pairs = _remembering(asked)
    found = store.read_life_memories(
        connection,
        device_ids=sorted({device_id for device_id, _ in pairs}),
        model_ids=sorted({model_id for _, model_id in pairs}),
    )
    return {
        pair: memory
        for pair, memory in found.items()
        if pair in pairs and memory.memory.at_us < first[pair[0]]
    }


def _has_changed(catalog: Catalog, kept: KeptModel, history: History, memory: PartMemory) -> bool:
    """Whether a failure or a replacement came to light that lies before what was remembered."""
    at_us = memory.memory.at_us
    return part_at(catalog, history, at_us, mode=kept.model.mode) != memory.part


def _outlooks(
    connection: Connection,
    catalog: Catalog,
    kept: KeptModel,
    known: _Known,
    fresh: Sequence[_Fresh],
) -> tuple[FloatArray, FloatArray]:
    """Chances and quantiles of life in the order of `fresh`, which is by device and instant."""
    at: dict[int, list[int]] = {}
    for forecast in fresh:
        at.setdefault(forecast.device_id, []).append(forecast.made_us)
    histories = [known.histories[device_id] for device_id in at]
    instants = [np.array(own, dtype=np.int64) for own in at.values()]
    life = kept.model.life
    if life is None or life.memory_hours <= 0:
        return look(catalog, kept.model, histories, instants)
    frame = make_frame(catalog, kept.model.spec, histories, at_us=instants)
    parts, memories = [], {}
    for device_id, history, own in zip(at, histories, instants, strict=True):
        hours, memories[device_id] = go_on(
            catalog, kept.model, history, own, known.memories.get((device_id, kept.id))
        )
        parts.append(hours)
    store.keep_life_memories(connection, model_id=kept.id, memories=memories)
    return outlook_rows(kept.model, frame.x, np.concatenate(parts))


def _replace(
    connection: Connection,
    kept: KeptModel,
    fresh: Sequence[_Fresh],
    *,
    chance: FloatArray,
    life: FloatArray,
) -> None:
    rows = []
    for forecast, own, hours in zip(fresh, chance.tolist(), life.tolist(), strict=True):
        declines = own[2] >= SIGN
        rows.append(
            {
                "id": forecast.id,
                "model_id": kept.id,
                "status": "declining" if declines else forecast.status,
                "evidence": Jsonb(_with_sentence(forecast, kept, own[2]))
                if declines
                else Jsonb(forecast.evidence),
                **_numbers(own, hours),
            }
        )
    with connection.cursor() as cursor:
        cursor.executemany(_queries["let_model_speak"], rows)


def _note(
    connection: Connection,
    kept: KeptModel,
    fresh: Sequence[_Fresh],
    *,
    chance: FloatArray,
    life: FloatArray,
) -> None:
    rows = [
        {
            "device_id": forecast.device_id,
            "failure_mode": forecast.failure_mode,
            "made_at": words.instant(forecast.made_us),
            "model_id": kept.id,
            **_numbers(own, hours),
        }
        for forecast, own, hours in zip(fresh, chance.tolist(), life.tolist(), strict=True)
    ]
    with connection.cursor() as cursor:
        cursor.executemany(_queries["add_shadow_forecasts"], rows)


def _numbers(chance: Sequence[float], hours: Iterable[float]) -> dict[str, float | None]:
    lives = [value if np.isfinite(value) else None for value in hours]
    return {
        "p_fail_1d": chance[0], "p_fail_7d": chance[1], "p_fail_30d": chance[2],
        "life_hours_q05": lives[0], "life_hours_q10": lives[1], "life_hours_q50": lives[2],
        "life_hours_q90": lives[3], "life_hours_q95": lives[4],
    }  # fmt: skip


def _with_sentence(forecast: _Fresh, kept: KeptModel, chance: float) -> dict[str, Any]:
    """Say what such forecasts rest on, after what the first layer has seen."""
    said = words.sentence(
        "learned", percent=round(100 * chance), days=_MONTH_DAYS,
        failures=kept.model.seen.failures,
    )  # fmt: skip
    sentences = [s for s in forecast.evidence.get("sentences", []) if s["key"] != "all_normal"]
    return forecast.evidence | {"sentences": [*sentences, msgspec.to_builtins(said)]}


def _named(row: Sequence[Any]) -> dict[str, Any]:
    return {
        "id": row[0], "device_id": row[1], "failure_mode": row[2],
        "made_us": (row[3] - EPOCH) // US, "status": row[4], "evidence": row[5],
    }  # fmt: skip


class Voices:
    """Who speaks for each product, read again only when that or the sheet has changed."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[tuple[tuple[tuple[str, Role, int], ...], Product], Roles]] = {}

    def of(self, connection: Connection, product_id: int, catalog: Catalog) -> Roles:
        """Return the models that can be asked; of those that no longer fit the sheet is told once."""
        key = (store.read_role_ids(connection, product_id=product_id), catalog.product)
        known = self._known.get(product_id)
        if known is None or known[0] != key:
            roles = store.read_roles(connection, product_id=product_id)
            _tell_silent(catalog, roles)
            known = (key, {role: fitting(catalog, models) for role, models in roles.items()})
            self._known[product_id] = known
        return known[1]


def fitting(catalog: Catalog, models: Mapping[str, KeptModel]) -> dict[str, KeptModel]:
    """Return those of the models that find all they look at in a sheet; where one does not, the first layer speaks."""
    return {mode: kept for mode, kept in models.items() if not lost(catalog, kept.model)}


def _tell_silent(catalog: Catalog, roles: Roles) -> None:
    for role, models in roles.items():
        for mode, kept in models.items():
            gone = lost(catalog, kept.model)
            if gone:
                _log.warning(
                    "model.silent", product=catalog.product.name, model=kept.id, role=role,
                    failure_mode=mode, lost=list(gone), effect="the first layer speaks",
                    hint=f"`forecare model train {catalog.product.name}` learns by today's sheet",
                )  # fmt: skip

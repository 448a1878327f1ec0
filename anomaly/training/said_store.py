"""Looks up what the first layer has said. Never writes."""

import numpy as np

from anomaly.evidence import instant
from anomaly.learn.history import Catalog
from anomaly.records import LIFE_SHARES
from anomaly.store import to_us
from anomaly.training.said import Said
from core.pool import Connection
from core.sql import Queries

_queries = Queries("anomaly")


def read_said(
    connection: Connection, catalog: Catalog, *, names: dict[int, str], from_us: int
) -> dict[str, Said]:
    """Return what the first layer said from an instant on, by device name."""
    place = {mode: number for number, mode in enumerate(catalog.modes)}
    rows: dict[int, list[tuple[float, ...]]] = {}
    query = {"device_ids": list(names), "from_at": instant(from_us)}
    for row in connection.execute(_queries["first_layer_said"], query):
        if row[1] in place:
            lives = [np.inf if hours is None else hours for hours in row[6:]]
            said = (to_us(row[2]), place[row[1]], *row[3:6], *lives)
            rows.setdefault(row[0], []).append(said)
    found = {}
    for device_id, own in rows.items():
        table = np.array(own, dtype=np.float64)
        at = np.array([line[0] for line in own], dtype=np.int64)
        made, row_of = np.unique(at, return_inverse=True)
        p_fail = np.full((len(made), len(catalog.modes), 3), np.nan)
        life = np.full((len(made), len(catalog.modes), len(LIFE_SHARES)), np.nan)
        mode = table[:, 1].astype(np.int64)
        p_fail[row_of, mode], life[row_of, mode] = table[:, 2:5], table[:, 5:]
        found[names[device_id]] = Said(made_us=made, p_fail=p_fail, life_hours=life)
    return found

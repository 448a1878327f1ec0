"""Measures how much room a value takes in the columnstore, with the product's own statements."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from psycopg import sql

from bench.community.lite import Community, NoCommunityError, install, with_values
from core.sql import Queries

_METRICS = 10
_DEVICES = 20
_DAYS = 7
_MINUTES = _DAYS * 1440
_gateway, _ingest, _bench = Queries("gateway"), Queries("ingest"), Queries("bench")
_TABLE = sql.Identifier("room", "samples")


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Bytes per value, indexes and TOAST included."""

    columnstore: float | None
    """None: see `reason`."""
    heap: float | None
    """The same rows on the same server before they were moved."""
    values: int
    versions: str
    reason: str = ""


def measure_columnstore(cache: Path) -> Room:
    """Measure bytes per value of ten metrics a minute on the Community edition.

    Parameters
    ----------
    cache : Path
        Where the server is installed on demand, below the runtime folder.

    Returns
    -------
    Room
        With the reason in place of figures when the edition is not to be had.
    """
    try:
        install(cache)
        with Community(cache) as server:
            return _measure(server)
    except NoCommunityError as error:
        return Room(columnstore=None, heap=None, values=0, versions="", reason=str(error))


def _measure(server: Community) -> Room:
    _fill(server)
    heap = _bytes(server)
    switch = sql.SQL(_ingest["switch_columnstore_on"]).format(relation=_TABLE)
    server.execute(switch.as_string(None))
    for (chunk,) in server.execute(_bench["community_chunks"]).rows:
        server.execute(with_values(_ingest["compress_chunk"], {"chunk": chunk}))
    columns = _bytes(server)
    ((versions,),) = server.execute(_bench["community_versions"]).rows
    values = _DEVICES * _MINUTES * _METRICS
    return Room(columnstore=columns / values, heap=heap / values, values=values, versions=versions)


def _fill(server: Community) -> None:
    server.run(_bench["community_tables"])
    chunk = timedelta(days=_DAYS)
    server.execute(
        with_values(_gateway["create_hypertable"], {"relation": "room.samples", "chunk": chunk})
    )
    samples = sql.SQL(_bench["community_samples"])
    for device in range(1, _DEVICES + 1):
        server.execute(
            samples.format(device=sql.Literal(device), minutes=sql.Literal(_MINUTES)).as_string(
                None
            )
        )


def _bytes(server: Community) -> int:
    ((size,),) = server.execute(_bench["community_size"]).rows
    return int(size)

"""Runs the SQL about Sparkplug nodes. Never commits."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from core.pool import Connection
from core.sql import Queries
from gateway.sparkplug.session import Birth, Declaration, Node

_queries = Queries("ingest")
_births = msgspec.json.Decoder(dict[str, list[Declaration]])


def load_nodes(connection: Connection, names: Sequence[str]) -> dict[str, Node]:
    rows = connection.execute(_queries["load_sparkplug_nodes"], {"nodes": list(names)}).fetchall()
    return {
        row[0]: Node(
            group=row[1],
            boot=row[2],
            bd_seq=row[3],
            born_ms=row[4],
            newest_ms=row[5],
            next_seq=row[6],
            is_alive=row[7],
            is_stale=row[8],
            births={name: Birth(lines) for name, lines in _births.decode(row[9]).items()},
        )
        for row in rows
    }


def save_nodes(
    connection: Connection, nodes: Mapping[str, Node], *, before: Mapping[str, Node | None]
) -> None:
    """Write nodes; the births of one that has declared nothing new stay as they are."""
    if not nodes:
        return
    rows = [_row(name, node, before.get(name)) for name, node in sorted(nodes.items())]
    with connection.cursor() as cursor:
        cursor.executemany(_queries["save_sparkplug_node"], rows)


def load_spoken_for(connection: Connection, nodes: Iterable[str]) -> set[tuple[str, str]]:
    """Return the pairs of node and device that may be."""
    rows = connection.execute(_queries["load_spoken_for"], {"nodes": list(nodes)}).fetchall()
    return {(row[0], row[1]) for row in rows}


def _row(name: str, node: Node, before: Node | None) -> dict[str, object]:
    is_same = before is not None and before.births is node.births
    births = {device: birth.lines for device, birth in node.births.items()}
    return {
        "node": name,
        "group_id": node.group.replace("\0", ""),
        "boot": node.boot,
        "bd_seq": node.bd_seq,
        "born_ms": node.born_ms,
        "newest_ms": node.newest_ms,
        "next_seq": node.next_seq,
        "is_alive": node.is_alive,
        "is_stale": node.is_stale,
        "births": None if is_same else msgspec.json.encode(births),
    }

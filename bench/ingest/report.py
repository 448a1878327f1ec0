"""Shows what was measured: tables for people, in a terminal and on the page in docs/. Pure but for
printing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.ingest.history import newest_with
from core.terminal import show_table

_SHAPE_COLUMNS = (
    ("messages/s", "messages_per_s"),
    ("values/s", "values_per_s"),
    ("receive limit, messages/s", "receive_limit_messages_per_s"),
    ("of it", "ratio_receive"),
    ("copy limit, values/s", "copy_limit_values_per_s"),
    ("of it", "ratio_copy"),
    ("µs a message: ingest", "ingest_cpu_us_per_message"),
    ("broker", "broker_cpu_us_per_message"),
    ("database", "database_cpu_us_per_message"),
    ("generator", "generator_cpu_us_per_message"),
    ("ingest MiB", "ingest_rss_mib_max"),
    ("lost", "lost"),
)
_SCALE_COLUMNS = (
    ("what grows", "what"),
    ("to", "amount"),
    ("devices sending", "senders"),
    ("messages/s", "messages_per_s"),
    ("small one beside it", "base_messages_per_s"),
    ("ratio", "ratio"),
    ("µs of ingest a message", "ingest_cpu_us_per_message"),
    ("small one", "base_cpu_us_per_message"),
    ("ingest MiB", "ingest_rss_mib_max"),
    ("lost", "lost"),
)
_PEER_COLUMNS = (
    ("software", "name"),
    ("version", "version"),
    ("messages/s committed", "messages_per_s"),
    ("Forecare / it", "forecare_ratio"),
    ("µs of it a message", "cpu_us_per_message"),
    ("MiB", "rss_mib_max"),
    ("killed half-way: acknowledged", "acknowledged_when_killed"),
    ("lost of them", "lost_when_killed"),
    ("why not", "reason"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One table."""

    part: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def show(found: Mapping[str, Any]) -> None:
    """Print the tables of a result."""
    for table in tables(found):
        show_table(table.columns, table.rows)


def tables(found: Mapping[str, Any]) -> Iterator[Shown]:
    """Return the tables of a result, without those of parts that were not measured."""
    if found["shapes"]:
        rows = [[name, *_cells(shape, _SHAPE_COLUMNS)] for name, shape in found["shapes"].items()]
        yield Shown(
            part="shapes", columns=["shape", *(title for title, _ in _SHAPE_COLUMNS)], rows=rows
        )
    if found["latency_ms"]:
        latency = found["latency_ms"]
        row = [figure(latency[key]) for key in ("messages_per_s", "p50", "p99", "max")]
        columns = ["messages/s", "publish to stored: p50 ms", "p99 ms", "max ms"]
        yield Shown(part="latency_ms", columns=columns, rows=[row])
    if found["bytes_per_value"]:
        size = found["bytes_per_value"]
        row = [figure(size["heap"]), figure(size["columnstore"]) or size["columnstore_reason"]]
        columns = ["bytes a value, heap", "columnstore"]
        yield Shown(part="bytes_per_value", columns=columns, rows=[row])
    for part, columns_of in (("scale", _SCALE_COLUMNS), ("peers", _PEER_COLUMNS)):
        if found.get(part):
            yield Shown(
                part=part,
                columns=[title for title, _ in columns_of],
                rows=[_cells(point, columns_of) for point in found[part]],
            )


def page_part(kept: Sequence[Mapping[str, Any]]) -> str:
    """Return the measured tables of the page in docs/, from the newest result that has each."""
    headings = {
        "shapes": "Rates, limits and cost",
        "latency_ms": "Publish to committed, at half load",
        "bytes_per_value": "Storage, ten metrics a minute",
        "scale": "As work grows",
        "peers": "Other software under the same generator",
    }
    lines: list[str] = []
    for part, heading in headings.items():
        result = newest_with(part, kept)
        if result is None:
            continue
        table = next(table for table in tables(result) if table.part == part)
        lines += [f"## {heading}", "", _provenance(result), ""]
        lines += ["| " + " | ".join(table.columns) + " |", "|---" * len(table.columns) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in table.rows]
        lines += [""]
    return "\n".join(lines) + "\n" if lines else ""


def figure(value: float | str | None) -> str:
    """Write a number for people: thousands apart, no digits that mean nothing."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, int) or value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _cells(row: Mapping[str, Any], columns: Sequence[tuple[str, str]]) -> list[str]:
    return [
        figure(row.get(key)).replace("_", " ") if key == "what" else figure(row.get(key))
        for _, key in columns
    ]


def _provenance(result: Mapping[str, Any]) -> str:
    machine, versions = result["machine"], result["versions"]
    return (
        f"Measured {str(result['at'])[:10]} at revision {versions['revision']}, {machine['cores']}"
        f" cores of {machine['cpu']}, kernel {machine['kernel']}, fdatasync {machine['fdatasync_ms']}"
        f" ms, PostgreSQL {versions['PostgreSQL']}, TimescaleDB {versions['timescaledb']}, Mosquitto"
        f" {versions['Mosquitto']}."
    )

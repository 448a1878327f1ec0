"""Shows what was measured: tables for people. Pure but for printing."""

from collections.abc import Mapping, Sequence
from typing import Any

from core.terminal import show_table

_SHAPE_COLUMNS = (
    ("shape", ""),
    ("messages/s", "messages_per_s"),
    ("values/s", "values_per_s"),
    ("receive limit", "receive_limit_messages_per_s"),
    ("of it", "ratio_receive"),
    ("copy limit, values/s", "copy_limit_values_per_s"),
    ("of it", "ratio_copy"),
    ("µs ingest", "ingest_cpu_us_per_message"),
    ("µs broker", "broker_cpu_us_per_message"),
    ("µs database", "database_cpu_us_per_message"),
    ("µs generator", "generator_cpu_us_per_message"),
    ("MiB ingest", "ingest_rss_mib_max"),
    ("lost", "lost"),
)


def show(found: Mapping[str, Any]) -> None:
    """Print the tables of a result."""
    for columns, rows in tables(found):
        show_table(columns, rows)


def tables(found: Mapping[str, Any]) -> list[tuple[Sequence[str], list[list[str]]]]:
    """Return the tables of a result, each its columns and rows."""
    titles = [title for title, _ in _SHAPE_COLUMNS]
    shapes = [
        [name, *(figure(shape[key]) for _, key in _SHAPE_COLUMNS[1:])]
        for name, shape in found["shapes"].items()
    ]
    latency, size = found["latency_ms"], found["bytes_per_value"]
    rest = [
        ["publish to stored, p50", f"{figure(latency['p50'])} ms"],
        ["publish to stored, p99", f"{figure(latency['p99'])} ms"],
        ["at", f"{figure(latency['messages_per_s'])} messages/s"],
        ["bytes per value, heap", figure(size["heap"])],
        ["bytes per value, columnstore", figure(size["columnstore"]) or size["columnstore_reason"]],
    ]
    return [(titles, shapes), (("measure", "figure"), rest)]


def figure(value: float | None) -> str:
    """Write a number for people: thousands apart, no digits that mean nothing."""
    if value is None:
        return ""
    if isinstance(value, int) or value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"

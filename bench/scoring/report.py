"""Shows what scoring costs: tables for people, in a terminal and on the page in docs/; keeps results."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from bench.ingest import history
from bench.ingest.history import RESULTS
from bench.ingest.report import figure
from core.errors import InvalidError
from core.terminal import show_table

_RATES = (
    ("what", "what"),
    ("samples/s of one core", "per_s"),
    ("µs a sample", "us"),
    ("Forecare / it", "ratio"),
)
_SHARES = (
    ("µs a sample: scorer", "scorer_us_per_sample"),
    ("database", "database_us_per_sample"),
    ("share of the database", "database_share"),
    ("share of everything but the arithmetic", "with_database_share"),
    ("samples/s by the wall clock, all on one core", "wall_samples_per_s"),
)
_GROWTH = (
    ("devices", "devices"),
    ("minutes of each", "minutes"),
    ("samples", "samples"),
    ("µs a sample", "us_per_sample"),
    ("scorer", "scorer_us_per_sample"),
    ("database", "database_us_per_sample"),
    ("of 10,000 devices", "ratio"),
)


def keep(result: Mapping[str, Any], folder: Path) -> Path:
    """Write a result; a crash leaves the file whole or not at all."""
    return history.keep(result, folder, name="scoring")


def results(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """Return all kept results, the oldest first.

    Raises
    ------
    InvalidError
        If a file is no result.
    """
    found = []
    for file in sorted(folder.glob("scoring-*.json")):
        try:
            result: dict[str, Any] = orjson.loads(file.read_bytes())
            result["scoring"]["samples_per_s"], result["growth"], result["machine"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise InvalidError(
                f"{file} is no result of the bench: {error}", hint="take it out of the folder"
            ) from error
        found.append(result)
    return found


def show(result: Mapping[str, Any]) -> None:
    for _, columns, rows in _tables(result):
        show_table(columns, rows)
    print(f"dearest fleet / cheapest, per sample: {result['growth_worst']}")


def page_part(kept: Sequence[Mapping[str, Any]]) -> str:
    """Return the measured tables of the page in docs/, from the newest full result."""
    full = [result for result in kept if not result["is_quick"]] or list(kept)
    if not full:
        return ""
    result = full[-1]
    lines = [_provenance(result), ""]
    for heading, columns, rows in _tables(result):
        lines += [f"## {heading}", ""]
        lines += ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in rows]
        lines += [""]
    lines += [
        f"The dearest of these fleets costs {result['growth_worst']} times the cheapest per sample.",
        "",
    ]
    return "\n".join(lines)


def _tables(
    result: Mapping[str, Any],
) -> list[tuple[str, Sequence[str], Sequence[Sequence[str]]]]:
    s = result["scoring"]
    rates = [
        ("Forecare, reading and writing the database", s["samples_per_s"], None),
        ("Forecare, from arrays", s["alone_samples_per_s"], None),
        ("EWMA and CUSUM in numpy, the same arrays", s["bare_samples_per_s"], s["ratio_bare"]),
    ]
    trees = f"river {s['trees_version']}, half-space trees, the same rows"
    if s["trees_samples_per_s"]:
        rates += [
            (f"{trees}: its defaults", s["trees_samples_per_s"], s["ratio_trees"]),
            (
                f"{trees}: 25 trees of height 15",
                s["trees_paper_samples_per_s"],
                s["ratio_trees_paper"],
            ),
        ]
    rate_rows = [
        {"what": what, "per_s": per_s, "us": 1e6 / per_s, "ratio": against}
        for what, per_s, against in rates
    ]
    heading = f"{s['devices']:,} devices, {result['metrics']} metrics, {s['minutes']} minutes"
    return [
        (heading, *_table(_RATES, rate_rows)),
        ("Where the time goes", *_table(_SHARES, [s])),
        ("As fleets grow", *_table(_GROWTH, result["growth"])),
    ]


def _table(
    columns: Sequence[tuple[str, str]], rows: Sequence[Mapping[str, Any]]
) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    cells = [[figure(row.get(key)) for _, key in columns] for row in rows]
    return [title for title, _ in columns], cells


def _provenance(result: Mapping[str, Any]) -> str:
    machine, versions = result["machine"], result["versions"]
    return (
        f"Measured {str(result['at'])[:10]} at revision {versions['revision']}, one of {machine['cores']}"
        f" cores of {machine['cpu']}, kernel {machine['kernel']}, PostgreSQL {versions['PostgreSQL']},"
        f" TimescaleDB {versions['timescaledb']}, numpy {versions['numpy']}, Python {versions['python']}."
    )

"""Shows what scoring costs: tables for people, in a terminal and on the page in docs/; keeps results."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.ingest import history
from bench.ingest.history import RESULTS
from bench.ingest.report import figure
from core.terminal import show_table

Heading = tuple[str, Sequence[str], Sequence[Sequence[str]]]
"""A table with its heading: heading, columns, rows."""
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
_TRAINING = (
    ("devices", "devices"),
    ("days of each", "days"),
    ("windows", "windows"),
    ("failure modes", "modes"),
    ("failures", "failures"),
    ("processor time, s", "cpu_s"),
    ("by the wall clock, s", "seconds"),
    ("most memory at once, MiB", "peak_mib"),
)


def keep(result: Mapping[str, Any], folder: Path) -> Path:
    """Write a result; a crash leaves the file whole or not at all. Training alone is a kind of its own."""
    return history.keep(result, folder, name="scoring" if "scoring" in result else "training")


def results(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """Return all kept results of the scoring bench, the oldest first."""
    parts = ("scoring.samples_per_s", "growth", "machine")
    return history.kept_results(folder, "scoring-*.json", parts=parts, what="the scoring bench")


def trainings(folder: Path = RESULTS) -> list[Mapping[str, Any]]:
    """Return what training cost, by itself or with the rest, the oldest first."""
    alone = history.kept_results(
        folder, "training-*.json", parts=("training", "machine"), what="the scoring bench"
    )
    both = [result for result in results(folder) if result.get("training")]
    return sorted((*alone, *both), key=lambda result: str(result["at"]))


def show(result: Mapping[str, Any]) -> None:
    for _, columns, rows in (*_tables(result), *_training_table(result)):
        show_table(columns, rows)
    if "following" in result:
        print(following_text(result["following"]))
    if "growth_worst" in result:
        print(f"dearest fleet / cheapest, per sample: {result['growth_worst']}")


def following_text(part: Mapping[str, Any]) -> str:
    """Say what devices that follow themselves cost, one by one and side by side."""
    return (
        f"{part['devices']:,} devices that follow themselves, {part['minutes']} minutes, from arrays:"
        f" {part['alone_samples_per_s']:,} samples/s one by one,"
        f" {part['together_samples_per_s']:,} side by side ({part['ratio']} times)."
    )


def page_part(kept: Sequence[Mapping[str, Any]], trained: Sequence[Mapping[str, Any]] = ()) -> str:
    """Return the measured tables of the page in docs/, from the newest full results."""
    lines: list[str] = []
    if kept:
        result = _newest(kept)
        lines += [_provenance(result), "", *_markdown(_tables(result))]
        worst = result["growth_worst"]
        lines += [f"The dearest of these fleets costs {worst} times the cheapest per sample.", ""]
        if "following" in result:
            lines += [following_text(result["following"]), ""]
    if trained:
        result = _newest(trained)
        lines += [*_markdown(_training_table(result)), _provenance(result), ""]
    return "\n".join(lines)


def _newest(kept: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    full = [result for result in kept if not result["is_quick"]]
    return (full or kept)[-1]


def _markdown(tables: Sequence[Heading]) -> list[str]:
    lines = []
    for heading, columns, rows in tables:
        lines += [f"## {heading}", ""]
        lines += ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in rows]
        lines += [""]
    return lines


def _tables(result: Mapping[str, Any]) -> list[Heading]:
    if "scoring" not in result:
        return []
    s = result["scoring"]
    rates = [
        ("Forecare, reading and writing the database", s["samples_per_s"], None),
        ("Forecare, from arrays", s["alone_samples_per_s"], None),
        ("EWMA and CUSUM in numpy, the same arrays", s["bare_samples_per_s"], s["ratio_bare"]),
        *((_trees_words(s, one), one["samples_per_s"], one["ratio"]) for one in s.get("trees", ())),
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


def _trees_words(scoring: Mapping[str, Any], one: Mapping[str, Any]) -> str:
    known = {"defaults": " (its defaults)", "paper": " (as in the paper)"}.get(one["name"], "")
    return (
        f"river {scoring['trees_version']}, half-space trees, the same rows:"
        f" {one['trees']} trees of height {one['height']}{known}"
    )


def _training_table(result: Mapping[str, Any]) -> list[Heading]:
    if not result.get("training"):
        return []
    return [("Training", *_table(_TRAINING, [result["training"]]))]


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

"""Keeps every result as a file of its own below bench/results, and finds them again."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from core.errors import InvalidError
from core.settings import PROJECT_ROOT

RESULTS = PROJECT_ROOT / "bench" / "results"
_SHAPES = ("one_sample_3", "one_sample_10", "catch_up")


def keep(result: Mapping[str, Any], folder: Path, *, name: str = "ingest") -> Path:
    """Write a result; a crash leaves the file whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    at = str(result["at"]).replace(":", "-").partition("+")[0]
    file = folder / f"{name}-{at}.json"
    draft = file.with_suffix(".draft")
    options = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY
    draft.write_bytes(orjson.dumps(result, option=options) + b"\n")
    draft.replace(file)
    return file


def kept_results(
    folder: Path, pattern: str, *, parts: Sequence[str], what: str
) -> list[dict[str, Any]]:
    """Return all kept results of a kind, the oldest first.

    Parameters
    ----------
    pattern : str
        Of the files' names.
    parts : sequence of str
        What each result must have; a part within a part after a dot.
    what : str
        What it is a result of, for people.

    Raises
    ------
    InvalidError
        If a file is no such result.
    """
    found = []
    for file in folder.glob(pattern):
        try:
            result: dict[str, Any] = orjson.loads(file.read_bytes())
            for part in (*parts, "at"):
                value: Any = result
                for key in part.split("."):
                    value = value[key]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise InvalidError(
                f"{file} is no result of {what}: {error}", hint="take it out of the folder"
            ) from error
        found.append(result)
    return sorted(found, key=lambda result: str(result["at"]))


def results(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """Return all kept results of the ingest bench, the oldest first."""
    parts = ("shapes", "versions", "machine")
    return kept_results(folder, "ingest-*.json", parts=parts, what="the bench")


def newest_with(part: str, kept: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the newest full result that has a part; a quick one only where there is no other."""
    having = [result for result in kept if result.get(part)]
    full = [result for result in having if not result.get("is_quick")]
    chosen = full or having
    return chosen[-1] if chosen else None


def history_rows(kept: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return a line per result that measured the shapes."""
    rows = []
    for result in kept:
        shapes = result["shapes"]
        if not shapes:
            continue
        latency = result["latency_ms"]
        rows.append(
            [
                result["at"],
                result["versions"]["revision"],
                *(f"{shapes[name]['messages_per_s']:,.0f}" for name in _SHAPES),
                *(f"{shapes[name]['ingest_cpu_us_per_message']:.1f}" for name in _SHAPES),
                f"{shapes[_SHAPES[0]]['ratio_receive'] or 0:.2f}",
                f"{shapes[_SHAPES[2]]['ratio_copy'] or 0:.2f}",
                f"{latency['p50']:.0f} / {latency['p99']:.0f}",
                f"{sum(shapes[name]['lost'] for name in _SHAPES)}",
            ]
        )
    return rows


HISTORY_COLUMNS = (
    "at",
    "revision",
    *(f"{name}, messages/s" for name in _SHAPES),
    *(f"{name}, µs" for name in _SHAPES),
    "of receive limit",
    "of copy limit",
    "p50 / p99 ms",
    "lost",
)

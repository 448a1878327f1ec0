"""A bench of a few messages: what it counts and says. Never how fast it was."""

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench.ingest.history import history_rows, keep, results
from bench.ingest.report import page_part, tables
from bench.ingest.run import BenchOrder, run_bench
from bench.ingest.scale import ScaleOrder, measure_scale
from core.settings import Settings, load_settings

SHAPE_KEYS = {
    "messages_per_s",
    "values_per_s",
    "receive_limit_messages_per_s",
    "copy_limit_values_per_s",
    "ratio_receive",
    "ratio_copy",
    "ingest_cpu_us_per_message",
    "ingest_rss_mib_max",
    "lost",
}
SILENT = Console(quiet=True)
TINY = BenchOrder(
    parts=frozenset({"shapes"}),
    seconds=0.1,
    repeats=1,
    latency_s=0.1,
    devices=20,
    messages_max=400,
    is_quick=True,
)


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings()


@pytest.fixture(scope="module")
def found(settings: Settings) -> dict[str, Any]:
    return run_bench(settings, TINY, console=SILENT)


def test_a_run_has_every_figure_and_loses_nothing(found: dict[str, Any]) -> None:
    assert set(found["shapes"]) == {"one_sample_3", "one_sample_10", "catch_up"}
    for shape in found["shapes"].values():
        assert shape.keys() >= SHAPE_KEYS
        assert shape["lost"] == shape["unconfirmed"] == 0
        assert 0 < shape["messages"] <= 400
    assert found["latency_ms"].keys() >= {"p50", "p99"}
    assert found["versions"]["settings"]["synchronous_commit"] == "on"
    assert found["versions"]["settings"]["full_page_writes"] == "on"
    assert found["machine"]["cores"] >= 1


def test_a_kept_result_is_found_and_shown(found: dict[str, Any], tmp_path: Path) -> None:
    keep(found, tmp_path)

    kept = results(tmp_path)

    assert len(kept) == len(history_rows(kept)) == 1
    assert kept[0]["shapes"] == found["shapes"]
    assert {table.part for table in tables(found)} == {"shapes", "latency_ms"}
    assert "## Rates, limits and cost" in page_part(kept)


def test_every_point_of_growth_stands_beside_a_small_installation(settings: Settings) -> None:
    order = ScaleOrder(devices=(20, 50), rows=(1000, 2000), messages=400, parts=2)

    points = measure_scale(settings, order, console=SILENT)

    grown = [(point["what"], point["amount"]) for point in points]
    assert grown == [
        ("registered_devices", 20),
        ("registered_devices", 50),
        ("rows_stored", 1000),
        ("rows_stored", 2000),
        ("ingest_processes", 2),
    ]
    assert {point["lost"] for point in points} == {0}
    assert {point["senders"] for point in points} == {20, 50}

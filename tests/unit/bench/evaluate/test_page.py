"""Kept evaluations, as the page shows them."""

from pathlib import Path

import orjson
import pytest

from bench.evaluate.page import kept_results, newest, page_part
from core.errors import InvalidError


def result(at: str = "2026-11-24T10:00:00+00:00", **changes) -> dict:
    return {
        "at": at, "revision": "abc1234", "benchmark": "azure-pdm", "seeds": [0, 1, 2], "seconds": 61.2,
        "event_recall": 0.971, "events": 1234, "average_precision": {"24": 0.91, "168": 0.33},
        "controls": {"always_on": {"event_recall": 0.0}}, "options": {"split_date": "2015-06-01"},
        "notes": ["A sentence."], "some_table": {"x": 1}, **changes,
    }  # fmt: skip


def test_a_result_is_a_table_with_its_controls_beside_it() -> None:
    part = page_part([result()], pages={"azure-pdm"})

    assert part.startswith("### azure-pdm 2015-06-01\n")
    assert "seeds 0, 1, 2, 61 s. [More about it](foresight/azure-pdm.md)." in part
    assert "| figure | forecare | always on |" in part
    assert "| events | 1,234 |  |" in part
    assert "| event_recall | 0.971 | 0 |" in part
    assert "| average_precision | 24: 0.91; 168: 0.33 |  |" in part
    assert "- A sentence." in part
    assert "some_table" not in part


def test_the_newest_of_those_with_most_seeds_is_shown() -> None:
    old, short = result("2026-11-01"), result("2026-11-03", seeds=[0])
    new, other = result("2026-11-02"), result("2026-11-01", options={"split_date": "2015-07-01"})

    assert newest([short, new, other, old]) == [new, other]


def test_without_results_there_is_nothing_to_show() -> None:
    assert page_part([]) == ""


def test_kept_results_come_oldest_first(tmp_path: Path) -> None:
    for name, at in (("evaluate-b.json", "2026-01-01"), ("evaluate-a.json", "2026-02-01")):
        (tmp_path / name).write_bytes(orjson.dumps(result(at)))
    (tmp_path / "ingest-x.json").write_text("{}")

    assert [one["at"] for one in kept_results(tmp_path)] == ["2026-01-01", "2026-02-01"]


def test_a_file_that_is_no_result_is_named(tmp_path: Path) -> None:
    (tmp_path / "evaluate-a.json").write_text("{}")

    with pytest.raises(InvalidError, match=r"evaluate-a\.json is no result"):
        kept_results(tmp_path)

"""Where the Community edition is not to be had, its figure is a reason and no number."""

from pathlib import Path

import pytest

from bench.community.lite import with_values
from bench.ingest.columnstore import measure_columnstore


def test_a_machine_without_a_runtime_for_it_gives_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    room = measure_columnstore(tmp_path / "community")

    assert (room.columnstore, room.heap) == (None, None)
    assert "Node.js" in room.reason
    assert list(tmp_path.iterdir()) == []


def test_values_are_quoted_where_they_stand() -> None:
    text = with_values("select %(name)s, 10 %% 3, '%%I'", {"name": "it's"})

    assert text == "select 'it''s', 10 % 3, '%I'"

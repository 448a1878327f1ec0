"""An export, read back, is what the table holds; however much that is, its memory stays the same."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from core.clock import wall_now
from core.pool import Connection, Pool
from gateway import service as registry
from gateway.records import DeviceDraft
from ingest.rollups import roll
from tests.integration.gateway.sheets import SMALL
from tests.integration.ingest.conftest import Ingest, until
from tests.integration.ingest.test_rollups import roll_all

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
NAMES = ("-odd", "k1", "k2")
_MEBIBYTE = 1 << 20
_REPORT_MEMORY = (
    "import json, resource, sys; sys.argv[0] = 'forecare'\n"
    "from core.cli import main\n"
    "try:\n    main()\n"
    "finally:\n    print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss), file=sys.stderr)"
)


@pytest.fixture
def filled(pool: Pool) -> None:
    """Three devices; the first has a name that a spreadsheet would take for a formula."""
    registry.register_product(pool, toml_text=SMALL, source="kettle.toml", now=wall_now())
    drafts = [DeviceDraft(name=name, serial=name) for name in NAMES]
    registry.add_devices(pool, product="kettle", drafts=drafts, now=wall_now())
    fill(pool, minutes=3000)


def fill(pool: Pool, *, minutes: int) -> None:
    """Samples a minute apart, of which every seventh lacks a value."""
    with pool.connection() as connection:
        connection.execute(
            "insert into telemetry.kettle (device_id, measured_at, water_c, power_w, boils)"
            " select d.id, %s + i * interval '1 min', -20 + i %% 100 / 3.0,"
            " case when i %% 7 > 0 then 2000 * sin(i) end, 1e11 + i / 3.0"
            " from gateway.device d, generate_series(0, %s - 1) i on conflict do nothing",
            [BEGIN, minutes],
        )
        connection.execute("delete from ingest.progress")
        connection.execute(
            "insert into ingest.progress (device_id, first_measured_at, measured_through, received_at,"
            " samples) select device_id, min(measured_at), max(measured_at), max(measured_at), count(*)"
            " from telemetry.kettle group by 1"
        )


def stored(pool: Pool, query: str) -> list[tuple[Any, ...]]:
    with pool.connection() as connection:
        return connection.execute(query).fetchall()  # type: ignore[call-overload, no-any-return]


def read_csv(text: str) -> list[tuple[Any, ...]]:
    rows = list(csv.reader(io.StringIO(text)))[1:]
    return [
        (row[0], datetime.fromisoformat(row[1]), *(float(c) if c else None for c in row[2:]))
        for row in rows
    ]


def read_parquet(file: Path) -> list[tuple[Any, ...]]:
    """Return the rows; a number of single precision comes back as short as PostgreSQL writes it."""
    table = pq.read_table(file)
    singles = [str(field.type) == "float" for field in table.schema]
    columns = [
        [None if v is None else float(str(np.float32(v))) for v in column.to_pylist()]
        if is_single
        else column.to_pylist()
        for column, is_single in zip(table.columns, singles, strict=True)
    ]
    return list(zip(*columns, strict=True))


TABLE = (
    "select case d.name when '-odd' then '''-odd' else d.name end, t.measured_at, t.water_c,"
    " t.power_w, t.boils from telemetry.kettle t join gateway.device d on d.id = t.device_id"
    " order by d.name, t.measured_at"
)


def test_csv_read_back_is_the_table(pool: Pool, filled: None, ingest: Ingest) -> None:
    output = ingest.run_command("export", "kettle")

    assert output.splitlines()[0] == "device,measured_at,water_c [°C],power_w [W],boils"
    assert read_csv(output) == stored(pool, TABLE)


def test_parquet_read_back_is_the_table_with_its_units(
    pool: Pool, filled: None, ingest: Ingest, tmp_path: Path
) -> None:
    file = tmp_path / "kettle.parquet"

    ingest.run_command("export", "kettle", "--output", str(file))

    table = pq.read_table(file)
    assert read_parquet(file) == [
        ("-odd" if r[0] == "'-odd" else r[0], *r[1:]) for r in stored(pool, TABLE)
    ]
    assert table.schema.field("water_c").metadata == {b"unit": "°C".encode(), b"title": b"Water"}
    assert str(table.schema.field("measured_at").type) == "timestamp[us, tz=UTC]"
    assert table.schema.metadata[b"product"] == b"kettle"
    assert [p.name for p in tmp_path.iterdir()] == ["kettle.parquet"]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_rollups_are_exported_as_they_stand(
    pool: Pool, filled: None, ingest: Ingest, database_url: str, tmp_path: Path, kind: str
) -> None:
    rolling: Connection = roll.open_connection(database_url)
    roll_all(rolling)
    rolling.close()
    file = tmp_path / f"days.{kind}"

    ingest.run_command(
        "export", "kettle", "--resolution", "day", "--metric", "power_w", "--device", "k1",
        "--output", str(file),
    )  # fmt: skip

    rows = read_csv(file.read_text(encoding="utf-8")) if kind == "csv" else read_parquet(file)
    assert rows == stored(
        pool,
        "select d.name, starts_at, t.samples, power_w_min, power_w_mean, power_w_max, power_w_count"
        " from telemetry_day.kettle t join gateway.device d on d.id = t.device_id"
        " where d.name = 'k1' order by 2",
    )


def test_a_span_a_metric_and_a_device_narrow_it_down(
    pool: Pool, filled: None, ingest: Ingest
) -> None:
    output = ingest.run_command(
        "export", "kettle", "--device", "k2", "--metric", "power_w",
        "--from", "2026-11-01T00:10:00Z", "--to", "2026-11-01T00:20:00Z",
    )  # fmt: skip

    rows = read_csv(output)
    # Every seventh sample has no value of this metric, so it gives no row.
    assert [row[1].minute for row in rows] == [10, 11, 12, 13, 15, 16, 17, 18, 19]
    assert {row[0] for row in rows} == {"k2"}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_memory_does_not_grow_with_the_number_of_rows(
    pool: Pool, filled: None, ingest: Ingest, tmp_path: Path, kind: str
) -> None:
    few = memory_of(ingest, tmp_path, kind)
    fill(pool, minutes=100_000)

    many = memory_of(ingest, tmp_path, kind)

    assert stored(pool, "select count(*) from telemetry.kettle") == [(300_000,)]
    assert many - few < 40 * _MEBIBYTE


def memory_of(ingest: Ingest, folder: Path, kind: str) -> int:
    """Return the most memory that an export has had, in bytes."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            _REPORT_MEMORY,
            "export",
            "kettle",
            "--output",
            f"{folder}/all.{kind}",
        ],
        env=ingest.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return int(json.loads(done.stderr.splitlines()[-1])) * 1024


def test_an_interrupted_export_leaves_nothing_behind(
    pool: Pool, filled: None, ingest: Ingest, tmp_path: Path
) -> None:
    file = tmp_path / "kettle.csv"
    file.write_text("of yesterday", encoding="utf-8")
    with pool.connection() as connection:
        connection.execute("lock table telemetry.kettle")  # the export waits here
        process = ingest.start_command("export", "kettle", "--output", str(file))
        until(lambda: len(list(tmp_path.iterdir())) == 2, what="the draft beside the file")
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=60)

    assert code == 130
    assert [p.name for p in tmp_path.iterdir()] == ["kettle.csv"]
    assert file.read_text(encoding="utf-8") == "of yesterday"


def test_a_reader_that_has_seen_enough_is_no_error(
    pool: Pool, filled: None, ingest: Ingest
) -> None:
    command = f"{sys.executable} -m core.cli export kettle | head -2; echo ${{PIPESTATUS[0]}}"

    done = subprocess.run(
        ["/bin/bash", "-c", command],
        env=ingest.environment() | {"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.splitlines()[-1] == "0"
    assert done.stderr == ""


def test_a_device_that_the_product_does_not_have_is_told(
    filled: None, ingest: Ingest, tmp_path: Path
) -> None:
    process = ingest.start_command(
        "export", "kettle", "--device", "k9", "--output", str(tmp_path / "x.csv")
    )

    assert process.wait(timeout=60) == 1
    assert list(tmp_path.iterdir()) == []


def test_rollups_that_nobody_has_made_are_told(filled: None, ingest: Ingest) -> None:
    assert ingest.start_command("export", "kettle", "--resolution", "hour").wait(timeout=60) == 1


def test_time_stamps_keep_their_milliseconds(pool: Pool, filled: None, ingest: Ingest) -> None:
    at = BEGIN + timedelta(milliseconds=7)
    with pool.connection() as connection:
        connection.execute(
            "insert into telemetry.kettle (device_id, measured_at, water_c)"
            " select id, %s, 1 from gateway.device where name = 'k1'",
            [at],
        )

    output = ingest.run_command(
        "export", "kettle", "--device", "k1", "--to", "2026-11-01T00:01:00Z"
    )

    assert read_csv(output)[1][:2] == ("k1", at)


def test_a_terminal_sees_how_far_it_is_and_the_file_nothing_of_it(
    filled: None, ingest: Ingest, tmp_path: Path
) -> None:
    file = tmp_path / "kettle.csv"
    seen, terminal = os.openpty()

    done = subprocess.run(
        [sys.executable, "-m", "core.cli", "export", "kettle", "--output", str(file)],
        env=ingest.environment() | {"TERM": "xterm", "COLUMNS": "100"},
        stderr=terminal,
        check=False,
    )

    os.close(terminal)
    shown = os.read(seen, 100_000).decode()
    os.close(seen)
    assert done.returncode == 0
    assert "exporting kettle, device by device" in shown
    assert "3 devices" in shown
    assert file.read_text(encoding="utf-8").startswith("device,measured_at,")

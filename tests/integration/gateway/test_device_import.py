"""A CSV file of devices: all of them or none, and again without harm."""

import csv
from pathlib import Path

import pytest

from core.clock import wall_now
from core.errors import ConflictError, InvalidError
from core.pool import Pool
from gateway import service
from gateway.device_import.service import Imported, import_devices
from gateway.device_import.table import read_devices
from tests.integration.gateway.sheets import SMALL

HEAD = "name,serial,lot,owner_email,city\n"


@pytest.fixture
def kettles(pool: Pool) -> Pool:
    service.register_product(pool, toml_text=SMALL, source="kettle.toml", now=wall_now())
    return pool


def bring(pool: Pool, text: str, output: Path | None) -> Imported:
    rows, faults = read_devices(HEAD + text, source="d.csv")
    assert faults == ()
    return import_devices(
        pool, rows, product="kettle", source="d.csv", output=output, now=wall_now()
    )


def lines(file: Path) -> list[dict[str, str]]:
    with file.open() as stream:
        return list(csv.DictReader(stream))


def names(pool: Pool) -> list[str]:
    return [row.name for row in service.devices(pool)]


def test_the_credentials_go_to_a_file_for_one_pair_of_eyes(kettles: Pool, tmp_path: Path) -> None:
    output = tmp_path / "credentials.csv"

    done = bring(kettles, "a,1,L,ada@example.org,Ulm\nb,2,L,,\n", output)

    assert done == Imported(added=2, skipped=())
    assert [line["name"] for line in lines(output)] == ["a", "b"]
    assert len({line["password"] for line in lines(output)}) == 2
    assert output.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [output]


def test_the_same_file_with_more_lines_brings_in_what_is_new(kettles: Pool, tmp_path: Path) -> None:
    bring(kettles, "a,1,L,ada@example.org,Ulm\n", tmp_path / "1.csv")

    done = bring(kettles, "a,1,L,ada@example.org,Ulm\nb,2,L,,\n", tmp_path / "2.csv")

    assert done == Imported(added=1, skipped=("a",))
    assert [line["name"] for line in lines(tmp_path / "2.csv")] == ["b"]


def test_nothing_new_writes_no_file(kettles: Pool, tmp_path: Path) -> None:
    bring(kettles, "a,1,L,,\n", tmp_path / "1.csv")

    done = bring(kettles, "a,1,L,,\n", tmp_path / "2.csv")

    assert done.added == 0
    assert not (tmp_path / "2.csv").exists()


def test_one_row_that_contradicts_keeps_all_out(kettles: Pool, tmp_path: Path) -> None:
    bring(kettles, "a,1,L,,\n", tmp_path / "1.csv")

    with pytest.raises(InvalidError, match="line 3, column lot: a is registered with L"):
        bring(kettles, "b,2,L,,\na,1,M,,\n", tmp_path / "2.csv")

    assert names(kettles) == ["a"]
    assert not (tmp_path / "2.csv").exists()


def test_a_file_that_holds_credentials_is_never_replaced(kettles: Pool, tmp_path: Path) -> None:
    output = tmp_path / "credentials.csv"
    output.with_name("credentials.csv.part").write_text("of an import that was cut off")

    with pytest.raises(ConflictError, match=r"credentials.csv.part exists"):
        bring(kettles, "a,1,L,,\n", output)

    assert names(kettles) == []


def test_without_a_place_for_the_credentials_no_device_is_let_in(
    kettles: Pool, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        bring(kettles, "a,1,L,,\n", tmp_path / "no folder" / "credentials.csv")

    assert names(kettles) == []


def test_devices_that_come_by_themselves_get_no_credential_yet(kettles: Pool) -> None:
    bring(kettles, "a,1,L,,\n", None)

    with kettles.connection() as connection:
        assert connection.execute("select count(*) from gateway.credential").fetchone() == (0,)
    assert names(kettles) == ["a"]


def test_ten_thousand_devices_come_in_at_once(kettles: Pool, tmp_path: Path) -> None:
    text = "".join(f"k{i},S{i},L{i % 7},o{i % 100}@example.org,Ulm\n" for i in range(10_000))

    done = bring(kettles, text, tmp_path / "credentials.csv")

    assert done.added == 10_000
    assert len(lines(tmp_path / "credentials.csv")) == 10_000
    with kettles.connection() as connection:
        owned = connection.execute("select count(*) from gateway.ownership").fetchone()
    assert owned == (10_000,)

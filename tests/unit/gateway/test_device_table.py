"""A CSV file of devices: what is read, and what is said of each fault."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidError
from gateway.device_import.service import Known, raise_faults, sort_out
from gateway.device_import.table import COLUMNS, read_devices, template
from gateway.records import DeviceDraft, OwnerDraft, SiteDraft


def faults_of(text: str) -> list[str]:
    return [str(fault) for fault in read_devices(text, source="d.csv")[1]]


def test_the_template_is_a_sound_file() -> None:
    (row,), faults = read_devices(template(), source="d.csv")

    assert faults == ()
    assert row.draft == DeviceDraft(
        name="hp-0001",
        serial="SN-2026-0001",
        lot="L1",
        delivered_at=datetime(2026, 1, 31, tzinfo=UTC),
        owner=OwnerDraft(name="Ada Example", email="ada@example.org", timezone="Europe/Berlin"),
        site=SiteDraft(city="Ulm", timezone="Europe/Berlin"),
    )


def test_a_name_alone_is_enough() -> None:
    rows, faults = read_devices("name\na\n\nb\n", source="d.csv")

    assert faults == ()
    assert [row.draft for row in rows] == [
        DeviceDraft(name="a", serial="a"),
        DeviceDraft(name="b", serial="b"),
    ]


def test_a_table_of_a_spreadsheet_is_read() -> None:
    (row,), faults = read_devices(
        '\ufeffNAME,address\r\n"a","Main Street 1, 2nd floor"\r\n', source="d.csv"
    )

    assert faults == ()
    assert row.draft.site == SiteDraft(address="Main Street 1, 2nd floor")


def test_every_fault_is_shown_at_once_with_line_column_and_remedy() -> None:
    text = (
        "name,serial,delivered,owner_email,owner_name,timezone,latitude\n"
        "a b,1,2026-02-30,nobody,,Mars/Base,91\n"
        "c,1,,,Eve,,\n"
        "c,3\n"
    )

    assert faults_of(text) == [
        "line 2, column name: 'a b' cannot be a device name; use 1 to 64 of A-Z, a-z, 0-9, _ and -",
        "line 2, column delivered: '2026-02-30' is no day; write it as 2026-01-31",
        "line 2, column owner_email: 'nobody' cannot be that; give one like ada@example.org",
        "line 2, column timezone: 'Mars/Base' is no time zone; give one like Europe/Berlin",
        "line 2, column latitude: '91' is no angle; give degrees from -90 to 90",
        "line 3, column owner_email: an owner without an address; give the e-mail address",
        "line 3, column serial: '1' stands in line 2 already; a name and a serial number belong to one device",
        "line 4, column name: 'c' stands in line 3 already; a name and a serial number belong to one device",
    ]


def test_a_line_with_too_many_cells_is_told() -> None:
    assert faults_of("name,city\na,Ulm,am Main\n") == [
        'line 2: 3 cells under 2 columns; put a cell with a comma in quotes: "a, b"'
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", 'there is no column "name"'),
        ("name,seriel\n", "the column seriel is unknown"),
        ("name,lot,lot\n", "the column lot stands there twice"),
        ('name\n"a\n', "line 2"),
    ],
)
def test_a_file_that_is_no_table_is_refused_with_the_way_out(text: str, told: str) -> None:
    with pytest.raises(InvalidError, match=told) as caught:
        read_devices(text, source="d.csv")

    assert caught.value.hint


@given(st.text(max_size=300))
def test_no_text_makes_the_reader_fail_otherwise(text: str) -> None:
    try:
        rows, faults = read_devices(f"{','.join(COLUMNS)}\n{text}", source="d.csv")
    except InvalidError:
        return
    assert len(faults) >= len([row for row in rows if not row.draft.name])


def test_what_is_there_with_the_same_values_is_skipped_and_the_rest_contradicts() -> None:
    rows, _ = read_devices("name,serial,lot\na,1,L\nb,2,L\nc,3,L\nd,1,L\n", source="d.csv")
    there = {"product": "kettle", "delivered_at": None, "owner_email": "x@y"}
    known = [
        Known(name="a", serial="1", lot="L", **there),
        Known(name="b", serial="9", lot="M", **there),
    ]

    new, same, faults = sort_out(rows, known, product="kettle")

    assert [row.draft.name for row in new] == ["c"]
    assert same == ["a"]
    assert [(fault.line, fault.column) for fault in faults] == [
        (3, "serial"),
        (3, "lot"),
        (5, "serial"),
    ]


def test_many_faults_are_one_error_that_counts_them() -> None:
    _, faults = read_devices("name\n" + "a b\n" * 60, source="d.csv")

    with pytest.raises(InvalidError, match=r"d.csv: \d+ faults") as caught:
        raise_faults(faults, source="d.csv")

    assert str(caught.value).count("\n  line ") == 50

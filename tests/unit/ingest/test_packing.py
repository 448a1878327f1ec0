"""A batch in PostgreSQL's binary form is what writing it field by field gives."""

import math
import struct

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.sheet import parse_sheet
from ingest.packing import has_repeats, pack, pack_integers
from ingest.records import Columns
from tests.integration.gateway.sheets import SMALL

KETTLE = parse_sheet(SMALL, source="kettle.toml")
_VALUE = st.just(math.nan) | st.floats(-4000, 4000, width=32)
_ROW = st.tuples(st.integers(1, 2**40), st.integers(-(2**50), 2**50), *[_VALUE] * 3)


def columns(rows: list[tuple[int, int, float, float, float]]) -> Columns:
    return Columns(
        device_ids=np.array([row[0] for row in rows], dtype=np.int64),
        times_ms=np.array([row[1] for row in rows], dtype=np.int64),
        values=np.array([row[2:] for row in rows], dtype=np.float64).reshape(-1, 3),
        order=np.arange(len(rows)),
    )


def field_by_field(rows: list[tuple[int, int, float, float, float]], *, with_order: bool) -> bytes:
    data = b""
    for place, (device, at_ms, *values) in enumerate(rows):
        fields = [struct.pack(">q", device), struct.pack(">q", (at_ms - 946_684_800_000) * 1000)]
        for metric, value in zip(KETTLE.metrics, values, strict=True):
            kind = ">d" if metric.precise else ">f"
            fields.append(b"" if math.isnan(value) else struct.pack(kind, value))
        if with_order:
            fields.append(struct.pack(">i", place))
        data += struct.pack(">h", len(fields))
        for field in fields:
            data += struct.pack(">i", len(field) or -1) + field
    return data


@given(st.lists(_ROW, max_size=6), st.booleans())
def test_a_batch_is_packed_as_its_fields_one_by_one(
    rows: list[tuple[int, int, float, float, float]], with_order: bool
) -> None:
    assert pack(columns(rows), KETTLE, with_order=with_order) == field_by_field(
        rows, with_order=with_order
    )


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5))
def test_numbers_are_packed_as_an_array_of_one_dimension(values: list[int]) -> None:
    expected = struct.pack(">5i", 1, 0, 20, len(values), 1)
    expected += b"".join(struct.pack(">iq", 8, value) for value in values)

    assert pack_integers(np.array(values, dtype=np.int64)) == expected


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), max_size=5))
def test_two_samples_of_one_device_and_instant_are_found(keys: list[tuple[int, int]]) -> None:
    rows = [(device, at_ms, 1.0, 1.0, 1.0) for device, at_ms in keys]

    assert has_repeats(columns(rows)) == (len(set(keys)) < len(keys))

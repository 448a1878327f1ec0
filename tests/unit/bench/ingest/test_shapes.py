import struct

import numpy as np
import pytest

from bench.ingest.rows import rows_of
from bench.ingest.shapes import SHAPES, Shape, payload, shape_named, sheet_toml
from core.product import Product
from gateway.codecs import decode
from gateway.sheet import parse_sheet

FIRST_MS = 1_764_000_000_000
IDS = np.array([7, 9, 11], dtype=np.int64)


def sheet(shape: Shape) -> Product:
    return parse_sheet(sheet_toml(shape.product, shape.metrics), source="bench.toml")


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_message_is_what_its_shape_says(shape: Shape) -> None:
    body = payload(shape, device=2, number=5, boot=3, first_ms=FIRST_MS)

    found = decode(body, arrived_ms=0)

    assert (found.boot, found.seq, found.low) == (3, 5, 0)
    assert len(found.samples) == shape.samples
    assert found.samples[0][0] == FIRST_MS + 5 * shape.samples * shape.step_ms
    assert {len(values) for _, values in found.samples} == {shape.metrics}


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_every_value_is_in_the_range_of_the_sheet(shape: Shape) -> None:
    ranges = {metric.name: metric for metric in sheet(shape).metrics}

    for number in range(20):
        body = payload(shape, device=1, number=number, boot=1, first_ms=FIRST_MS)
        for _, values in decode(body, arrived_ms=0).samples:
            for name, value in values.items():
                assert ranges[name].low <= value <= ranges[name].high


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_the_copied_rows_are_the_sent_rows(shape: Shape) -> None:
    rows = rows_of(shape, device_ids=IDS, messages=7, first_ms=FIRST_MS)

    at = 0
    for message in range(7):
        number, device = divmod(message, len(IDS))
        body = payload(shape, device=device, number=number, boot=1, first_ms=FIRST_MS)
        for ts, values in decode(body, arrived_ms=0).samples:
            row = rows[at]
            assert (row["id"], row["at"]) == (IDS[device], (ts - 946_684_800_000) * 1000)
            expected = np.array(list(values.values()), dtype=np.float32)
            assert np.array_equal(row["values"]["value"], expected)
            at += 1
    assert at == len(rows)


def test_a_row_is_postgresqls_binary_form() -> None:
    shape = shape_named("one_sample_3")

    row = rows_of(shape, device_ids=IDS, messages=1, first_ms=FIRST_MS).tobytes()

    fields, id_bytes, device, at_bytes, _, *values = struct.unpack(">hiqiq" + "if" * 3, row)
    assert (fields, id_bytes, device, at_bytes) == (5, 8, 7, 8)
    assert values[0::2] == [4, 4, 4]


def test_no_two_messages_are_alike() -> None:
    shape = shape_named("one_sample_3")

    bodies = {
        payload(shape, device=device, number=number, boot=1, first_ms=FIRST_MS)
        for device in range(50)
        for number in range(50)
    }

    assert len(bodies) > 2450

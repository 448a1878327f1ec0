"""Messages: rows, sizes, the envelope."""

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.errors import SimulatorError
from firmware_sim.payload import (
    MESSAGE_BYTES_MAX,
    MESSAGE_SAMPLES_MAX,
    compose,
    make_bodies,
    rows_of,
)


def test_a_missing_value_leaves_its_metric_out():
    rows = rows_of(
        np.asarray([1000, 2000]), {"a": np.asarray([1.5, np.nan]), "b": np.asarray([3.0, 4.0])}
    )

    assert rows == [[1000, {"a": 1.5, "b": 3.0}], [2000, {"b": 4.0}]]


@settings(deadline=None, max_examples=40)  # nothing is timed in a test
@given(count=st.integers(1, 1500), metrics=st.integers(1, 30))
def test_no_message_is_too_large_and_no_sample_is_lost(count, metrics):
    rows = [
        [1_790_000_000_000 + i, {f"metric_{k}": i / 7 for k in range(metrics)}]
        for i in range(count)
    ]

    bodies = make_bodies(rows)

    joined = [row for body in bodies for row in orjson.loads(body.encoded)]
    assert joined == rows
    for body in bodies:
        message = compose(body.encoded, boot=2**40, seq=2**40, low=2**40)
        assert len(message) <= MESSAGE_BYTES_MAX
        assert body.samples == len(orjson.loads(body.encoded)) <= MESSAGE_SAMPLES_MAX


def test_a_sample_that_fits_in_no_message_is_an_error():
    with pytest.raises(SimulatorError, match="one sample takes"):
        make_bodies([[1, {"long": "x" * MESSAGE_BYTES_MAX}]])


def test_the_envelope_is_what_the_wire_format_says():
    message = orjson.loads(compose(b'[[1,{"a":2}]]', boot=12, seq=345, low=340))

    assert message == {"boot": 12, "seq": 345, "low": 340, "samples": [[1, {"a": 2}]]}

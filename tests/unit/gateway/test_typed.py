"""The quick way from JSON to a table: the same numbers as the decoder's, whatever their lengths."""

import json
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.codecs.typed import TypedForm, quotes

NAMES = ("water_c", "is_on", "a_name_that_is_longer_than_thirty_one_letters", "x")
FORM = TypedForm(NAMES)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)
SAMPLES = st.lists(
    st.tuples(
        st.integers(-(2**53), 2**53),
        st.dictionaries(st.sampled_from(NAMES), NUMBERS | st.booleans()),
    ),
    max_size=20,
)


@given(messages=st.lists(SAMPLES, min_size=1, max_size=4))
def test_what_was_read_stands_in_the_table(
    messages: list[list[tuple[int, dict[str, float]]]],
) -> None:
    table, scratch = bytearray(), bytearray()
    for samples in messages:
        read = FORM.read(json.dumps({"samples": samples}).encode()).samples
        FORM.lay(read, table, scratch=scratch)

    times_ms, values = FORM.arrays(table)

    said = [sample for samples in messages for sample in samples]
    assert times_ms.tolist() == [at_ms for at_ms, _ in said]
    wanted = [[float(sample.get(name, math.nan)) for _, sample in said] for name in NAMES]
    assert np.array_equal(values, np.array(wanted).reshape(values.shape), equal_nan=True)


def test_a_sample_made_by_hand_is_laid_like_one_that_was_read() -> None:
    by_hand, as_read = bytearray(), bytearray()
    sample = FORM.sample({"water_c": 21.5, "is_on": True})

    FORM.lay([(1, sample)], by_hand, scratch=bytearray())
    FORM.lay(
        FORM.read(b'{"samples":[[1,{"is_on":true,"water_c":21.5}]]}').samples,
        as_read,
        scratch=bytearray(),
    )

    assert by_hand == as_read


@given(size=st.integers(0, 6000), every=st.integers(1, 50))
def test_quotation_marks_are_counted_in_small_and_large_payloads(size: int, every: int) -> None:
    payload = bytes(ord('"') if i % every == 0 else ord("a") for i in range(size))

    assert quotes(payload) == len(range(0, size, every))

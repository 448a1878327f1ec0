"""What is confirmed to a device is what is stored without a gap, in whatever order it came."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from ingest.records import Numbered
from ingest.streams import Stream, advance

KEY = (7, 1)


def numbered(*seqs: int, low: int = 0) -> list[Numbered]:
    return [
        Numbered(device_id=7, boot=1, seq=seq, low=min(low, seq), newest_ms=1000 * seq)
        for seq in seqs
    ]


def test_a_stream_begins_at_zero() -> None:
    assert advance({}, numbered(0, 1))[KEY].confirm == 1
    assert advance({}, numbered(1, 2))[KEY].confirm is None


def test_what_lies_beyond_a_gap_is_remembered_until_the_gap_closes() -> None:
    beyond = advance({}, numbered(0, 2, 3))[KEY]

    closed = advance({KEY: beyond.stream}, numbered(1))[KEY]

    assert (beyond.confirm, beyond.newest_ms) == (0, 0)
    assert (closed.confirm, closed.newest_ms) == (3, 3000)
    assert closed.stream == Stream(stored=3)


def test_low_takes_the_place_of_what_the_device_no_longer_holds() -> None:
    assert advance({}, numbered(340, low=340))[KEY].confirm == 340
    assert advance({}, numbered(342, low=341))[KEY].confirm == 340


def test_a_repetition_is_confirmed_no_further_than_it_went() -> None:
    found = advance({KEY: Stream(stored=5000)}, numbered(0, 1, 2))[KEY]

    assert found.confirm == 2
    assert not found.has_moved


def test_boots_are_streams_of_their_own() -> None:
    messages = numbered(0)
    messages.append(Numbered(device_id=7, boot=2, seq=0, low=0, newest_ms=None))

    found = advance({}, messages)

    assert {key: a.confirm for key, a in found.items()} == {(7, 1): 0, (7, 2): 0}


def test_the_memory_beyond_a_gap_is_bounded() -> None:
    found = advance({}, numbered(*range(1, 6000)))[KEY]

    assert len(found.stream.ahead) <= 4096


@given(
    st.integers(1, 30).flatmap(
        lambda n: st.tuples(
            st.just(n),
            st.permutations([*range(n), *range(n // 2)]),
            st.lists(st.integers(0, n), max_size=4),
        )
    )
)
def test_any_order_with_any_repetition_in_any_batches_ends_at_the_same_place(
    case: tuple[int, list[int], list[int]],
) -> None:
    n, seqs, cuts = case
    streams: dict[tuple[int, int], Stream] = {}
    newest = -1
    edges = sorted({0, len(seqs), *cuts})

    for start, end in itertools.pairwise(edges):
        for key, found in advance(streams, numbered(*seqs[start:end])).items():
            seen = set(seqs[:end])
            assert all(seq in seen for seq in range(found.stream.stored + 1))
            streams[key] = found.stream
            newest = max(newest, -1 if found.newest_ms is None else found.newest_ms)

    assert streams[KEY] == Stream(stored=n - 1)
    assert newest == 1000 * (n - 1)

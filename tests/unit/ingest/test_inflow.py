"""A batch that is still arriving: cut as it comes, and cut the same way when it is given again."""

from collections.abc import Sequence

import pytest

from gateway.session import Arrival, BrokerAwayError
from ingest.inflow import cut
from tests.fixtures.reads import Reads

LARGE = 100_000
"""Bytes of a payload of which three fill a piece."""


def arrivals(count: int, *, first: int = 0, size: int = LARGE) -> list[Arrival]:
    return [
        Arrival(f"fc/00/d{i}/telemetry", bytes(size), i + 1) for i in range(first, first + count)
    ]


def places(pieces: Sequence[tuple[int, Sequence[Arrival]]]) -> list[tuple[int, int]]:
    return [(first, len(piece)) for first, piece in pieces]


def test_a_piece_is_there_before_the_rest_of_the_batch_has_come() -> None:
    reads = Reads([arrivals(3), arrivals(3, first=3)])

    first, piece = next(reads.batch().pieces())

    assert (first, len(piece)) == (0, 3)
    assert reads.left


def test_a_growing_batch_holds_every_message_once_and_in_order() -> None:
    reads = [arrivals(2), arrivals(2, first=2), arrivals(5, first=4), arrivals(1, first=9)]
    batch = Reads(reads).batch()

    pieces = list(batch.pieces())

    assert list(batch) == arrivals(10)
    assert [arrival for _, piece in pieces for arrival in piece] == arrivals(10)
    assert [first for first, _ in pieces] == [0, 3, 6, 9]


def test_a_batch_that_is_given_again_has_the_same_pieces() -> None:
    batch = Reads([arrivals(4), arrivals(2, first=4), arrivals(4, first=6)]).batch()
    begun = batch.pieces()
    before = [next(begun), next(begun)]

    again = list(batch.pieces())

    assert again[:2] == before
    assert list(batch.pieces()) == again
    assert [arrival for _, piece in again for arrival in piece] == arrivals(10)


def test_a_connection_that_breaks_ends_the_batch_and_keeps_what_has_come() -> None:
    batch = Reads([arrivals(4), arrivals(1, first=4)], breaks=True).batch()

    pieces = list(batch.pieces())

    assert isinstance(batch.broken, BrokerAwayError)
    assert places(pieces) == [(0, 3), (3, 2)]


def test_a_batch_without_more_to_come_is_cut_by_number_too() -> None:
    small = arrivals(3000, size=10)

    assert places(list(cut(small))) == [(0, 1250), (1250, 1250), (2500, 500)]
    assert places(list(cut([]))) == []


@pytest.mark.parametrize("size", [10, LARGE])
def test_a_batch_stops_growing_at_its_bounds(size: int) -> None:
    endless = [arrivals(1000, first=1000 * i, size=size) for i in range(40)]
    batch = Reads(endless).batch()

    batch.fill()

    assert len(batch) == (20_000 if size == 10 else 1000)

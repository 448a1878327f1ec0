"""All streams of a batch at once come to the same as each of them message by message."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingest.fleet import Advances, StreamTable
from ingest.records import NEVER_MS, NO_BOOT, Messages, Numbered, StreamKey
from ingest.streams import Stream, advance

Message = tuple[int, int, int, int, int | None]
"""Device, boot, seq, low, newest sample (None: refused)."""


def messages(found: list[Message]) -> Messages:
    columns = list(zip(*found, strict=True)) or [()] * 5
    newest = np.array([NEVER_MS if ms is None else ms for ms in columns[4]], dtype=np.int64)
    is_accepted = newest != NEVER_MS
    return Messages(
        places=np.arange(len(found)),
        device_ids=np.array(columns[0], dtype=np.int64),
        boots=np.array(columns[1], dtype=np.int64),
        seqs=np.array(columns[2], dtype=np.int64),
        lows=np.array(columns[3], dtype=np.int64),
        samples=is_accepted.astype(np.int64),
        values=is_accepted.astype(np.int64),
        oldest_ms=np.where(is_accepted, newest, -NEVER_MS),
        newest_ms=newest,
    )


class Database:
    """What a database would have of the streams."""

    def __init__(self) -> None:
        self.stored: dict[StreamKey, int] = {}

    def store(self, table: StreamTable, found: list[Message]) -> Advances:
        batch = messages(found)
        unknown = {
            key: Stream(stored=self.stored[key])
            for key in table.unknown(batch)
            if key in self.stored
        }
        advances = table.advance(batch, unknown)
        for key, stored, moved in zip(
            zip(advances.device_ids.tolist(), advances.boots.tolist(), strict=True),
            advances.stored.tolist(),
            advances.has_moved.tolist(),
            strict=True,
        ):
            if moved:
                self.stored[key] = stored
        table.settle(advances)
        return advances


_MESSAGE = st.tuples(
    st.integers(1, 3),
    st.sampled_from([1, 1, 1, 2, NO_BOOT]),
    st.integers(0, 5),
    st.integers(0, 3),
    st.none() | st.integers(0, 100),
).map(lambda m: (m[0], m[1], m[2], min(m[3], m[2]), m[4]))


@given(st.lists(st.lists(_MESSAGE, max_size=8), max_size=6))
def test_any_batches_come_to_what_the_messages_alone_come_to(batches: list[list[Message]]) -> None:
    table, database, streams = StreamTable(), Database(), {}
    for batch in batches:
        numbered = [
            Numbered(device_id=d, boot=b, seq=s, low=low, newest_ms=ms)
            for d, b, s, low, ms in batch
            if b != NO_BOOT
        ]
        expected = advance(streams, numbered)
        streams |= {key: found.stream for key, found in expected.items()}

        advances = database.store(table, batch)

        keys = zip(advances.device_ids.tolist(), advances.boots.tolist(), strict=True)
        answers = zip(
            keys,
            advances.stored.tolist(),
            advances.has_moved.tolist(),
            [
                number if is_there else None
                for number, is_there in zip(
                    advances.confirm.tolist(), advances.is_confirmed.tolist(), strict=True
                )
            ],
            strict=True,
        )
        assert list(answers) == [
            (key, found.stream.stored, found.has_moved, found.confirm)
            for key, found in sorted(expected.items())
        ]
        assert spans_of(advances) == expected_spans(batch, expected)


def spans_of(advances: Advances) -> dict[int, tuple[int, int, int]]:
    spans = advances.spans
    return {
        device: (oldest, through, samples)
        for device, oldest, through, samples in zip(
            spans.device_ids.tolist(),
            spans.oldest_ms.tolist(),
            spans.through_ms.tolist(),
            spans.samples.tolist(),
            strict=True,
        )
    }


def expected_spans(batch: list[Message], advances: dict) -> dict[int, tuple[int, int, int]]:  # type: ignore[type-arg]
    found = {}
    for device in {message[0] for message in batch}:
        times = [m[4] for m in batch if m[0] == device and m[4] is not None]
        through = [
            a.newest_ms
            for key, a in advances.items()
            if key[0] == device and a.newest_ms is not None
        ]
        through += [m[4] for m in batch if m[0] == device and m[1] == NO_BOOT and m[4] is not None]
        newest = max(through, default=NEVER_MS)
        if times or through:
            found[device] = (min(times) if times else newest, newest, len(times))
    return found


def test_a_batch_brings_a_new_boot_while_the_old_one_is_still_sent() -> None:
    table, database = StreamTable(), Database()
    database.store(table, [(1, 1, 0, 0, 5), (1, 1, 1, 0, 6)])

    both = database.store(table, [(1, 1, 2, 0, 7), (1, 2, 0, 0, 8)])
    old = database.store(table, [(1, 1, 3, 0, 9)])

    assert both.confirm.tolist() == [2, 0]
    assert old.confirm.tolist() == [3]


def test_only_so_many_rows_are_kept_and_the_longest_silent_go_first() -> None:
    table, database = StreamTable(rows_max=100), Database()
    for seq in range(40):
        fresh = [(1000 + 10 * seq + i, 1, 0, 0, 1) for i in range(10)]
        found = database.store(table, [(7, 1, seq, 0, seq), *fresh])
        assert found.confirm.tolist()[0] == seq
        assert len(table) <= 100

    assert table.unknown(messages([(7, 1, 40, 0, 1)])) == []
    assert table.unknown(messages([(1000, 1, 1, 0, 1)])) == [(1000, 1)]
    assert database.store(table, [(1000, 1, 1, 0, 1)]).confirm.tolist() == [1]

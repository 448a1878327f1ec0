"""What retention would let go, and lets go: chunks, dead letters, late marks, in short transactions.

Everything here may be killed between any two statements and done again: a drop and the note of it are
one transaction, and what was deleted is not there the next time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.failpoint import failpoint
from core.pool import Connection
from ingest.retention import store
from ingest.retention.policy import Chunk, Held, cutoffs, letters_kept, oldest, to_columns, to_go
from ingest.rollups.store import RolledProduct, gone_before, rolled_products

KINDS = ("raw", "hourly", "daily")
_LETTERS_AT_ONCE = 2000
_STREAMS_AT_ONCE = 5000
_MARKS_KEPT = timedelta(days=30)
_SHIFTED_KEPT = timedelta(days=30)
"""A message that a broker or a spool still holds comes again within this time."""
_BREACHES_KEPT = timedelta(days=400)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One table of a product, or its dead letters: what is kept, what is there and what would go."""

    product: str
    kind: str
    """raw, hourly, daily, windows or dead_letters; `-` in place of a product: devices that nobody knows."""
    keep: timedelta | None
    held: Held
    """What sets `before`."""
    before: datetime | None
    oldest_at: datetime | None
    """Start of the oldest chunk or, later, of what was measured; or the oldest window; None: nothing stored, or dead letters."""
    stored_bytes: int | None
    """All of the table, None for dead letters and for windows, whose tables all products share."""
    chunks: int
    """How many chunks would go; the numbers below are theirs."""
    rows: int
    bytes: int
    from_at: datetime | None
    through_at: datetime | None


def plan(
    connection: Connection, *, now: datetime, product: str | None = None, with_rows: bool = True
) -> tuple[Line, ...]:
    """Tell what would go now, and what holds back the rest. Counting rows reads them. Commits nothing."""
    products = rolled_products(connection)
    lines: list[Line] = []
    for row in products:
        if product is not None and row.product.name != product:
            continue
        lines += [line for line, _ in _tables(connection, row, now=now, with_rows=with_rows)]
        lines.append(_windows(connection, row, now=now))
        lines.append(
            _letters(
                connection, row.product.name, row.id, row.product.retention.dead_letters, now=now
            )
        )
    if product is None:
        keep = letters_kept([row.product for row in products])
        lines.append(_letters(connection, "-", None, keep, now=now))
    return tuple(lines)


def apply(
    connection: Connection, *, now: datetime, product: str | None = None, with_rows: bool = True
) -> tuple[Line, ...]:
    """Let go what is due and return it; on Community, move what is old enough to the columnstore.

    The connection must be in autocommit mode: each step is a transaction of its own.
    """
    with connection.transaction():
        products = rolled_products(connection)
    done: list[Line] = []
    for row in products:
        if product is not None and row.product.name != product:
            continue
        done += _drop_tables(connection, row, now=now, with_rows=with_rows)
        keep = row.product.retention.dead_letters
        done.append(_delete_letters(connection, row.product.name, row.id, keep, now=now))
    if product is None:
        keep = letters_kept([row.product for row in products])
        done.append(_delete_letters(connection, "-", None, keep, now=now))
        with connection.transaction():
            store.delete_marks(connection, old=now - _MARKS_KEPT)
            store.delete_ledgers(
                connection, shifted=now - _SHIFTED_KEPT, breaches=now - _BREACHES_KEPT
            )
    return tuple(line for line in done if line.rows or line.chunks)


def forget_streams(connection: Connection, *, now: datetime) -> int:
    """Forget the streams of boots that have not gone on for longer than the door takes history back.

    Returns
    -------
    int
        How many were forgotten. The first look only notes where each of them is.
    """
    with connection.transaction():
        store.see_streams(connection, now=now)
        products = rolled_products(connection)
    forgotten = 0
    for row in products:
        before = now - row.product.history_max
        while True:
            with connection.transaction():
                found = store.delete_streams(
                    connection, row.id, before=before, limit=_STREAMS_AT_ONCE
                )
            forgotten += found
            if found < _STREAMS_AT_ONCE:
                break
    return forgotten


def move_to_columns(connection: Connection, *, now: datetime) -> int:
    """On the Community edition, put chunks beyond the late-data horizon into the columnstore.

    Returns
    -------
    int
        How many chunks were moved; 0 on the Apache edition, of which nothing of this is asked.
    """
    with connection.transaction():
        if not store.is_community(connection):
            return 0
        products = rolled_products(connection)
    moved = 0
    for row in products:
        with connection.transaction():
            store.switch_columnstore_on(connection, row.product)
            holds = store.holds(connection, row.id, window=row.product.window)
            chunks = store.chunks(connection, row.product, "raw")
        for chunk in to_columns(chunks, row.product, holds, now=now):
            with connection.transaction():
                store.compress(connection, chunk)
            moved += 1
    return moved


def _tables(
    connection: Connection, row: RolledProduct, *, now: datetime, with_rows: bool
) -> Iterator[tuple[Line, tuple[Chunk, ...]]]:
    """Look at one table after the other: what was dropped of the finer one counts for the next."""
    for kind in KINDS:
        with connection.transaction():
            holds = store.holds(connection, row.id, window=row.product.window)
            gone = gone_before(connection, row.id)
            cutoff = cutoffs(row.product, holds, gone=gone, now=now)[kind]
            chunks = store.chunks(connection, row.product, kind)
            going = to_go(chunks, cutoff)
            rows = store.count_rows(connection, row.product, kind, going) if with_rows else 0
        line = Line(
            product=row.product.name,
            kind=kind,
            keep=getattr(row.product.retention, kind),
            held=cutoff.held,
            before=cutoff.before,
            oldest_at=oldest(chunks, holds),
            stored_bytes=sum(chunk.bytes for chunk in chunks),
            chunks=len(going),
            rows=rows,
            bytes=sum(chunk.bytes for chunk in going),
            from_at=going[0].begins_at if going else None,
            through_at=going[-1].ends_at if going else None,
        )
        yield line, going


def _drop_tables(
    connection: Connection, row: RolledProduct, *, now: datetime, with_rows: bool
) -> list[Line]:
    done = []
    for line, going in _tables(connection, row, now=now, with_rows=with_rows):
        if going:
            before = max(chunk.ends_at for chunk in going)
            with connection.transaction():
                store.note_dropped(connection, row.id, line.kind, before=before, now=now)
                store.drop_chunks(connection, row.product, line.kind, before=before)
                failpoint("retention.before_commit")
        done.append(line)
    return done


def _windows(connection: Connection, row: RolledProduct, *, now: datetime) -> Line:
    """Tell of windows and paths, which `anomaly` lets go: it alone writes them."""
    keep = row.product.retention.windows
    with connection.transaction():
        scored = store.windows(connection, row.id)
    before, held = None, Held.FOR_EVER
    if keep is not None:
        held = Held.NO_DATA
        if scored.newest_at is not None:
            before = min(scored.newest_at, now) - keep
            is_due = scored.oldest_at is not None and scored.oldest_at < before
            held = Held.BY_SCORER if is_due else Held.POLICY
    return Line(
        product=row.product.name,
        kind="windows",
        keep=keep,
        held=held,
        before=before,
        oldest_at=scored.oldest_at,
        stored_bytes=None,
        chunks=0,
        rows=0,
        bytes=0,
        from_at=None,
        through_at=None,
    )


def _letters(
    connection: Connection,
    name: str,
    product_id: int | None,
    keep: timedelta | None,
    *,
    now: datetime,
) -> Line:
    letters = store.Letters(rows=0, bytes=0, begins_at=None, ends_at=None)
    if keep is not None:
        with connection.transaction():
            letters = store.letters_to_go(connection, product_id, before=now - keep)
    return Line(
        product=name,
        kind="dead_letters",
        keep=keep,
        held=Held.FOR_EVER if keep is None else Held.POLICY,
        before=None if keep is None else now - keep,
        oldest_at=None,
        stored_bytes=None,
        chunks=0,
        rows=letters.rows,
        bytes=letters.bytes,
        from_at=letters.begins_at,
        through_at=letters.ends_at,
    )


def _delete_letters(
    connection: Connection,
    name: str,
    product_id: int | None,
    keep: timedelta | None,
    *,
    now: datetime,
) -> Line:
    line = _letters(connection, name, product_id, keep, now=now)
    if line.before is None or not line.rows:
        return line
    while True:
        with connection.transaction():
            deleted = store.delete_letters(
                connection, product_id, before=line.before, limit=_LETTERS_AT_ONCE
            )
        if deleted < _LETTERS_AT_ONCE:
            return line

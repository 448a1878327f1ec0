"""What others may ask of ingest: the dead letters, and to try them again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from core.errors import NotFoundError
from core.pool import Connection, Pool
from gateway.session import Arrival
from ingest import store
from ingest.batch import PERMANENT
from ingest.clock_store import Clock, clock_of, write_shifted
from ingest.door import admit
from ingest.records import NEVER_MS, NO_BOOT, Admission, DeviceSpans
from ingest.registry import RegistryCache
from ingest.rollups.late import late_stretches
from ingest.rollups.store import add_late_marks
from ingest.store import DeadLetter, DeadLetterRow, WaitingLetter

_REPLAY_AT_ONCE = 200
STORED = "stored"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What came of trying dead letters again."""

    stored: int
    refused: int


def dead_letters(
    pool: Pool,
    *,
    reason: str | None = None,
    device: str | None = None,
    with_replayed: bool = False,
    limit: int = 100,
) -> tuple[DeadLetterRow, ...]:
    """Return refused messages, the newest first."""
    with pool.connection() as connection:
        return store.list_dead_letters(
            connection, reason=reason, device=device, with_replayed=with_replayed, limit=limit
        )


def dead_letter(pool: Pool, *, letter_id: int) -> DeadLetter:
    """Return one refused message with its payload.

    Raises
    ------
    NotFoundError
        If there is none of that number.
    """
    with pool.connection() as connection:
        letter = store.show_dead_letter(connection, letter_id)
    if letter is None:
        raise NotFoundError(
            f"there is no dead letter {letter_id}", hint="`forecare dead-letters list` shows them"
        )
    return letter


def replay(
    pool: Pool,
    *,
    now: datetime,
    now_s: float,
    ids: Sequence[int] | None = None,
    reason: str | None = None,
) -> Replay:
    """Put dead letters through today's door: their samples are stored, or they stay with a reason.

    The time window counts from the day on which a letter came, not from today. A letter is
    replayed once; whatever happens in between, its samples are never stored twice.

    Parameters
    ----------
    pool : Pool
    now : datetime
    now_s : float
        Any clock that never goes back.
    ids : sequence of int, optional
        Only these letters.
    reason : str, optional
        Only letters refused for this reason.
    """
    registry = RegistryCache()
    stored = refused = after = 0
    while True:
        with pool.connection() as connection:
            letters = store.lock_dead_letters(
                connection, ids=ids, reason=reason, after=after, limit=_REPLAY_AT_ONCE
            )
            for letter in letters:
                if _replay_one(connection, registry, letter, now=now, now_s=now_s):
                    stored += 1
                else:
                    refused += 1
        if not letters:
            return Replay(stored=stored, refused=refused)
        after = letters[-1].id


def clock(pool: Pool, *, device: str) -> Clock | None:
    """Return how far off a device's clock is; None: it never was, or there is no such device."""
    with pool.connection() as connection:
        return clock_of(connection, device)


def _replay_one(
    connection: Connection,
    registry: RegistryCache,
    letter: WaitingLetter,
    *,
    now: datetime,
    now_s: float,
) -> bool:
    arrival = Arrival(letter.topic, letter.payload, 0)
    registry.prepare(connection, [arrival], now_s=now_s)
    admission = admit([arrival], registry, now=letter.received_at)
    if admission.refused:
        result = f"{admission.refused[0].reason}: {admission.refused[0].detail}"
        store.mark_refused_again(connection, letter.id, result=result)
        return False
    try:
        with connection.transaction():
            _store(connection, admission, now=letter.received_at)
    except PERMANENT as error:
        store.mark_refused_again(connection, letter.id, result=str(error).splitlines()[0][:300])
        return False
    store.mark_replayed(connection, letter.id, result=STORED, now=now)
    return True


def _store(connection: Connection, admission: Admission, *, now: datetime) -> None:
    """Store the samples. Streams stay as they are: the device was answered when it was refused, and
    how far its history has no gap was decided then too."""
    for name, columns in admission.columns.items():
        store.merge_samples(connection, admission.products[name], columns)
    write_shifted(connection, admission, now=now)
    messages = admission.messages
    store.lock_progress(connection, messages.device_ids)
    is_numbered = messages.boots != NO_BOOT
    through_ms = np.where(is_numbered, NEVER_MS, messages.newest_ms)
    spans = DeviceSpans(
        device_ids=messages.device_ids,
        oldest_ms=messages.oldest_ms,
        through_ms=through_ms,
        samples=messages.samples,
    )
    late = store.save_progress(connection, spans, now=now)
    add_late_marks(connection, late_stretches(admission.columns.values(), late), now=now)

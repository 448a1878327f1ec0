"""Decides what may go. Pure.

Telemetry ages by the event time of its product's stream, not by the clock on the wall: a recording
from 2020 that is replayed today is as young as its own newest sample, and a stream that stands
still loses nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from core.product import Product

LETTERS_OF_NOBODY = timedelta(days=90)
"""Kept of devices that nobody knows, while no product says otherwise."""
_COLUMNS_AFTER_MIN = timedelta(days=1)


class Held(StrEnum):
    """Why nothing more may go."""

    POLICY = "policy"
    """The product keeps it."""
    FOR_EVER = "for_ever"
    NOT_SUMMED_UP = "not_summed_up"
    """The rollups have not come so far: is `forecare ingest roll` running?"""
    NOT_SCORED = "not_scored"
    """A scorer has not read it: is `forecare anomaly run` running?"""
    LATE_MARK = "late_mark"
    """Late samples in it have not been dealt with."""
    FINER_KEPT = "finer_kept"
    """What it is summed up from is still there, and could be summed up again."""
    NO_DATA = "no_data"
    BY_SCORER = "by_scorer"
    """Whoever scores lets it go, once for each day of the stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holds:
    """How far a product's stream has come, and the oldest instant that somebody still needs."""

    newest_at: datetime | None
    rolled_at: datetime | None
    scored_at: datetime | None
    marked_at: datetime | None
    first_at: datetime | None = None
    """Nothing was measured before it, however early its chunk begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutoff:
    """Rows before the instant may go; `held` says what sets it."""

    before: datetime | None
    held: Held


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A part of a hypertable, which goes as a whole. Instants in event time, the end not included."""

    name: str
    begins_at: datetime
    ends_at: datetime
    bytes: int
    is_columnar: bool


def cutoffs(
    product: Product, holds: Holds, *, gone: Mapping[str, datetime], now: datetime
) -> dict[str, Cutoff]:
    """Return by kind before when rows may go.

    Parameters
    ----------
    product : Product
    holds : Holds
    gone : mapping
        By kind, before when rows have gone already.
    now : datetime
        Wall time: a device whose clock is ahead must not make others' samples old.
    """
    keep = product.retention
    raw = _raw(keep.raw, holds, now)
    hourly = _coarse(keep.hourly, holds, now, finer_gone=gone.get("raw"))
    daily = _coarse(keep.daily, holds, now, finer_gone=gone.get("hourly"))
    return {"raw": raw, "hourly": hourly, "daily": daily}


def letters_kept(products: Sequence[Product]) -> timedelta | None:
    """Return how long letters of unknown devices stay: as long as any product keeps its own."""
    kept = [product.retention.dead_letters for product in products]
    if any(keep is None for keep in kept):
        return None
    return max((keep for keep in kept if keep is not None), default=LETTERS_OF_NOBODY)


def to_go(chunks: Sequence[Chunk], cutoff: Cutoff) -> tuple[Chunk, ...]:
    """Return the chunks that end before the cutoff."""
    before = cutoff.before
    return tuple(c for c in chunks if before is not None and c.ends_at <= before)


def to_columns(
    chunks: Sequence[Chunk], product: Product, holds: Holds, *, now: datetime
) -> tuple[Chunk, ...]:
    """Return the chunks that lie beyond the late-data horizon and are still stored as rows."""
    if holds.newest_at is None:
        return ()
    horizon = min(holds.newest_at, now) - max(product.late_after, _COLUMNS_AFTER_MIN)
    return tuple(c for c in chunks if not c.is_columnar and c.ends_at <= horizon)


def _raw(keep: timedelta | None, holds: Holds, now: datetime) -> Cutoff:
    if keep is None:
        return Cutoff(before=None, held=Held.FOR_EVER)
    if holds.newest_at is None:
        return Cutoff(before=None, held=Held.NO_DATA)
    limits = [
        (min(holds.newest_at, now) - keep, Held.POLICY),
        (holds.rolled_at, Held.NOT_SUMMED_UP),
        (holds.scored_at, Held.NOT_SCORED),
        (holds.marked_at, Held.LATE_MARK),
    ]
    before, held = min(
        ((at, held) for at, held in limits if at is not None), key=lambda limit: limit[0]
    )
    return Cutoff(before=before, held=held)


def _coarse(
    keep: timedelta | None, holds: Holds, now: datetime, *, finer_gone: datetime | None
) -> Cutoff:
    if keep is None:
        return Cutoff(before=None, held=Held.FOR_EVER)
    if holds.newest_at is None:
        return Cutoff(before=None, held=Held.NO_DATA)
    if finer_gone is None:
        return Cutoff(before=None, held=Held.FINER_KEPT)
    wanted = min(holds.newest_at, now) - keep
    if finer_gone < wanted:
        return Cutoff(before=finer_gone, held=Held.FINER_KEPT)
    return Cutoff(before=wanted, held=Held.POLICY)


def oldest(chunks: Sequence[Chunk], holds: Holds) -> datetime | None:
    """A chunk of daily rollups begins up to a year before what is in it."""
    if not chunks:
        return None
    return max(chunks[0].begins_at, holds.first_at or chunks[0].begins_at)

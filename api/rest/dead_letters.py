"""Refused messages, and the way back for them."""

from dataclasses import dataclass

from fastapi import APIRouter

from api import records, store
from api.auth import CallerManufacturer, Context, Ctx, not_found
from api.rest.model import Cursor, Id, Limit, Page, page_of
from core.clock import monotonic_s

router = APIRouter(prefix="/api/v1/dead-letters", tags=["dead letters"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    id: int
    is_stored: bool
    """False: it was refused again, and stays with its new reason."""


@router.get("")
def list_dead_letters(
    _person: CallerManufacturer, context: Ctx, before: Cursor = None, limit: Limit = 100
) -> Page[records.DeadLetter]:
    """List refused messages, newest first; `before` continues below an id."""
    with context.pool.connection() as connection:
        items = store.dead_letters(connection, before=before, limit=limit)
    return page_of(items, limit=limit, cursor="id")


@router.post("/{letter_id}/replay")
def replay(_person: CallerManufacturer, context: Ctx, letter_id: Id) -> Replayed:
    """Send a refused message through the door once more."""
    return Replayed(id=letter_id, is_stored=replayed(context, letter_id))


def replayed(context: Context, letter_id: int) -> bool:
    """Send one message through the door; False when it is refused again."""
    from ingest import service as ingest  # noqa: PLC0415 - the broker's client is loaded only for this

    done = ingest.replay(context.pool, now=context.clock(), now_s=monotonic_s(), ids=[letter_id])
    if done.stored + done.refused == 0:
        raise not_found("refused message that could be sent again")
    return done.stored > 0
